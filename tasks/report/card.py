"""The model card: what the Hugging Face folder of a version says about itself.

---
base_model: google/flan-t5-small
library_name: transformers
pipeline_tag: text2text-generation
tags: [retune, instruct]
---
# support-summarizer ...
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.report.data_facts import TaskData
from tasks.report.grids import Grid, as_markdown, forgetting_grid, test_grid
from tasks.report.tables import records, sides


@dataclass(frozen=True)
class CardFacts:
    """What a card says.

    Attributes:
        model: Name of the registered model.
        recipe: Name of the recipe.
        base_model: Folder or hub name.
        on_hub: Whether `base_model` is a name on the Hugging Face hub.
        is_encoder_decoder: The architecture.
        method: How it was fine-tuned, such as `full`.
        prompts: Task -> its stored prompt file.
        data: What became of each task's data.
        test: Way -> metric -> figure, on the test split.
        forgetting: Probe -> before, after, delta, low, high.
        reasons: Of the decision.
        lineage: The version's tags.
    """

    model: str
    recipe: str
    base_model: str
    on_hub: bool
    is_encoder_decoder: bool
    method: str
    prompts: Mapping[str, Mapping[str, Any]]
    data: Sequence[TaskData]
    test: Mapping[str, Mapping[str, Mapping[str, float]]]
    forgetting: Mapping[str, Mapping[str, float]]
    reasons: Sequence[str]
    lineage: Mapping[str, str]


def card(facts: CardFacts) -> str:
    """The model card, in Markdown with a YAML head.

    Args:
        facts: What is known; nothing else is said.
    """
    parts = [
        _head(facts),
        f"# {facts.model}\n\nAn instruct model: {facts.base_model}, fine-tuned "
        f"({facts.method}) on prompt-completion pairs by the recipe `{facts.recipe}`.",
        _tasks(facts.prompts),
        as_markdown(records(facts.data)),
        as_markdown(sides(facts.data)),
        as_markdown(test_grid(facts.test)),
        _forgetting(facts.forgetting),
        "## Decision\n\n" + "\n".join(f"- {reason}" for reason in facts.reasons),
        as_markdown(Grid("Lineage", ["what", "value"], list(facts.lineage.items()))),
    ]
    return "\n\n".join(parts) + "\n"


def _head(facts: CardFacts) -> str:
    kind = "text2text-generation" if facts.is_encoder_decoder else "text-generation"
    lines = ["---", "library_name: transformers", f"pipeline_tag: {kind}"]
    if facts.on_hub:
        lines.append(f"base_model: {json.dumps(facts.base_model)}")
    return "\n".join([*lines, "tags: [retune, instruct]", "---"])


def _tasks(prompts: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["## Tasks and prompts"]
    for task, content in prompts.items():
        trained = [entry for entry in content["templates"] if not entry["heldout"]]
        fence = "`" * 4
        lines.append(
            f"`{task}`: {content['task'].replace('_', ' ')}, {len(trained)} phrasings. "
            f"The first:\n\n{fence}jinja\n{trained[0]['prompt'].strip()}\n{fence}"
        )
    return "\n\n".join(lines)


def _forgetting(probes: Mapping[str, Mapping[str, float]]) -> str:
    if not probes:
        return "## Forgetting\n\nNot measured."
    return as_markdown(forgetting_grid(probes))
