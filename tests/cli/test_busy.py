"""What `avo bench` and `avo submit` say of a busy machine before they measure."""

from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.cli import candidates
from avo_tui.cli.errors import Failure
from tests.cli.command_line import Result

Avo = Callable[..., Result]


@pytest.fixture
def occupied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "LOOK_SECONDS", 0.0)
    text = "cpu is in use by session other (process 7)"
    monkeypatch.setattr(candidates, "measuring_text", lambda: text)


@pytest.mark.parametrize("command", ["bench", "submit"])
def test_nothing_is_measured_on_a_busy_machine_where_that_is_asked(
    occupied: None, avo: Avo, done: Path, tmp_path: Path, command: str
) -> None:
    mine = tmp_path / "kernel.cpp"
    mine.write_text("int x;\n")
    refused = avo(command, "done", str(mine), "--unless-busy")
    assert refused.code == 1 and "nothing was measured, since the machine is busy" in refused.err
    assert "session other (process 7)" in refused.err


def test_else_it_is_only_said(occupied: None, capsys: pytest.CaptureFixture[str]) -> None:
    candidates.say_busy(unless_busy=False)
    assert "avo: the machine is busy now" in capsys.readouterr().err
    with pytest.raises(Failure, match="session other"):
        candidates.say_busy(unless_busy=True)
