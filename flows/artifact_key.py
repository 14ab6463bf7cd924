"""Keys of Prefect's artifacts, which may have lower-case letters, digits and hyphens only.

artifact_key("result", "Support_chat")  ->  "result-support-chat"
"""

import re


def artifact_key(kind: str, name: str) -> str:
    """The key under which Prefect's pages show an artifact.

    Args:
        kind: What it shows, such as `result`.
        name: Of a recipe or of a registered model.
    """
    return re.sub(r"[^a-z0-9]", "-", f"{kind}-{name}".lower())
