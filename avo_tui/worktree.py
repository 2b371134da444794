"""Changes to a repository that come as a patch, a folder, or a worktree of ours."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from avo_tui.domain.candidate import (
    MAX_FILE_BYTES,
    MOST_BYTES,
    MOST_FILES,
    Candidate,
    check_file_name,
)
from avo_tui.domain.repository import editable
from avo_tui.domain.task import TaskInfo
from avo_tui.git_command import GitError, committed
from avo_tui.patches import ChangeError, apply_patch, parsed

MARK = ".avo-worktree"
_OURS = {MARK, "avo.toml"}
"""Files that say how a change is measured, and are none of it."""
_MOST_PATCH = 16 << 20
_SKIPPED = frozenset({".git", "__pycache__", "node_modules", ".venv", ".pytest_cache"})
JUNK = _SKIPPED.union([".hg", ".svn", "venv", "target", "build", "dist", ".tox", ".nox", ".eggs",
                       ".mypy_cache", ".ruff_cache", ".idea", ".vscode"])  # fmt: skip
"""Folders that are no part of a repository: histories, environments and what builds leave."""
_LEFT = {".o", ".so", ".a", ".pyc", ".d", ".lo", ".la", ".pyd", ".egg", ".orig", ".rej"}
_MOST_SEEN = 400_000


def text_below(base: Path, patterns: Sequence[str]) -> Candidate:
    """The editable files of a base as they are. Raises ChangeError."""
    if not base.is_dir():
        raise ChangeError(f"the base is not kept on this machine any more: {base}")
    files: dict[str, Path] = {}
    for path in base.rglob("*"):
        name = path.relative_to(base).as_posix()
        if editable(name, patterns) and path.is_file() and not path.is_symlink():
            with contextlib.suppress(ValueError):  # another name, or no text: it stays as it is
                check_file_name(name)
                _text(path, name)
                files[name] = path
    if not files:
        raise ChangeError(
            f"no text file of the base is covered by editable = {', '.join(patterns)}"
        )
    total = sum(path.stat().st_size for path in files.values())
    if len(files) > MOST_FILES or total > MOST_BYTES:
        raise ChangeError(
            f"editable covers {len(files)} files, {total >> 20} MiB; {MOST_FILES} files and"
            f" {MOST_BYTES >> 20} MiB are the most: name fewer folders"
        )
    return Candidate(files={name: path.read_bytes().decode() for name, path in files.items()})


def seed_of(task: TaskInfo) -> Candidate:
    """The editable files of a repository as they are in the base. Raises ChangeError."""
    return text_below(Path(task.tree), task.editable)


def read_change(path: Path, task: TaskInfo, head: Candidate | None = None) -> Candidate:
    """The candidate that a patch, a folder or a worktree makes of a repository.

    A patch is applied to the base, or to the head where it only fits there. A folder's files
    replace those of the same path; a worktree is taken as a whole, so that what is not there is
    deleted. Raises ChangeError.
    """
    seed = seed_of(task)
    if path.is_dir():
        return _of_folder(path, task, seed)
    if path.is_file():
        return _of_patch(path, task, seed, head)
    raise ChangeError(f"{path} is neither a patch nor a folder")


def _outside(name: str, task: TaskInfo) -> str:
    return f"{name} is not editable: a candidate may change {', '.join(task.editable)}"


def _of_patch(path: Path, task: TaskInfo, seed: Candidate, head: Candidate | None) -> Candidate:
    if path.stat().st_size > _MOST_PATCH:
        raise ChangeError(f"{path} is longer than {_MOST_PATCH >> 20} MiB, so it is no patch")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ChangeError(f"{path} is not text, so it is no patch") from None
    for file in parsed(text):
        for name in (file.source_file.removeprefix("a/"), file.path):
            if name != "/dev/null" and not editable(name, task.editable):
                raise ChangeError(_outside(name, task))
    try:
        return apply_patch(seed, text)[0]
    except ChangeError as error:
        if head is not None and head.id != seed.id:
            with contextlib.suppress(ChangeError):
                return apply_patch(head, text)[0]
        raise ChangeError(f"{path} does not apply to the base: {error}") from None


def _of_folder(folder: Path, task: TaskInfo, seed: Candidate) -> Candidate:
    """Of a worktree, what builds left in it is none of the candidate's."""
    base, ours = Path(task.tree), (folder / MARK).is_file()
    if ours and _mark(folder) != base.parent.name:
        raise ChangeError(f"{folder} is a worktree of another base; make one with avo worktree")
    files = {} if ours else dict(seed.files)
    seen = set()
    for name, path in _files(folder, base):
        seen.add(name)
        in_base = os.path.lexists(base / name)
        if name in seed.files:
            files[name] = _text(path, name)
        elif _same(path, base / name) or (ours and not in_base and _is_left(path, name, task)):
            continue
        elif not editable(name, task.editable):
            checkout = not ours and (folder / ".git").exists()
            how = f"; of a checkout, give the patch: git -C {folder} diff > change.patch"
            raise ChangeError(_outside(name, task) + how * checkout)
        else:
            files[name] = _text(path, name)
    if ours:
        gone = (n for n, _ in _files(base, base) if n not in seen and n not in seed.files)
        if name := next(gone, ""):
            told = ", ".join(task.editable)
            raise ChangeError(f"{name} was deleted; a candidate's are the text files of {told}")
    if not files or not seen:
        raise ChangeError(f"{folder} holds {'nothing editable' if ours else 'no files'}")
    return _candidate(files)


def _is_left(path: Path, name: str, task: TaskInfo) -> bool:
    """Whether a new file is what a build leaves, and not text that somebody wrote."""
    if not editable(name, task.editable) or path.suffix in _LEFT:
        return True
    if any(part.endswith((".egg-info", ".dist-info")) for part in path.parts):
        return True
    with path.open("rb") as file:
        return b"\0" in file.read(8192)


def _mark(folder: Path) -> str:
    try:
        return str(json.loads((folder / MARK).read_text(encoding="utf-8"))["base"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _files(folder: Path, base: Path) -> Iterator[tuple[str, Path]]:
    """(path in the tree, file) of each regular file. Raises ChangeError for a link out of it that
    the base has not."""
    count, real = 0, Path(os.path.realpath(folder))
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(
            n for n in folders if n not in _SKIPPED and not Path(inside, n).is_symlink()
        )
        for path in (Path(inside, name) for name in sorted(names) if name not in _OURS):
            name = path.relative_to(folder).as_posix()
            if not path.is_file() or (path.is_symlink() and _same_link(path, base / name)):
                continue
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(real):
                raise ChangeError(
                    f"{path} is a link out of the folder: copy the file if it belongs to it"
                )
            count += 1
            if count > _MOST_SEEN:
                raise ChangeError(
                    f"{folder} holds more than {_MOST_SEEN} files; name a smaller folder"
                )
            yield name, path


def _same_link(path: Path, other: Path) -> bool:
    return other.is_symlink() and other.readlink() == path.readlink()


def _same(path: Path, other: Path) -> bool:
    if not other.is_file() or path.stat().st_size != other.stat().st_size:
        return False
    return path.read_bytes() == other.read_bytes()


def _text(path: Path, name: str) -> str:
    """A file of a candidate. Raises ChangeError."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ChangeError(f"{name} is longer than {MAX_FILE_BYTES} bytes")
    data = path.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ChangeError(f"{name} is a binary file; a candidate's files are text")
    return text


def _candidate(files: dict[str, str]) -> Candidate:
    try:
        return Candidate(files=files)
    except ValueError as error:
        lines = str(error).splitlines()
        raise ChangeError(lines[2].strip() if len(lines) > 2 else str(error)) from None


def make_worktree(to: Path, task: TaskInfo, candidate: Candidate | None) -> None:
    """A folder with the base's files, and a candidate's in place of the editable ones.

    It becomes a git repository with one commit where there is git. Raises ChangeError.
    """
    base = Path(task.tree)
    if not task.tree or not base.is_dir():
        raise ChangeError(f"the base is not kept on this machine any more: {base}")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ChangeError(f"{to} is not empty; choose another folder")
    shutil.copytree(base, to, symlinks=True, dirs_exist_ok=True)
    if candidate is not None:
        lay(candidate, to, seed_of(task).files)
    (to / MARK).write_text(json.dumps({"base": base.parent.name}) + "\n", encoding="utf-8")
    with contextlib.suppress(GitError):
        committed(to, f"base of {task.name}", "main")


def lay(candidate: Candidate, tree: Path, before: Mapping[str, str]) -> None:
    """Put a candidate's files in place of the editable ones that a tree was laid out with. What
    stays as it is keeps its time, and what changes its mode."""
    for name in before.keys() - candidate.files.keys():
        (tree / name).unlink(missing_ok=True)
    for name, text in candidate.files.items():
        if before.get(name) == text:
            continue
        path = tree / name
        if path.is_symlink():
            path.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
