"""What other tools call a key leads to one that a recipe has."""

from pathlib import Path

import pytest

from tasks.config import load_recipe
from tasks.config.names import OTHER_NAMES
from tasks.errors import BadRecipe


@pytest.mark.parametrize("key", sorted(set(OTHER_NAMES.values())))
def test_there_is_such_a_key(tmp_path: Path, key: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("tasks: [{}]\n", encoding="utf-8")
    with pytest.raises(BadRecipe) as caught:
        load_recipe(path, [f"{key}=null"])
    assert f"found     `{key.rpartition('.')[2]}`" not in str(caught.value)
