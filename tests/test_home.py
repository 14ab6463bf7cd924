"""The state folder: an older one is opened, a newer one is refused."""

from pathlib import Path

import pytest

from tasks.errors import BadWorkspace
from tasks.home import LAYOUT, from_here, prepare_environment
from tasks.home import state_home as found_home


def test_an_empty_variable_names_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETUNE_HOME", "")
    assert found_home() == Path.cwd() / ".retune"


def test_a_path_is_shown_as_one_would_type_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert from_here(str(tmp_path / "a" / "report.html")) == "a/report.html"
    assert from_here("/elsewhere/report.html") == "/elsewhere/report.html"


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


@pytest.mark.parametrize("name", ["feature%2Fx", "what?"])
def test_a_name_that_urls_cannot_have_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETUNE_HOME", str(tmp_path / name))
    with pytest.raises(BadWorkspace, match="have RETUNE_HOME name another folder"):
        prepare_environment()
    assert list(tmp_path.iterdir()) == []
