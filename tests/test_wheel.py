"""The wheel and the sdist: what ships is found from an empty folder, and nothing private is in."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


# What a person has in a checkout: a session, a task and a module not yet added, keys.
PRIVATE = (
    "sessions/demo/session.json",
    "sessions/mha-hopper/view.json",
    "kernels/secret_task/task.toml",
    "knowledge/my-notes.md",
    "docs/draft.md",
    "avo_tui/credentials.py",
    ".env",
    "dist/old.whl",
)


def run(command: list[str], folder: Path) -> str:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def fill(tree: Path) -> None:
    for name in PRIVATE:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine alone")


def build(tree: Path, target: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(tree / "built")],
        cwd=tree, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def built(tree: Path, target: str, ending: str) -> Path:
    ended = build(tree, target)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (artifact,) = (tree / "built").glob(f"*{ending}")
    return artifact


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout in which a person has worked."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed: the wheel cannot be built without a network")
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone")
    tree = tmp_path_factory.mktemp("checkout")
    for name in run(["git", "ls-files", "-z"], ROOT).split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    run(["git", "init", "-q"], tree)
    run(["git", "add", "--all"], tree)
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    run(["git", *who, "commit", "-q", "--no-gpg-sign", "-m", "A commit"], tree)
    fill(tree)
    return tree


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    return built(checkout, "wheel", ".whl")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the content of a freshly built wheel, and nothing else."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_a_wheel_holds_what_git_tracks_and_nothing_of_a_person(checkout: Path, wheel: Path) -> None:
    tracked = run(["git", "ls-files"], checkout).splitlines()
    folders = {"kernels", "knowledge", "docs", "sessions"}
    expected = {name for name in tracked if name.startswith("avo_tui/")} | {
        f"avo_tui/data/{name}" for name in tracked if name.split("/")[0] in folders
    }
    packed = {name for name in names_in(wheel) if ".dist-info/" not in name}
    assert packed == expected
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in packed if archive.read(name) == b"mine alone"]


def test_an_sdist_holds_what_git_tracks_and_makes_the_same_wheel(
    checkout: Path, wheel: Path, tmp_path: Path
) -> None:
    with tarfile.open(built(checkout, "sdist", ".tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    packed = {str(p.relative_to(unpacked)) for p in unpacked.rglob("*") if p.is_file()}
    tracked = set(run(["git", "ls-files"], checkout).splitlines())
    assert packed == tracked | {"PKG-INFO", "MANIFEST"}
    fill(unpacked)  # who unpacks it works in it too
    assert names_in(built(unpacked, "wheel", ".whl")) == names_in(wheel)


def test_a_session_that_was_written_to_is_not_packed(checkout: Path) -> None:
    session = checkout / "sessions" / "attention-cpu-agent" / "session.json"
    before = session.read_bytes()
    session.write_bytes(before + b" ")
    try:
        ended = build(checkout, "wheel")
    finally:
        session.write_bytes(before)
    assert ended.returncode != 0
    assert "session.json is not as it was committed" in ended.stderr


def test_a_folder_without_a_list_of_files_is_not_packed(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "avo_tui").mkdir()
    shutil.copy(ROOT / "avo_tui" / "__init__.py", tmp_path / "avo_tui")
    ended = build(tmp_path, "wheel")
    assert ended.returncode != 0
    assert "build from a git clone or from an sdist" in ended.stderr


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
