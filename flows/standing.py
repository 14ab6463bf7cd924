"""Where a version stands now: a run that reuses it reports that, and not how it was once judged.

standing({"model": "support-summarizer", "version": "2", "decision": {"promote": true, ...}, ...})
-> {"promote": false,
    "reasons": [..., "ana@gpu-1 at 2027-03-01T08:00:00.123456Z took it out of service."]}
"""

from collections.abc import Mapping
from typing import Any

from tasks.tracking.promotion import WITHDRAWN_TAG, since
from tasks.tracking.registry import CHAMPION, Version, by_alias, by_version


def standing(result: Mapping[str, Any]) -> dict[str, Any]:
    """The decision on a version, as the registry has it now.

    Args:
        result: What registration left behind.
    """
    version = by_version(result["model"], str(result["version"]))
    decision: dict[str, Any] = result["decision"]
    is_champion = CHAMPION in version.aliases
    if is_champion == decision["promote"]:
        return decision
    why = f"It is the champion{since(version)}." if is_champion else _retreat(version)
    return {"promote": is_champion, "reasons": [*decision["reasons"], why]}


def _retreat(version: Version) -> str:
    if withdrawn := version.tags.get(WITHDRAWN_TAG):
        return f"{withdrawn} took it out of service."
    champion = by_alias(version.model, CHAMPION)
    return f"The champion is version {champion.version}." if champion else "There is no champion."
