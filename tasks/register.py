"""Register: judges the tuned model, writes the report and makes it a version of the registry.

    decision.json  {"promote": true, "reasons": ["rougeL rose from 0.05 to 0.34 (...).", ...]}
    version.json   {"model": "support-summarizer", "version": "3", "aliases": ["challenger",
                    "champion"], "run_id": "5d41...", "tracking_uri": "sqlite:///..."}

What was registered before a crash is found again by the tag `retune.key`, so the same model never
becomes two versions. Every version gets the alias `challenger`, a promoted one `champion` as well.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import field_serializer

from tasks.config import Recipe, Section
from tasks.config.base_model import ORIGIN, untrusting
from tasks.config.section import at_home
from tasks.config.task import PLACES
from tasks.home import without_password
from tasks.report.candidates import CANDIDATES, adopted, read_candidates, remarks
from tasks.report.card import CardFacts, card, license_in
from tasks.report.data_facts import data_facts
from tasks.report.facts import read_facts
from tasks.report.html import render
from tasks.report.usage import shape_of
from tasks.stage import (
    Artifact,
    Counted,
    Inputs,
    Output,
    Stage,
    digest_of_json,
    read_json,
    read_manifest,
    read_rows,
    write_json,
)
from tasks.stage_main import main
from tasks.tracking.decision import (
    ChampionEvidence,
    Decision,
    Evidence,
    Gates,
    awaiting_approval,
    decide,
)
from tasks.tracking.evidence import evidence_of
from tasks.tracking.lineage import lineage, stage_versions

if TYPE_CHECKING:  # MLflow takes seconds to import, and `plan` imports every stage
    from tasks.tracking.case import Case
    from tasks.tracking.registry import Version

VERSION = "3"
NEEDS = ("ingest", "template", "split", "train", "validate", "test", "forgetting")
FLOW_RUN_TAG = "prefect.flow_run_id"
CONTEXTS = {"train": "training", "validation": "validation", "test": "test"}


class RegisterSection(Section):
    """What registration depends on: all of the recipe, which the version's tags describe."""

    recipe: Recipe
    """The recipe."""

    @field_serializer("recipe")
    def _without_places(self, recipe: Recipe) -> dict[str, Any]:
        """Leave out of the stage's key where data and model lie: their digests are in it."""
        tasks: Any = {"tasks": {"__all__": {"source": PLACES}}}
        places = {
            **tasks,
            "base_model": ORIGIN | untrusting(recipe.base_model),
            "train": {"replay": tasks},
            "forgetting": {"old_tasks": tasks["tasks"]},
            "retrain": True,  # when to make the next version says nothing of this one
        }
        return recipe.model_dump(mode="json", exclude=places)


@dataclass(frozen=True)
class Job:
    """What the steps of this stage share.

    Attributes:
        recipe: The recipe.
        inputs: The artifacts of the other stages.
        manifests: Stage -> its manifest.
        metrics: `metrics.json` of the test stage.
        probes: Probe -> entry of the forgetting stage's `probes.json`.
        tags: The lineage.
        key: What identifies the model version.
    """

    recipe: Recipe
    inputs: Inputs
    manifests: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, Any]
    probes: Mapping[str, Mapping[str, float]]
    tags: Mapping[str, str]
    key: str


def select(recipe: Recipe) -> RegisterSection:
    """The part of the recipe that registration depends on."""
    return RegisterSection(recipe=recipe)


def write(section: RegisterSection, inputs: Inputs, output: Output) -> Counted:
    """Judge, register, report, and move the aliases."""
    from tasks.tracking import promotion, registry
    from tasks.tracking.case import log_case
    from tasks.tracking.judging import approval_for, completed
    from tasks.tracking.run import current_run

    run_id = current_run(inputs.workspace)
    assert run_id, "the runner opens the MLflow run"
    job = _job(section.recipe, inputs, run_id)
    case = _case(job)
    rival = promotion.rival(case.model, case.key)
    evidence = completed(case, rival, output.scratch, case.made_by)
    decision = decide(evidence)
    approval = approval_for(case, registry.find(case.model, case.key))
    if decision.promote and approval:
        decision = awaiting_approval(decision, case.model, approval)
    write_json(output.path / "decision.json", asdict(decision))
    (output.path / "README.md").write_text(card(_card_facts(job, decision)), encoding="utf-8")
    version = _registered(job, run_id, output)
    _write_results(job, output, version, decision, evidence.champion)
    _log(job, run_id, output)
    log_case(case, run_id, output.scratch)  # before the aliases: a champion must have its answers
    registry.set_alias(version, registry.CHALLENGER)
    if decision.promote:
        promotion.promote(version, decision, rival)
    version = registry.by_version(version.model, version.version)
    _write_version(version, output)
    promoted = registry.CHAMPION in version.aliases
    return Counted(1, {"version": int(version.version), "promoted": int(promoted)})


def is_current(artifact: Artifact) -> bool:
    """Whether the registry still has the version that the artifact speaks of, and a challenger."""
    from tasks.tracking import registry

    known = read_json(artifact.path / "version.json")
    has_challenger = registry.by_alias(known["model"], registry.CHALLENGER) is not None
    return has_challenger and registry.exists(known["model"], known["version"], known["run_id"])


def _job(recipe: Recipe, inputs: Inputs, run_id: str) -> Job:
    from tasks.tracking.run import tags_of

    manifests = {name: _manifest(inputs[name]) for name in NEEDS}
    identity = [
        VERSION,
        {name: manifests[name]["digest"] for name in ("template", "train", "test", "forgetting")},
        _generation(recipe),
    ]
    return Job(
        recipe=recipe,
        inputs=inputs,
        manifests=manifests,
        metrics=read_json(inputs["test"] / "metrics.json"),
        probes=read_json(inputs["forgetting"] / "probes.json")["probes"],
        tags=lineage(
            digest_of_json(recipe.model_dump(mode="json")),
            {**manifests, "register": {"version": VERSION}},
            inputs["ingest"],
            tags_of(run_id).get(FLOW_RUN_TAG),
        ),
        key=digest_of_json(identity),
    )


def _manifest(folder: Path) -> Mapping[str, Any]:
    manifest = read_manifest(folder)
    assert manifest is not None, folder  # the stage has just been run or found valid
    return manifest


def _case(job: Job) -> "Case":
    from tasks.tracking.case import ANSWERS, Case

    registry = job.recipe.registry
    return Case(
        model=registry.model,
        key=job.key,
        evidence=_evidence(job),
        primaries={task: entry["primary"] for task, entry in job.metrics["tasks"].items()},
        probe_primaries={name: str(probe["metric"]) for name, probe in job.probes.items()},
        needs_approval=registry.approval,
        answers={stage: job.inputs[stage] / ANSWERS for stage in ("test", "forgetting")},
        made_by=stage_versions(job.tags),
    )


def _evidence(job: Job) -> Evidence:
    registry = job.recipe.registry
    gates = Gates(
        min_gain=registry.min_gain,
        max_drop=job.recipe.forgetting.max_drop,
        beat_few_shot=registry.beat_few_shot,
        fabrication_not_worse=registry.fabrication_not_worse,
    )
    evidence = evidence_of(job.metrics, job.probes, gates)
    return replace(evidence, remarks=remarks(read_candidates(job.inputs["train"])))


def _registered(job: Job, run_id: str, output: Output) -> "Version":
    from tasks.tracking import registry
    from tasks.tracking.package import Package, log_package

    model = job.recipe.registry.model
    existing = registry.find(model, job.key)
    if existing:
        return existing
    adapter = job.inputs["train"] / "adapter"
    package = Package(
        model=job.inputs["train"] / "model",
        adapter=adapter if adapter.exists() else None,
        prompts=job.inputs["template"] / "prompts",
        card=(output.path / "README.md").read_text(encoding="utf-8"),
        generation=_generation(job.recipe),
        example=_example(job),
    )
    model_id = log_package(package, run_id, job.key, output.scratch / "package")
    tags = {**job.tags, registry.HEADLINE_TAG: json.dumps(_headline(job))}
    return registry.register(model, model_id, run_id, job.key, tags)


def _headline(job: Job) -> dict[str, Any]:
    evidence = _evidence(job)
    return {
        "metric": evidence.metric,
        **asdict(evidence.tuned),
        "gain": evidence.gain.value,
    }


def _generation(recipe: Recipe) -> dict[str, int | float]:
    wanted = recipe.generation.model_dump(
        include={"max_new_tokens", "temperature", "top_p", "seed"}
    )
    trusts = {"trust_remote_code": True} if recipe.base_model.trust_remote_code else {}
    return {**wanted, "max_prompt_tokens": recipe.train.max_prompt_tokens, **trusts}


def _example(job: Job) -> dict[str, str]:
    """A ready instruction of the test split, for MLflow to show."""
    first = next(read_rows(job.inputs["test"] / "predictions.jsonl"))
    return {"prompt": first["prompt"]}


def _base_model(recipe: Recipe) -> str:
    return str(recipe.base_model.hub or recipe.base_model.path)


def _forgetting(job: Job) -> dict[str, dict[str, float]]:
    names = ("before", "after", "delta", "low", "high")
    return {probe: {name: entry[name] for name in names} for probe, entry in job.probes.items()}


def _card_facts(job: Job, decision: Decision) -> CardFacts:
    recipe, inputs = job.recipe, job.inputs
    prompts = {
        task.name: read_json(inputs["template"] / "prompts" / f"{task.name}.json")
        for task in recipe.tasks
    }
    base = recipe.base_model
    return CardFacts(
        model=recipe.registry.model,
        recipe=recipe.name,
        base_model=_base_model(recipe),
        on_hub=base.hub is not None,
        license=license_in(Path(at_home(base.path))) if base.path else None,
        shape=shape_of(inputs["train"] / "model"),
        method=adopted(read_candidates(inputs["train"])) or recipe.train.method,
        generation=_generation(recipe),
        prompts=prompts,
        data=data_facts({name: inputs[name] for name in NEEDS}),
        metrics=job.metrics,
        test=job.metrics["ways"],
        forgetting=_forgetting(job),
        reasons=decision.reasons,
        lineage=job.tags,
    )


def _splits(job: Job) -> dict[str, int]:
    return {side: int(count) for side, count in job.manifests["split"]["counts"].items()}


def _write_version(version: "Version", output: Output) -> None:
    from tasks.tracking.connection import tracking_uri

    described = {
        "model": version.model,
        "version": version.version,
        "aliases": list(version.aliases),
        "run_id": version.run_id,
        "tracking_uri": without_password(tracking_uri()),
    }
    write_json(output.path / "version.json", described)


def _write_results(
    job: Job,
    output: Output,
    version: "Version",
    decision: Decision,
    champion: ChampionEvidence | None,
) -> None:
    tried = read_candidates(job.inputs["train"])["candidates"]
    result = {
        "recipe": job.recipe.name,
        "model": version.model,
        "version": version.version,
        "run_id": version.run_id,
        "validation": read_json(job.inputs["validate"] / "metrics.json")["ways"]["tuned"],
        "test": job.metrics["ways"],
        "forgetting": _forgetting(job),
        **({"candidates": tried} if tried else {}),
        "decision": asdict(decision),
        "report": str(job.inputs.workspace / "register" / "report.html"),
    }
    write_json(output.path / "result.json", result)
    folders = {name: job.inputs[name] for name in NEEDS}
    recipe = job.recipe.model_dump(mode="json")
    facts = read_facts(result, recipe, champion, job.tags, folders)
    (output.path / "report.html").write_text(render(facts), encoding="utf-8")


def _log(job: Job, run_id: str, output: Output) -> None:
    """Lineage, final metrics, data sets and files, into the run."""
    from tasks.tracking.case import ANSWERS, folder_of
    from tasks.tracking.reference import log_profile
    from tasks.tracking.run import DataInput, log_file, log_inputs, log_metrics, log_tags

    log_tags(run_id, job.tags)
    log_metrics(run_id, _final_metrics(job))
    digests, counts = job.manifests["split"]["outputs"], _splits(job)
    log_inputs(
        run_id,
        [
            DataInput(
                name=f"{job.recipe.name}/{side}",
                digest=digests[f"{side}.parquet"],
                path=job.inputs["split"] / f"{side}.parquet",
                rows=counts[side],
                context=context,
            )
            for side, context in CONTEXTS.items()
            if counts.get(side)
        ],
    )
    recipe = output.scratch / "recipe.json"
    write_json(recipe, job.recipe.model_dump(mode="json"))
    for name in ("report.html", "README.md", "decision.json", "result.json"):
        log_file(run_id, output.path / name)
    log_file(run_id, recipe)
    if (job.inputs["train"] / CANDIDATES).exists():
        log_file(run_id, job.inputs["train"] / CANDIDATES)
    log_file(run_id, job.inputs["validate"] / ANSWERS, folder_of("validate", job.key))
    log_profile(run_id, job.inputs["ingest"], job.inputs.artifacts["split"], output.scratch)
    for stage in ("validate", "test", "forgetting"):
        log_file(run_id, job.inputs[stage] / "metrics.json", folder_of(stage, job.key))


def _final_metrics(job: Job) -> dict[str, float]:
    validation = read_json(job.inputs["validate"] / "metrics.json")["ways"]["tuned"]
    figures = {f"validation/{name}": entry["value"] for name, entry in validation.items()}
    for way, metrics in job.metrics["ways"].items():
        figures |= {f"test/{way}/{name}": entry["value"] for name, entry in metrics.items()}
    for probe, entry in job.probes.items():
        figures |= {
            f"forgetting/{probe}/{name}": entry[name] for name in ("before", "after", "delta")
        }
    return figures


STAGE = Stage(
    "register",
    VERSION,
    needs=NEEDS,
    select=select,
    write=write,
    volatile=frozenset({"version.json", "result.json", "report.html", "README.md"}),
    is_current=is_current,
)
run = STAGE.run

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
