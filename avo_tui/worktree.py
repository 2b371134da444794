"""Changes to a repository that come as a patch, a folder, or a worktree of ours."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchedFile, PatchSet

from avo_tui.domain.candidate import MAX_FILE_BYTES, Candidate, check_file_name
from avo_tui.domain.plain import plain
from avo_tui.domain.repository import editable
from avo_tui.domain.task import TaskInfo

MARK = ".avo-worktree"
FUZZ = 200
"""Number of lines before and after the stated position in which a hunk is searched for."""
_MOST_PATCH = 16 << 20
_SKIPPED = frozenset({".git", "__pycache__", "node_modules", ".venv", ".pytest_cache"})
JUNK = _SKIPPED.union([".hg", ".svn", "venv", "target", "build", "dist", ".tox", ".nox", ".eggs",
                       ".mypy_cache", ".ruff_cache", ".idea", ".vscode"])  # fmt: skip
"""Folders that are no part of a repository: histories, environments and what builds leave."""
_LEFT = {".o", ".so", ".a", ".pyc", ".d", ".lo", ".la", ".pyd", ".egg", ".orig", ".rej"}
_MOST_SEEN = 400_000


class ChangeError(ValueError):
    """What was given cannot be a candidate; the text is one sentence."""


class GitError(ValueError):
    """Git is not there, or could not do it; the text is one sentence."""


def git(
    folder: Path, *arguments: str, given: bytes = b"", more: Mapping[str, str] | None = None
) -> bytes:
    """What git prints. It runs no hooks, asks nothing, and writes only what the arguments say;
    `more` are variables of its environment. Raises GitError."""
    program = shutil.which("git")
    if program is None:
        raise GitError("there is no git on this machine; install it (Debian: apt install git)")
    settings = {"core.hooksPath": "/dev/null", "core.fsmonitor": "false", "core.autocrlf": "false",
                "commit.gpgsign": "false", "user.name": "avo-tui",
                "user.email": "avo@avo-tui.invalid"}  # fmt: skip
    flags = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    done = subprocess.run([program, *flags, *arguments], cwd=folder, input=given,
                          env={**environment, **(more or {})}, capture_output=True,
                          check=False)  # fmt: skip
    if done.returncode:
        why = plain(done.stderr.decode(errors="replace"), 300)
        raise GitError(f"git {arguments[0]} failed: {why}")
    return done.stdout


# -- patches --------------------------------------------------------------------------------


def apply_patch(candidate: Candidate, text: str) -> tuple[Candidate, str]:
    """(new candidate, one line about what changed).

    Context must match exactly; the line numbers may be off. Nothing is applied if any hunk fails.
    Raises ChangeError.
    """
    files = dict(candidate.files)
    changed = [_apply(files, file) for file in _parsed(text)]
    try:
        return Candidate(files=files), "Applied the diff to " + ", ".join(changed)
    except ValueError as error:
        raise ChangeError(f"The result is not a valid candidate: {error}") from None


def _parsed(text: str) -> PatchSet:
    if "\nGIT binary patch" in text or "\nBinary files " in f"\n{text}":
        raise ChangeError("The diff changes a binary file; a candidate's files are text.")
    try:
        patch = PatchSet(text if text.endswith("\n") else text + "\n")
    except UnidiffParseError as error:
        raise ChangeError(
            f"This is not a well-formed unified diff: {error}. Count the lines of each hunk against"
            " its @@ header, or use replace_text."
        ) from None
    if len(patch) == 0:
        raise ChangeError(
            "No file header was found. A unified diff begins with '--- a/NAME' and '+++ b/NAME'."
        )
    return patch


def _apply(files: dict[str, str], file: PatchedFile) -> str:
    """Apply the part of a patch that is about one file; one phrase about it."""
    name = file.path
    if file.is_removed_file:
        _require(files, name)
        del files[name]
        return f"{name} removed"
    if file.is_added_file:
        if name in files:
            raise ChangeError(f"{name} exists already; diff against it instead of /dev/null.")
        _check_name(name)
        files[name] = "".join(line.value for hunk in file for line in hunk if line.is_added)
        return f"{name} added"
    source = file.source_file.removeprefix("a/")
    if file.is_rename and source != name:
        _require(files, source)
        _check_name(name)
        files[name] = patched(source, files.pop(source), list(file))
        return f"{source} renamed to {name}"
    _require(files, name)
    files[name] = patched(name, files[name], list(file))
    return f"{name}: {len(file)} hunk{'s' if len(file) != 1 else ''}"


def _check_name(name: str) -> None:
    try:
        check_file_name(name)
    except ValueError as error:
        raise ChangeError(f"{error}.") from None


def _require(files: dict[str, str], name: str) -> None:
    if name not in files:
        some = ", ".join(list(files)[:40])
        raise ChangeError(f"The candidate has no file {name!r}; it has {some}.")


def patched(name: str, text: str, hunks: list[Hunk]) -> str:
    """A text with hunks applied. Raises ChangeError for one that does not match."""
    ends = "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"
    lines = text.removesuffix("\n").split("\n") if text else []
    if ends == "\r\n":
        lines = [_bare(line) for line in lines]
    shift = 0
    for number, hunk in enumerate(hunks, start=1):
        old = [_bare(line.value) for line in hunk if line.is_context or line.is_removed]
        new = [_bare(line.value) for line in hunk if line.is_context or line.is_added]
        expected = max(hunk.source_start - 1, 0) + shift
        if not old:
            expected = min(hunk.source_start + shift, len(lines))
        start = _find(lines, old, expected)
        if start is None:
            around = numbered("\n".join(lines), max(1, expected - 3), expected + len(old) + 3)
            raise ChangeError(
                f"Hunk {number} of {name} does not match: its context and removed lines are not in"
                f" the file near line {expected + 1}. Nothing was applied. The file reads there:\n"
                f"{around}"
            )
        lines[start : start + len(old)] = new
        shift += len(new) - len(old)
    return ends.join(lines) + (ends if text.endswith("\n") or not text else "")


def _bare(value: str) -> str:
    return value.rstrip("\r\n")


def _find(lines: list[str], old: list[str], expected: int) -> int | None:
    last = len(lines) - len(old)
    for distance in range(FUZZ + 1):
        for line in {expected - distance, expected + distance}:
            if 0 <= line <= last and lines[line : line + len(old)] == old:
                return line
    return None


def numbered(text: str, first: int = 1, last: int | None = None) -> str:
    """Lines `first` to `last` of a text (1-based, inclusive), each with its number."""
    lines = text.splitlines()
    stop = len(lines) if last is None else min(last, len(lines))
    width = len(str(stop))
    return "\n".join(f"{i:>{width}}│{lines[i - 1]}" for i in range(max(1, first), stop + 1))


# -- folders --------------------------------------------------------------------------------


def takes(name: str, path: Path, patterns: Sequence[str]) -> bool:
    """Whether a file of the base is one that candidates consist of: editable text under a plain
    name."""
    if not editable(name, patterns) or path.is_symlink() or not path.is_file():
        return False
    try:
        check_file_name(name)
    except ValueError:
        return False
    return path.stat().st_size <= MAX_FILE_BYTES and _is_text(path)


def seed_of(task: TaskInfo) -> Candidate:
    """The editable files of a repository as they are in the base. Raises ChangeError."""
    base = Path(task.tree)
    if not base.is_dir():
        raise ChangeError(f"the base is not kept on this machine any more: {base}")
    paths = {p.relative_to(base).as_posix(): p for p in base.rglob("*")}
    return _candidate(
        {n: p.read_bytes().decode() for n, p in paths.items() if takes(n, p, task.editable)}
    )


def read_change(path: Path, task: TaskInfo, head: Candidate | None = None) -> Candidate:
    """The candidate that a patch, a folder or a worktree makes of a repository.

    A patch is applied to the base, or to the head where it only fits there. A folder's files
    replace those of the same path; a worktree is taken as a whole, so that what is not there is
    deleted. Raises ChangeError.
    """
    seed = seed_of(task)
    if path.is_dir():
        read = _of_worktree if (path / MARK).is_file() else _of_folder
        return read(path, task, seed)
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
    for file in _parsed(text):
        for name in (file.source_file.removeprefix("a/"), file.path):
            if name != "/dev/null" and not editable(name, task.editable):
                raise ChangeError(_outside(name, task))
    try:
        return apply_patch(seed, text)[0]
    except ChangeError as error:
        if head is not None and head.id != seed.id:
            try:
                return apply_patch(head, text)[0]
            except ChangeError:
                pass
        raise ChangeError(f"{path} does not apply to the base: {error}") from None


def _of_folder(folder: Path, task: TaskInfo, seed: Candidate) -> Candidate:
    files = dict(seed.files)
    count = 0
    for name, path in _files(folder):
        count += 1
        if _same(path, Path(task.tree) / name):
            continue
        if not editable(name, task.editable):
            raise ChangeError(_outside(name, task))
        files[name] = _text(path, name)
    if not count:
        raise ChangeError(f"{folder} holds no files")
    return _candidate(files)


def _of_worktree(folder: Path, task: TaskInfo, seed: Candidate) -> Candidate:
    """What is editable, as it is now; what builds left beside it is none of the candidate's."""
    base, files = Path(task.tree), {}
    kept_apart = _mark(folder)
    if kept_apart != base.parent.name:
        raise ChangeError(f"{folder} is a worktree of another base; make one with avo worktree")
    seen = set()
    for name, path in _files(folder):
        seen.add(name)
        if editable(name, task.editable):
            known = seed.files.get(name)
            if known is not None or not _is_left(path):
                files[name] = _text(path, name)
        elif (base / name).is_file() and not _same(path, base / name):
            raise ChangeError(_outside(name, task))
    for path in base.rglob("*"):
        name = path.relative_to(base).as_posix()
        if name not in seen and path.is_file() and not editable(name, task.editable):
            raise ChangeError(f"{name} was deleted; {_outside(name, task)}")
    if not files:
        raise ChangeError(f"nothing editable is left in {folder}")
    return _candidate(files)


def _is_left(path: Path) -> bool:
    """Whether a new file is what a build leaves, and not text that somebody wrote."""
    if path.suffix in _LEFT or any(
        part.endswith((".egg-info", ".dist-info")) for part in path.parts
    ):
        return True
    with path.open("rb") as file:
        return b"\0" in file.read(8192)


def _mark(folder: Path) -> str:
    try:
        return str(json.loads((folder / MARK).read_text(encoding="utf-8"))["base"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """(path in the tree, file) of each regular file. Raises ChangeError for a link out of it."""
    count, real = 0, Path(os.path.realpath(folder))
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(
            n for n in folders if n not in _SKIPPED and not Path(inside, n).is_symlink()
        )
        for name in sorted(names):
            path = Path(inside, name)
            if name == MARK or not stat.S_ISREG(path.stat().st_mode if path.exists() else 0):
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
            yield path.relative_to(folder).as_posix(), path


def _same(path: Path, other: Path) -> bool:
    if not other.is_file() or path.stat().st_size != other.stat().st_size:
        return False
    return path.read_bytes() == other.read_bytes()


def _text(path: Path, name: str) -> str:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ChangeError(f"{name} is longer than {MAX_FILE_BYTES} bytes")
    try:
        text = path.read_bytes().decode()
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


# -- worktrees ------------------------------------------------------------------------------


def make_worktree(to: Path, task: TaskInfo, candidate: Candidate | None) -> None:
    """A folder with the base's files, and a candidate's in place of the editable ones.

    It becomes a git repository with one commit where there is git. Raises ChangeError.
    """
    base = Path(task.tree)
    if not task.tree or not base.is_dir():
        raise ChangeError(f"the base is not kept on this machine any more: {base}")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ChangeError(f"{to} is not empty; choose another folder")
    shutil.copytree(base, to, symlinks=True, ignore=shutil.ignore_patterns(".git"),
                    dirs_exist_ok=True)  # fmt: skip
    if candidate is not None:
        lay(candidate, to, task)
    (to / MARK).write_text(json.dumps({"base": base.parent.name}) + "\n", encoding="utf-8")
    with contextlib.suppress(GitError):
        committed(to, f"base of {task.name}", "main")


def committed(folder: Path, message: str, branch: str) -> None:
    """Make a folder a git repository with one commit on a branch. Raises GitError."""
    git(folder, "init", "--quiet", "--template=", f"--initial-branch={branch}", ".")
    git(folder, "add", "--all", "--force", ".")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)


def lay(candidate: Candidate, tree: Path, task: TaskInfo) -> None:
    """Put a candidate's files in place of all editable ones of a tree."""
    for path in list(tree.rglob("*")):
        name = path.relative_to(tree).as_posix()
        if name not in candidate.files and takes(name, path, task.editable):
            path.unlink()
    for name, text in candidate.files.items():
        path = tree / name
        if path.is_file() and path.read_bytes() == text.encode():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def _is_text(path: Path) -> bool:
    data = path.read_bytes()
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in data
