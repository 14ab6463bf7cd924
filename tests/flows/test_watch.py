"""One recipe that can't be used does not keep the watcher from the others."""

from pathlib import Path

import pytest

import flows.watch
from flows.watch import watch
from tasks.errors import BadInput, BadRecipe

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_the_others_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []

    def look(recipe: str) -> str:
        if recipe.startswith("bad"):
            raise BadRecipe(recipe, "a recipe", "none")
        looked_at.append(recipe)
        return "nothing new"

    monkeypatch.setenv("RETUNE_HOME", str(tmp_path))
    monkeypatch.setattr(flows.watch, "_look", look)
    with pytest.raises(BadInput) as raised:
        watch(["bad-1.yaml", "a.yaml", "bad-2.yaml", "b.yaml"])
    assert looked_at == ["a.yaml", "b.yaml"]
    assert [issue.where for issue in raised.value.issues] == ["bad-1.yaml", "bad-2.yaml"]
