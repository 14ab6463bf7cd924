"""What all ways of a comparison are measured on: the same test rows, probes and new phrasings.

    test/        metrics.json  predictions.jsonl  leakage.json
    probes/      the same, of the probes' rows
    phrasings/   the same but leakage.json, of test rows in phrasings that nobody trained on

Each is one scoring job with every way in it, so that any two are compared row by row. `base` is the
base model with a bare prompt.
"""

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from tasks import forgetting, holdout
from tasks.compare.ways import FULL, LORA, ONE_PHRASING
from tasks.config import Recipe
from tasks.prompts.library import PromptFile
from tasks.scoring.job import Way, base_way, base_ways, prompts_of_tasks, score, tuned_way
from tasks.scoring.phrasings import SCHEMA, in_one_phrasing
from tasks.stage import Counted, Inputs, Output, Stage, write_json

BASE = "base"


class TestSection(holdout.TestSection):
    """What the test of all ways depends on."""

    trained: tuple[str, ...]
    """Ways with a model of their own."""


class ProbesSection(forgetting.ForgettingSection):
    """What the probing of all ways depends on."""

    trained: tuple[str, ...]
    """Ways with a model of their own."""


def test_stage(recipe: Recipe, trained: Sequence[str]) -> Stage[TestSection]:
    """Every way on the test split.

    Args:
        recipe: With the baselines to measure.
        trained: Ways with a model of their own; `Inputs` has an artifact of each name.
    """
    section = TestSection(**dict(holdout.select(recipe)), trained=tuple(trained))
    needs = ("template", "split", *trained)
    return Stage("test", holdout.VERSION, needs, lambda _: section, _test, holdout.files)


def probes_stage(recipe: Recipe, trained: Sequence[str]) -> Stage[ProbesSection]:
    """Every way on the probes' test side: by the other side, `interpolated` was chosen."""
    asked = dict(forgetting.select(recipe)) | {"side": "test"}
    section = ProbesSection(**asked, trained=tuple(trained))
    needs = ("template", "split", *trained)
    return Stage("probes", forgetting.VERSION, needs, lambda _: section, _probes, forgetting.files)


def phrasings_stage(recipe: Recipe) -> Stage[TestSection]:
    """`full` and `one_phrasing` on test rows, each in one held-out phrasing."""
    section = TestSection(**dict(holdout.select(recipe)), trained=(FULL, ONE_PHRASING))
    needs = ("ingest", "split", FULL, ONE_PHRASING)
    return Stage("phrasings", holdout.VERSION, needs, lambda _: section, _phrasings)


def has_varied_task(recipe: Recipe) -> bool:
    """Whether one of the tasks has several phrasings to train on, and held-out ones."""
    return any(_is_varied(own.load()) for own in prompts_of_tasks(recipe).values())


def _is_varied(prompts: PromptFile) -> bool:
    return bool(prompts.heldout) and len(prompts.training) > 1


def _test(section: TestSection, inputs: Inputs, output: Output) -> Counted:
    in_context = base_ways(section.base_model, section.test)
    ways = in_context | _models(section.trained, inputs)
    pairs = [(way, BASE) for way in ways if way != BASE]
    pairs += [(FULL, way) for way in ways if way not in (BASE, FULL)]
    examples = holdout.rows_to_score(section, inputs, output)
    job = holdout.job_of(section, inputs, output, examples, ways, tuple(pairs))
    result = score(job, output.scratch, "test")
    holdout.tell_what_did_not_fit(result, section.max_prompt_tokens)
    return Counted(result["differences"][f"{FULL}-{BASE}"]["macro"]["n"], {"ways": len(ways)})


def _probes(section: ProbesSection, inputs: Inputs, output: Output) -> Counted:
    suite, examples, leakage = forgetting.rows_to_score(section, inputs, output)
    write_json(output.path / "leakage.json", leakage)
    ways = {BASE: base_way(section.base_model)} | _models(section.trained, inputs)
    pairs = [(way, BASE) for way in section.trained]
    pairs += [(LORA, FULL)] if LORA in ways else []
    job = forgetting.job_of(section, output, suite, examples, ways, tuple(pairs))
    score(job, output.scratch, "probes")
    return Counted(len(examples), {"ways": len(ways), "probes": len(suite)})


def _phrasings(section: TestSection, inputs: Inputs, output: Output) -> Counted:
    test = pq.read_table(inputs["split"] / "test.parquet", columns=["id", "task"]).to_pylist()
    rows, metrics = [], {}
    for task, own in section.prompts.items():
        prompts = own.load()
        if not _is_varied(prompts):
            continue
        metrics[task] = section.metrics[task]
        new = replace(prompts, templates=prompts.heldout)
        ids = [row["id"] for row in test if row["task"] == task]
        records = inputs["ingest"] / f"{task}.parquet"
        rows += in_one_phrasing(task, new, section.seed, records, ids)
    examples = output.scratch.absolute() / "examples.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), examples)
    ways = _models(section.trained, inputs)
    job = holdout.job_of(section, inputs, output, examples, ways, ((FULL, ONE_PHRASING),))
    score(job.model_copy(update={"metrics": metrics}), output.scratch, "phrasings")
    return Counted(len(rows), {"ways": len(ways)})


def _models(trained: Sequence[str], inputs: Inputs) -> dict[str, Way]:
    return {name: tuned_way(inputs[name]) for name in trained}
