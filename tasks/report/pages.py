"""What the HTML pages share: their templates, style and script, and what a browser may do.

All text of data, models and recipes is escaped by Jinja; only plots, style and script are not. A
Content-Security-Policy allows that one style and that one script, by their hashes, and nothing to
be fetched: a text that did become markup could neither run nor call out.
"""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


def environment() -> Environment:
    """Jinja with the templates of `templates/`."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def asset(name: str) -> Markup:
    """A file of `templates/`, to be put into a page as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def policy(style: str, script: str | None = None) -> str:
    """Nothing but this style and this script, and no base, form or fetch."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src {_hash(style)}",
            *([f"script-src {_hash(script)}"] if script is not None else []),
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
