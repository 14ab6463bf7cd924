"""Judges a version against the champion on the same records, scoring the champion where needed.

decide(completed(case, rival(case.model, case.key), scratch, {"test": "4", "forgetting": "3"}))
-> Decision(promote=True, reasons=(...))
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from tasks.config import Generation
from tasks.errors import BadInput, BadModel
from tasks.scoring.job import Job, Way, score
from tasks.scoring.probes import generation_for_probes, write_examples
from tasks.stage import digest_of_json, read_json, read_rows
from tasks.tracking.case import ANSWERS, Case, fetch_case, folder_of
from tasks.tracking.champion import (
    Scored,
    compare,
    compare_fabrication,
    compare_probes,
    key_of,
)
from tasks.tracking.connection import is_missing
from tasks.tracking.decision import ChampionEvidence, Decision, Evidence, decide
from tasks.tracking.files import download
from tasks.tracking.lineage import stage_versions
from tasks.tracking.promotion import WITHDRAWN_TAG, rival
from tasks.tracking.registry import KEY_TAG, Version
from tasks.tracking.run import fetch_file, log_file

RESAMPLES = 1000
"""Of the intervals of the champion alone, which nothing rests on."""

Rows = Sequence[Mapping[str, Any]]

logger = logging.getLogger("retune")


@dataclass(frozen=True)
class Judged:
    """A registered version and what was decided on it.

    Attributes:
        version: The version.
        champion: The champion that it was compared with; None where there was none.
        decision: Whether it passed every gate.
        approval: Why a person must agree to its promotion; empty where nobody needs to.
    """

    version: Version
    champion: Version | None
    decision: Decision
    approval: str


def judge_version(version: Version, scratch: Path, today: Mapping[str, str]) -> Judged:
    """Decide on a registered version from the evidence that is kept with its run.

    Args:
        version: The version.
        scratch: Folder for what has to be fetched or scored.
        today: Stage -> the version of it that scores now.

    Raises:
        BadModel: There is no evidence.
    """
    case = fetch_case(version, scratch / "case")
    champion = rival(version.model, case.key)
    decision = decide(completed(case, champion, scratch, today))
    return Judged(version, champion, decision, approval_for(case, version))


def approval_for(case: Case, version: Version | None) -> str:
    """Why a person must agree to a promotion; empty where nobody needs to.

    Args:
        case: The version's evidence.
        version: The version; None where it is not registered yet.
    """
    if version and (withdrawn := version.tags.get(WITHDRAWN_TAG)):
        return f"It passed every gate, but {withdrawn} took it out of service"
    return "It passed every gate" if case.needs_approval else ""


def completed(
    case: Case, champion: Version | None, scratch: Path, today: Mapping[str, str]
) -> Evidence:
    """The evidence on a version, with its comparison with the champion.

    Args:
        case: The version's evidence.
        champion: The version to compare it with; None where there is none.
        scratch: Folder for what has to be fetched or scored.
        today: Stage -> the version of it that scores now.
    """
    against = _against(case, champion, scratch, today) if champion else None
    return replace(case.evidence, champion=against)


def _against(
    case: Case, champion: Version, scratch: Path, today: Mapping[str, str]
) -> ChampionEvidence:
    asked = {stage: list(read_rows(path)) for stage, path in case.answers.items()}
    challenger = {stage: Scored.read(rows) for stage, rows in asked.items()}
    try:
        answered = {
            stage: Scored.read(_answers(case, champion, stage, rows, scratch, today))
            for stage, rows in asked.items()
            if rows
        }
    except BadInput as error:
        issue = error.issues[0]
        why = f"it can't answer the test records of today. {issue.where}: {issue.found}."
        return ChampionEvidence(champion.version, case.evidence.metric, None, why)
    test, probes = (answered.get(stage, Scored.read([])) for stage in ("test", "forgetting"))
    found = compare(challenger["test"], test, case.primaries, champion.version)
    return replace(
        found,
        probes=compare_probes(challenger["forgetting"], probes, case.probe_primaries),
        fabrication=compare_fabrication(challenger["test"], test),
    )


def _answers(
    case: Case, champion: Version, stage: str, asked: Rows, scratch: Path, today: Mapping[str, str]
) -> Rows:
    """The champion's answers to the records: those it gave before, or given now and kept.

    Scores of two versions of a stage are not comparable, be it that its metrics changed.
    """
    made_by = case.made_by.get(stage)
    own = folder_of(stage, champion.tags.get(KEY_TAG, "none"))
    later = f"{own}/{digest_of_json([made_by, *map(key_of, asked)])}"
    places = [own, later] if stage_versions(champion.tags).get(stage) == made_by else [later]
    wanted = Scored.read(asked)
    folder = scratch / f"champion-{champion.version}"
    for kept in places:
        file = fetch_file(champion.run_id, f"{kept}/{ANSWERS}", folder)
        if file is not None and Scored.read(read_rows(file)).covers(wanted):
            return list(read_rows(file))
    if made_by != today[stage]:
        where, expected = "the answers to be compared with", "scored by this version of Retune"
        mend = "its recipe, run again, has them scored anew"
        raise BadModel(where, expected, f"scored by another version of Retune; {mend}")
    logger.info("version %s, the champion, is scored on the same records", champion.version)
    file = _score(champion, stage, asked, folder)
    try:
        log_file(champion.run_id, file, later)
    except MlflowException as error:
        if not is_missing(error):
            raise
        logger.warning("the answers of version %s are not kept: %s", champion.version, error)
    return list(read_rows(file))


def _score(champion: Version, stage: str, asked: Rows, folder: Path) -> Path:
    package = download(champion, folder / "package")
    settings_file = package / "artifacts" / "retune" / "generation.json"
    if not settings_file.is_file():
        raise BadModel(f"version {champion.version}", "a version that Retune made", "another one")
    settings = read_json(settings_file)
    generation = Generation(
        **{name: settings[name] for name in Generation.model_fields if name in settings}
    )
    output = folder / stage
    output.mkdir(parents=True, exist_ok=True)
    examples = write_examples(output / "examples.parquet", list(map(_example, asked)))
    job = Job(
        examples=examples.absolute(),
        metrics={row["task"]: tuple(row["scores"]["tuned"]) for row in asked},
        ways={
            "tuned": Way(
                model=(package / "artifacts" / "model").absolute(),
                trust_remote_code=settings.get("trust_remote_code", False),
            )
        },
        generation=generation_for_probes(generation) if stage == "forgetting" else generation,
        max_prompt_tokens=settings["max_prompt_tokens"],
        resamples=RESAMPLES,
        seed=Generation().seed,
        output=output.absolute(),
        events=(output / "events.jsonl").absolute(),
    )
    score(job, output, f"{stage}, champion")
    return output / ANSWERS


def _example(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "completion": row["references"][0], "label": None}
