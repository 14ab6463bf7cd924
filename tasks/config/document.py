"""Writes what the recipe's field docs say: its JSON Schema, and `docs/recipes.md`.

python -m tasks.config.document
"""

import json
from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tasks.config.recipe import Recipe
from tasks.config.section import Section, section_in

ROOT = Path(__file__).parents[2]
SCHEMA_FILE = ROOT / "configs" / "recipes" / "recipe.schema.json"
DOCS_FILE = ROOT / "docs" / "recipes.md"

HEAD = """\
# Recipes

A recipe is one YAML file that describes one run. It is validated whole before anything starts;
unknown keys fail, and every issue is reported at once. `--set key=value` overrides a key for one
run (`--set train.epochs=1`, `--set tasks.0.source.path=mine.jsonl`). Editors complete and check a
recipe that begins with

    # yaml-language-server: $schema=recipe.schema.json

This page is generated from the documentation of the fields (`make schema`).
"""


def schema() -> str:
    """The JSON Schema of a recipe, as text."""
    content = Recipe.model_json_schema()
    content["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def documentation() -> str:
    """The page that documents every field, as Markdown."""
    titles: dict[type[Section], str] = {Recipe: "The recipe"}
    for title, section in _below(Recipe):
        titles.setdefault(section, title)  # old tasks are written like tasks
    return "\n".join([HEAD, *(_section(title, section) for section, title in titles.items())])


def _below(section: type[Section], above: str = "") -> Iterator[tuple[str, type[Section]]]:
    """The sections in a section, however deep, each with its title."""
    for name, field in section.model_fields.items():
        if inner := section_in(field.annotation):
            yield f"{above}`{name}`", inner
            yield from _below(inner, f"{above}`{name}`: ")


def _section(title: str, section: type[Section]) -> str:
    lines = [
        f"## {title}",
        "",
        str(getdoc(section)),
        "",
        "| key | default | meaning |",
        "| --- | --- | --- |",
    ]
    for name, field in section.model_fields.items():
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        lines.append(f"| `{name}` | {_default(field)} | {meaning} |")
    return "\n".join([*lines, ""])


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, Section):
        return ""
    return f"`{json.dumps(field.default)}`"


def main() -> None:
    """Write both files."""
    SCHEMA_FILE.write_text(schema(), encoding="utf-8")
    DOCS_FILE.write_text(documentation(), encoding="utf-8")


if __name__ == "__main__":
    main()
