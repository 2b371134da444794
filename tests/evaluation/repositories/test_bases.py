"""The base of a git repository is its commit, whole, whatever stands in the checkout."""

import subprocess
from pathlib import Path

import pytest

from avo_tui.evaluation.backends.command.base import copied, take_base
from avo_tui.evaluation.backends.command.project import Project
from avo_tui.evaluation.ports import EvaluatorError


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, check=True)
    return done.stdout.decode().strip()


def repository(folder: Path) -> Path:
    (folder / "lib/src").mkdir(parents=True)
    (folder / "lib/src/a.c").write_text("int a;\n")
    (folder / "top.txt").write_text("top\n")
    git(folder, "init", "-q", ".")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "base")
    return folder


def project(base: str) -> Project:
    return Project.model_validate(
        {
            "project": {"title": "t", "base": base, "editable": ["**"]},
            "test": {"command": "true"},
            "benchmark": {"command": "true", "format": "wall", "metrics": ["wall"]},
        }
    )


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("inside", "files"), [("", {"lib/src/a.c", "top.txt"}), ("lib", {"src/a.c"})]
)
def test_a_folder_of_a_checkout_is_taken_as_committed(
    tmp_path: Path, inside: str, files: set[str]
) -> None:
    top = repository(tmp_path / "r")
    commit = git(top, "rev-parse", "HEAD")
    (top / "lib/src/a.c").write_text("dirty\n")
    state = git(top, "status", "--porcelain")
    base = take_base(top / inside, project(commit))
    assert set(base.files) == files
    assert next(p for p in base.tree.rglob("a.c")).read_text() == "int a;\n"
    assert git(top, "status", "--porcelain") == state


def test_a_copy_of_a_further_worktree_points_to_no_repository(tmp_path: Path) -> None:
    top = repository(tmp_path / "r")
    git(top, "worktree", "add", "-q", str(tmp_path / "further"))
    base = copied(tmp_path / "further")
    assert set(base.files) == {"lib/src/a.c", "top.txt"}


def test_a_submodule_comes_along_or_is_named(tmp_path: Path) -> None:
    other = repository(tmp_path / "other")
    top = repository(tmp_path / "r")
    git(top, "submodule", "add", "-q", str(other), "deps/other")
    git(top, "commit", "-qm", "with a submodule")
    base = take_base(top, project("HEAD"))
    assert "deps/other/lib/src/a.c" in base.files
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(top), str(clone))
    (tmp_path / "data" / "avo-tui" / "bases").rename(tmp_path / "moved")
    with pytest.raises(EvaluatorError, match=r"submodule deps/other .* is not checked out"):
        take_base(clone, project("HEAD"))
