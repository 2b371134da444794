"""The lineage as a repository, read back with git itself."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from avo_tui.export.folder import ExportError
from avo_tui.export.git import as_git
from avo_tui.store import SessionReader

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=environment,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


@pytest.fixture
def repository(reader: SessionReader, tmp_path: Path) -> Path:
    done = as_git(reader, tmp_path / "deep" / "repository")
    assert done.versions == (0, 1, 2, 3, 4)
    return done.folder


def test_the_repository_is_sound_and_clean(repository: Path) -> None:
    assert git(repository, "fsck", "--strict", "--no-dangling") == ""
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "branch", "--show-current").strip() == "main"


def test_each_version_is_its_candidate_to_the_byte(repository: Path, reader: SessionReader) -> None:
    for number, version in reader.state.versions.items():
        git(repository, "checkout", "--quiet", f"v{number}")
        files = {
            p.relative_to(repository).as_posix(): p.read_bytes()
            for p in repository.rglob("*")
            if p.is_file() and ".git" not in p.relative_to(repository).parts
        }
        stored = reader.candidate(version.candidate).files
        assert files == {name: text.encode() for name, text in stored.items()}


def test_the_tree_of_versions_is_that_of_commits(repository: Path) -> None:
    names = {git(repository, "rev-parse", f"v{n}").strip(): n for n in range(5)}
    parents = {
        names[line.split()[0]]: [names[p] for p in line.split()[1:]]
        for line in git(repository, "rev-list", "--parents", *names).splitlines()
    }
    assert parents == {0: [], 1: [0], 2: [1], 3: [1], 4: [3]}
    points = {
        ref: names[git(repository, "rev-parse", ref).strip()]
        for ref in ("refs/heads/main", "refs/heads/line/v2", "refs/tags/best", "refs/tags/head")
    }
    assert points == {
        "refs/heads/main": 4,
        "refs/heads/line/v2": 2,
        "refs/tags/best": 2,
        "refs/tags/head": 4,
    }
    assert git(repository, "for-each-ref", "--format=%(refname)", "refs/heads").split() == [
        "refs/heads/line/v2",
        "refs/heads/main",
    ]


def test_a_commit_says_who_when_what_and_how_fast(repository: Path) -> None:
    said = git(repository, "log", "-1", "--format=%an|%cn|%aI|%s|%b", "v2")
    author, committer, date, subject, body = said.split("|", 4)
    assert (author, committer, date) == ("agent", "avo-tui", "2026-01-02T03:02:05+00:00")
    assert subject.startswith("Summary 2: <script>") and "\x1b" not in said and "\u202e" not in said
    assert "Score: 0.9000 of torch, 90 GFLOP/s" in body and "Plan 2" in body
    assert "- worked: tile 3 pays" in body and "\nVersion: v2\n" in body
    assert git(repository, "log", "-1", "--format=%an", "v0").strip() == "seed"


def test_the_gates_word_is_a_note(repository: Path) -> None:
    note = git(repository, "notes", "show", "v2")
    assert "Gate strict: +2.00% against v0" in note
    assert "Measured again" in note and "Bookmark: dead end" in note and "\x1b" not in note
    assert "Gate strict" in git(repository, "notes", "show", "v4")


def test_two_exports_have_the_same_hashes(
    repository: Path, reader: SessionReader, tmp_path: Path
) -> None:
    again = as_git(reader, tmp_path / "again").folder
    refs = "--format=%(objectname) %(refname)"
    assert git(again, "for-each-ref", refs) == git(repository, "for-each-ref", refs)


def test_the_persons_configuration_of_git_is_left_out(
    reader: SessionReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[core]\nautocrlf = true\n[commit]\ngpgsign = true\n[init]\ntemplateDir = x\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    folder = as_git(reader, tmp_path / "out").folder
    assert git(folder, "show", "v1:kernel.cpp") == "int tile = 2;\r\nint second = 1;\n"
    assert not (tmp_path / "elsewhere").exists()


def test_without_git_one_sentence_says_what_to_do(
    reader: SessionReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExportError, match=r"there is no git .* install it"):
        as_git(reader, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failure_leaves_nothing_behind(
    reader: SessionReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bin" / "git"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'fatal: no luck \x1b[31m' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:/bin:/usr/bin")
    place = tmp_path / "out"
    place.mkdir()
    with pytest.raises(ExportError, match="git init failed: fatal: no luck"):
        as_git(reader, place / "repository")
    assert list(place.iterdir()) == []


def test_a_session_without_versions_has_nothing_to_export(
    empty: SessionReader, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="no version yet"):
        as_git(empty, tmp_path / "out")
