"""Where sessions and tasks come from: chosen in the settings, and said."""

from pathlib import Path

import pytest

from avo_tui.cli.errors import Failure
from avo_tui.cli.folders import sessions_text, take_from_settings, tasks_text
from avo_tui.store import own_root, sessions_roots


@pytest.fixture(autouse=True)
def nothing_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file of the test; the variables are put back after it."""
    for name in ("AVO_SESSIONS", "AVO_KERNELS"):
        monkeypatch.setenv(name, "")
        monkeypatch.setenv(f"{name}_FROM", f"${name}")
    monkeypatch.setenv("AVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "config.toml"


def test_the_settings_choose_both_folders(nothing_chosen: Path, tmp_path: Path) -> None:
    mine = tmp_path / "kernels of mine"
    mine.mkdir()
    nothing_chosen.write_text(f'sessions = "~/runs"\nkernels = "{mine}"\n')
    take_from_settings()
    assert sessions_roots()[0] == tmp_path / "home" / "runs"
    assert own_root().origin == "settings"
    assert sessions_text() == "~/runs (settings)"
    assert tasks_text() == "settings, shipped"


def test_the_environment_wins_over_the_file(
    nothing_chosen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_chosen.write_text('sessions = "/nowhere"\n')
    monkeypatch.setenv("AVO_SESSIONS", str(tmp_path / "here"))
    take_from_settings()
    assert sessions_text() == f"{tmp_path / 'here'} ($AVO_SESSIONS)"


def test_without_a_choice_it_is_said_where_it_goes(tmp_path: Path) -> None:
    take_from_settings()
    assert sessions_text() == f"{tmp_path / 'data' / 'avo-tui' / 'sessions'} (your data folder)"
    (tmp_path / "work" / "sessions").mkdir()
    (tmp_path / "work" / "kernels").mkdir()
    assert sessions_text() == "./sessions"
    assert tasks_text() == "./kernels (not trusted), shipped"


@pytest.mark.parametrize("name", ["sessions", "kernels"])
def test_a_relative_folder_is_refused(nothing_chosen: Path, name: str) -> None:
    nothing_chosen.write_text(f'{name} = "runs"\n')
    with pytest.raises(Failure, match=f"{name}: runs is a relative folder"):
        take_from_settings()
