"""The model card: what the Hugging Face folder of a version says about itself.

---
base_model: google/flan-t5-small
library_name: transformers
model-index:
- name: support-summarizer
  results:
  - task: {type: summarization}
    dataset: {name: support_summary, type: support_summary, split: test}
    metrics: [{type: rougeL, name: rougeL, value: 0.343}]
pipeline_tag: text2text-generation
tags: [retune, instruct]
---
# support-summarizer ...
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tasks.report.data_facts import TaskData
from tasks.report.examples import FABRICATION
from tasks.report.grids import Grid, as_markdown, cell, forgetting_grid, test_grid
from tasks.report.tables import lengths, records, sides
from tasks.report.usage import Shape, usage

HEAD = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)


@dataclass(frozen=True)
class CardFacts:
    """What a card says.

    Attributes:
        model: Name of the registered model.
        recipe: Name of the recipe.
        base_model: Folder or hub name.
        on_hub: Whether `base_model` is a name on the Hugging Face hub.
        license: Of the base model; None where it is not known.
        shape: How a prompt is put to the model.
        method: How it was fine-tuned, such as `full`.
        generation: The settings that it was tested with; and `max_prompt_tokens`.
        prompts: Task -> its stored prompt file.
        data: What became of each task's data.
        metrics: `metrics.json` of the test stage.
        test: Way -> metric -> figure, on the test split.
        forgetting: Probe -> before, after, delta, low, high.
        reasons: Of the decision.
        lineage: The version's tags.
    """

    model: str
    recipe: str
    base_model: str
    on_hub: bool
    license: str | None
    shape: Shape
    method: str
    generation: Mapping[str, int | float]
    prompts: Mapping[str, Mapping[str, Any]]
    data: Sequence[TaskData]
    metrics: Mapping[str, Any]
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
        f"---\n{yaml.safe_dump(_head(facts), allow_unicode=True)}---",
        f"# {facts.model}\n\nAn instruct model: {cell(facts.base_model)}, fine-tuned "
        f"({facts.method}) on prompt-completion pairs by the recipe `{facts.recipe}`.",
        f"## How to use\n\n{_fenced(usage(facts.shape, facts.generation), 'python')}",
        _prompts(facts.prompts),
        as_markdown(test_grid(facts.test)),
        _forgetting(facts.forgetting),
        _listed("Limits", _limits(facts)),
        _listed("Decision", facts.reasons),
        *(as_markdown(table(facts.data)) for table in (records, sides, lengths)),
        as_markdown(Grid("Lineage", ["what", "value"], list(facts.lineage.items()))),
    ]
    return "\n\n".join(parts) + "\n"


def license_in(folder: Path) -> str | None:
    """The license that a model folder's own card names; None where it has no such card."""
    path = folder / "README.md"
    try:
        head = HEAD.match(path.read_text(encoding="utf-8")) if path.is_file() else None
        fields = yaml.safe_load(head[1]) if head else None
    except (yaml.YAMLError, ValueError):  # not UTF-8, or a date such as 2024-13-45
        return None
    found = fields.get("license") if isinstance(fields, dict) else None
    return found if isinstance(found, str) else None


def _head(facts: CardFacts) -> dict[str, Any]:
    is_encoder_decoder = facts.shape == "encoder-decoder"
    head = {
        "library_name": "transformers",
        "pipeline_tag": "text2text-generation" if is_encoder_decoder else "text-generation",
        "tags": ["retune", "instruct"],
        "model-index": [{"name": facts.model, "results": _results(facts)}],
    }
    if facts.license:
        head["license"] = facts.license
    return head | ({"base_model": facts.base_model} if facts.on_hub else {})


def _results(facts: CardFacts) -> list[dict[str, Any]]:
    """The tuned model's figures, task by task."""
    return [
        {
            "task": {"type": facts.prompts[task]["task"]},
            "dataset": {"name": task, "type": task, "split": "test"},
            "metrics": [
                {"type": name, "name": name, "value": figure["value"]}
                for name, figure in entry["ways"]["tuned"].items()
            ],
        }
        for task, entry in facts.metrics["tasks"].items()
    ]


def _prompts(prompts: Mapping[str, Mapping[str, Any]]) -> str:
    parts = ["## Tasks and prompts"]
    for task, content in prompts.items():
        trained = [entry for entry in content["templates"] if not entry["heldout"]]
        kind = content["task"].replace("_", " ")
        phrasings = "phrasing" if len(trained) == 1 else "phrasings"
        parts += [
            f"`{task}`: {kind}, trained on {len(trained)} {phrasings}. The first:",
            _fenced(trained[0]["prompt"].strip(), "jinja"),
        ]
    return "\n\n".join(parts)


def _forgetting(probes: Mapping[str, Mapping[str, float]]) -> str:
    return as_markdown(forgetting_grid(probes)) if probes else "## Forgetting\n\nNot measured."


def _limits(facts: CardFacts) -> list[str]:
    """What follows from the figures; nothing is said that was not measured."""
    limits = []
    for task, entry in facts.metrics["tasks"].items():
        tuned = entry["ways"]["tuned"]
        limits.append(
            f"{task}: tested on {tuned[entry['primary']]['n']} records of its own source. How it "
            "does on others is not known."
        )
        if made_up := tuned.get(FABRICATION):
            limits.append(
                f"{task}: {made_up['value']:.1%} of the names, numbers and times in its answers "
                "are not in the source."
            )
    limits += [
        f"{task}: in phrasings that it was not trained on, {entry['metric']} was "
        f"{entry['heldout']['value']:.3f}; in those that it was, {entry['seen']['value']:.3f}."
        for task, entry in facts.metrics["phrasings"].items()
        if "heldout" in entry
    ]
    limits += [
        f"{data.task}: {data.overlaps:,} of {data.tested:,} test records stand, nearly the same, "
        "in the training split."
        for data in facts.data
        if data.overlaps
    ]
    limits.append(
        f"It was trained on prompts of at most {facts.generation['max_prompt_tokens']:,} tokens; "
        "longer ones were cut in the test."
    )
    if not facts.forgetting:
        limits.append("What it forgot of other tasks was not measured.")
    return limits


def _listed(title: str, points: Sequence[str]) -> str:
    return "\n".join([f"## {title}\n", *(f"- {cell(point)}" for point in points)])


def _fenced(text: str, language: str) -> str:
    """A block of code; its fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
