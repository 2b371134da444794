"""The unit that `avo service` writes is one that systemd takes."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command_line import Result, make_session

Avo = Callable[..., Result]


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "systemd" / "user"


def test_a_unit_is_written_and_removed(avo: Avo, own_places: Path, units: Path) -> None:
    folder = make_session(own_places, "one")
    result = avo("service", "one")
    unit = units / "avo-one.service"
    assert str(unit) in result.out and "enable --now avo-one.service" in result.out
    assert f'-m avo_tui.evolution.keep "{folder}"' in unit.read_text()
    assert avo("service", "one", "--print").out == unit.read_text()
    avo("service", "one", "--remove")
    assert not unit.exists()
    assert avo("service", "one", "--remove").code == 1
    assert "there is no session 'two'" in avo("service", "two").err


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_it(avo: Avo, own_places: Path, units: Path) -> None:
    make_session(own_places, "one")
    avo("service", "one")
    unit = units / "avo-one.service"
    verified = subprocess.run(
        ["systemd-analyze", "--user", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    mine = [line for line in verified.stderr.splitlines() if "avo-one" in line]
    assert mine == []
