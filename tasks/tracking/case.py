"""What a version is judged on: its figures and answers, kept with its run.

So it can be judged again later, on another machine, against another champion:

    test/9f0c.../evidence.json      {"evidence": {"metric": "rougeL", "gain": {...}, ...},
                                     "primaries": {"support_summary": "rougeL"}, ...}
    test/9f0c.../predictions.jsonl  forgetting/9f0c.../predictions.jsonl
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from tasks.errors import BadModel
from tasks.stage import read_json, write_json
from tasks.tracking.decision import Evidence
from tasks.tracking.lineage import stage_versions
from tasks.tracking.registry import KEY_TAG, Version
from tasks.tracking.run import fetch_file, log_file

ANSWERS = "predictions.jsonl"
EVIDENCE = "evidence.json"


@dataclass(frozen=True)
class Case:
    """A version on trial.

    Attributes:
        model: The registered model.
        key: What identifies the version's content.
        evidence: All that was measured, but not yet the comparison with the champion.
        primaries: Task -> its deciding metric.
        probe_primaries: Probe -> its deciding metric.
        needs_approval: Whether a person must agree to its promotion.
        answers: Stage (test, forgetting) -> its `predictions.jsonl`.
        made_by: Stage -> the version of it that made and scored these answers.
    """

    model: str
    key: str
    evidence: Evidence
    primaries: Mapping[str, str]
    probe_primaries: Mapping[str, str]
    needs_approval: bool
    answers: Mapping[str, Path]
    made_by: Mapping[str, str]


def folder_of(stage: str, key: str) -> str:
    """Where a run keeps the answers of a version; it may have made several."""
    return f"{stage}/{key[:16]}"


def log_case(case: Case, run_id: str, scratch: Path) -> None:
    """Keep a case with its run.

    Args:
        case: The case.
        run_id: The run that made the version.
        scratch: Folder for the file on its way.
    """
    kept = asdict(case)
    del kept["model"], kept["answers"], kept["made_by"]
    write_json(scratch / EVIDENCE, kept)
    log_file(run_id, scratch / EVIDENCE, folder_of("test", case.key))
    for stage, path in case.answers.items():
        log_file(run_id, path, folder_of(stage, case.key))


def fetch_case(version: Version, folder: Path) -> Case:
    """The case of a registered version.

    Args:
        version: The version.
        folder: Where to put its files.

    Raises:
        BadModel: Its run has none.
    """
    key = version.tags.get(KEY_TAG, "")
    test = folder_of("test", key)
    evidence = fetch_file(version.run_id, f"{test}/{EVIDENCE}", folder) if key else None
    answers = {
        stage: fetch_file(version.run_id, f"{folder_of(stage, key)}/{ANSWERS}", folder)
        for stage in ("test", "forgetting")
        if key
    }
    files = {stage: path for stage, path in answers.items() if path is not None}
    if evidence is None or len(files) < len(answers):
        raise BadModel(
            f"{version.model}/{version.version}",
            "a version whose run has its evidence",
            "none",
            "run its recipe again with `retune run`, or promote it with --override --reason TEXT",
        )
    kept = read_json(evidence)
    kept["evidence"] = TypeAdapter(Evidence).validate_python(kept["evidence"])
    made_by = stage_versions(version.tags)
    return Case(model=version.model, answers=files, made_by=made_by, **kept)
