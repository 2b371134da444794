"""The wheel, installed apart and used from an empty folder: what ships is found there."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the content of a freshly built wheel, and nothing else."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed: the wheel cannot be built without a network")
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def avo(site: Path, here: Path, *arguments: str) -> str:
    """Runs the installed program in an empty folder; returns what it printed."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("AVO_")},
        "PYTHONPATH": str(site),
        "XDG_DATA_HOME": str(here / "data"),
        "XDG_CONFIG_HOME": str(here / "config"),
        "COLUMNS": "160",
    }
    empty = here / "empty"
    empty.mkdir(exist_ok=True)
    code = f"import avo_tui; assert avo_tui.__file__.startswith({str(site)!r}), avo_tui.__file__"
    assert subprocess.run([sys.executable, "-c", code], env=environment, cwd=empty).returncode == 0
    ended = subprocess.run(
        [sys.executable, "-m", "avo_tui.cli", *arguments],
        cwd=empty, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0, f"{arguments}: {ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.mark.slow
def test_what_ships_is_found(installed: Path, tmp_path: Path) -> None:
    tasks = json.loads(avo(installed, tmp_path, "tasks", "--json"))
    assert {"attention_cpu", "mha_forward"} <= {t["name"] for t in tasks["tasks"]}
    assert not tasks["broken"]
    sessions = json.loads(avo(installed, tmp_path, "sessions", "--json"))["sessions"]
    assert "mha-hopper" in {s["session"] for s in sessions}
    assert "Your first kernel" in avo(installed, tmp_path, "docs", "first-kernel")
    assert avo(installed, tmp_path, "knowledge", "search", "shared memory bank conflicts").strip()
    lineage = json.loads(avo(installed, tmp_path, "lineage", "mha-hopper", "--json"))
    assert len(lineage["versions"]) > 10
    to = tmp_path / "exported"
    avo(installed, tmp_path, "export", "mha-hopper", "--as", "html", "--to", str(to))
    assert to.exists()


@pytest.mark.slow
def test_the_demonstration_runs(installed: Path, tmp_path: Path) -> None:
    printed = avo(installed, tmp_path, "demo", "--headless", "--budget-hours", "0.001")
    assert "v0 committed" in printed
