"""The published schema and the field docs are those of the code."""

import json
from inspect import getdoc
from typing import get_args

import jsonschema
import pytest
from ruamel.yaml import YAML

from tasks.config import Section
from tasks.config.document import DOCS_FILE, ROOT, SCHEMA_FILE, documentation, schema
from tasks.config.recipe import Recipe


def test_schema_is_up_to_date() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema(), "run `make schema`"


def test_docs_are_up_to_date() -> None:
    assert DOCS_FILE.read_text(encoding="utf-8") == documentation(), "run `make schema`"


def test_recipes_validate_against_the_schema_and_misspelt_keys_do_not() -> None:
    published = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "configs" / "recipes").glob("*.yaml")):
        content = YAML(typ="safe", pure=True).load(path)
        jsonschema.validate(content, published)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(content | {"trian": {}}, published)


def every_section(section: type[Section]) -> list[type[Section]]:
    found = [section]
    for field in section.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, Section):
                found.extend(every_section(part))
    return found


@pytest.mark.parametrize("section", every_section(Recipe), ids=lambda section: section.__name__)
def test_every_field_is_documented(section: type[Section]) -> None:
    about = getdoc(section)
    assert section.__doc__ and about and about in documentation()
    for name, field in section.model_fields.items():
        assert field.description, f"{section.__name__}.{name}"
