"""The state folder: an older one is opened, a newer one is refused."""

from pathlib import Path

import pytest

from tasks.errors import BadWorkspace
from tasks.home import LAYOUT, prepare_environment
from tasks.home import state_home as found_home


def test_an_empty_variable_names_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETUNE_HOME", "")
    assert found_home() == Path.cwd() / ".retune"


@pytest.mark.parametrize("mark", [None, "", "0", str(LAYOUT)])
def test_a_folder_of_this_version_or_older_is_opened(mark: str | None, state_home: Path) -> None:
    state_home.mkdir()
    if mark is not None:
        (state_home / "layout").write_text(mark)
    prepare_environment()
    assert (state_home / "layout").read_text().strip() == str(LAYOUT)


def test_a_folder_of_a_newer_version_is_refused(state_home: Path) -> None:
    state_home.mkdir()
    (state_home / "layout").write_text(f"{LAYOUT + 1}\n")
    with pytest.raises(BadWorkspace, match="update Retune") as raised:
        prepare_environment()
    assert raised.value.exit_code == 2
    assert (state_home / "layout").read_text() == f"{LAYOUT + 1}\n"
