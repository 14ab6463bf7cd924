"""The newest commit of a branch on the hub, so that a retraining says which data it was made from.

newest_commit("allenai/soda", "main")  ->  "3f2a90c1..."
"""

import re

from tasks.errors import BadData, first_line


def newest_commit(hub: str, revision: str) -> str:
    """The commit that a revision of a hub data set means now.

    Args:
        hub: The data set.
        revision: Branch, tag or commit; the hash of a commit is itself, and nothing is asked.

    Raises:
        BadData: The hub can't be reached, or has no such revision.
    """
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HfHubHTTPError,
        HFValidationError,
        HTTPError,  # of whichever client the hub's library uses
        OfflineModeIsEnabled,
    )

    where = f"hub:{hub}@{revision}"
    try:
        commit = HfApi().dataset_info(hub, revision=revision, timeout=60).sha
    except (HfHubHTTPError, HFValidationError) as error:
        found = first_line(error)
        raise BadData(where, "a data set on the hub", found, "check name and revision") from None
    except (OSError, HTTPError, OfflineModeIsEnabled) as error:
        mend = "pin the revision by its commit, or connect to the hub"
        raise BadData(where, "a hub that answers", str(error), mend) from None
    assert commit, "the hub names the commit of every revision"
    return commit
