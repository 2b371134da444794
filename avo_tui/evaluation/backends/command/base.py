"""The base of a repository: a commit, or a copy of a folder, kept apart from the person's files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import platformdirs

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.command.project import FILE, Project
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.git_command import GitError, git
from avo_tui.patches import ChangeError
from avo_tui.worktree import JUNK, text_below

MOST_BASE_BYTES = 4 << 30
MOST_BASE_FILES = 200_000
_OLD = 946_684_800_000_000_000
"""1 January 2000, in nanoseconds: the time of every file of a base. None is newer than another, so
no build tool makes again what was shipped, and whatever a candidate changes is newer."""


@dataclass(frozen=True)
class Entry:
    mark: str
    """SHA-256 of its content; of a link `link:` and where it leads."""
    size: int = 0
    executable: bool = False


@dataclass(frozen=True)
class Base:
    """A tree that nothing changes any more."""

    folder: Path
    id: str
    files: Mapping[str, Entry]

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.files.values())

    def seed(self, patterns: tuple[str, ...]) -> Candidate:
        """The editable files as they are in the base. Raises EvaluatorError."""
        try:
            return text_below(self.tree, patterns)
        except ChangeError as error:
            raise EvaluatorError(str(error)) from error

    @cached_property
    def foreign_links(self) -> tuple[str, ...]:
        """Links that lead out of the tree: nothing is there for them in the sandbox."""
        out = []
        for name, entry in self.files.items():
            if entry.mark.startswith("link:"):
                goal = os.path.normpath(PurePosixPath(name).parent / entry.mark[5:])
                if entry.mark[5:].startswith("/") or goal.startswith(".."):
                    out.append(name)
        return tuple(out)


def bases() -> Path:
    return platformdirs.user_data_path("avo-tui") / "bases"


def mark_of(path: Path) -> Entry | None:
    """What a file is now; None where nothing, or something else, is there. Follows no link."""
    try:
        facts = path.lstat()
    except OSError:
        return None
    if stat.S_ISLNK(facts.st_mode):
        return Entry(f"link:{path.readlink()}")
    if not stat.S_ISREG(facts.st_mode):
        return None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Entry(digest, facts.st_size, bool(facts.st_mode & 0o100))


def _asked(folder: Path, *arguments: str) -> str:
    """What git answers about the person's checkout; empty where it cannot."""
    with contextlib.suppress(GitError):
        return git(folder, *arguments).decode(errors="replace").rstrip("\n")
    return ""


def is_commit(folder: Path, name: str = "HEAD") -> str:
    """The commit of that name, of which a folder is a part; empty where there is none."""
    if not _asked(folder, "rev-parse", "--verify", "--quiet", f"{name}:./"):
        return ""  # a folder in somebody's checkout that was never committed
    return _asked(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")


def checkout(folder: Path, base: str) -> tuple[str, str]:
    """(the base's commit, the folder within the checkout); empty for a base that is a copy."""
    if base.startswith("sha256:"):
        return "", ""
    return _resolved(folder, base), _asked(folder, "rev-parse", "--show-prefix").rstrip("/")


def dirty(folder: Path) -> list[str]:
    told = _asked(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return [line[3:] for line in told.splitlines()]


def take_base(folder: Path, project: Project) -> Base:
    """The base that a project names, from the store, or taken from the folder now.

    Raises EvaluatorError where it is not there.
    """
    wanted, apart = project.project.base, _Apart(folder, project)
    if wanted.startswith("sha256:"):
        known = open_base(wanted.removeprefix("sha256:"))
        if known is not None:
            return known
        base = copied(folder, project)
        if f"sha256:{base.id}".startswith(wanted):
            return base
        raise EvaluatorError(
            f"the base {wanted[:19]}… of {folder} is not kept here and its files have changed; put"
            f' them back, or write base = "sha256:{base.id[:12]}" into {FILE}'
        )
    commit = _resolved(folder, wanted)
    key = hashlib.sha256(repr((commit, apart.folders)).encode()).hexdigest()[:24]
    note = bases() / f"commit-{key}"
    if note.is_file() and (known := open_base(note.read_text().strip())) is not None:
        return known
    base = _stored(lambda tree: _check_out(folder, commit, tree, apart, ""))
    note.write_text(base.id)
    return base


class _Apart:
    """What is left out of a base: what the person excludes, and hidden tests within the tree."""

    def __init__(self, folder: Path, project: Project | None) -> None:
        self.folders = [FILE]  # what it says is not a part of what it is about
        if project is None:
            return
        self.folders += [pattern.rstrip("/*") for pattern in project.project.exclude]
        hidden, real = (folder / project.test.hidden).resolve(), folder.resolve()
        if project.test.hidden and hidden.is_relative_to(real):
            self.folders.append(hidden.relative_to(real).as_posix())

    def covers(self, name: str) -> bool:
        return any(name == folder or name.startswith(f"{folder}/") for folder in self.folders)


def _resolved(folder: Path, name: str) -> str:
    commit = is_commit(folder, name)
    if not commit:
        shallow = _asked(folder, "rev-parse", "--is-shallow-repository") == "true"
        raise EvaluatorError(
            f"{folder} has no commit {name!r}"
            + (f"; the clone is shallow: git -C {folder} fetch --unshallow" if shallow else "")
            + f", or git is not installed; write the base's commit into {FILE}, or leave the file"
            " away and adopt the folder again"
        )
    return commit


def _check_out(folder: Path, commit: str, tree: Path, apart: _Apart, above: str) -> None:
    """Write a commit's files to `tree`, submodules included; the checkout stays as it is. `above`
    is the path of a submodule in the base, with a slash."""
    prefix = _asked(folder, "rev-parse", "--show-prefix").rstrip("/")
    treeish = f"{commit}:{prefix}" if prefix else commit
    # In a folder below it, git would look for that folder within the tree that is written.
    top = Path(_asked(folder, "rev-parse", "--show-toplevel"))
    names, modules = [], {}
    with tempfile.TemporaryDirectory() as temporary:
        own = {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
        try:
            git(top, "read-tree", treeish, more=own)
            listed = git(top, "ls-tree", "-r", "-z", treeish).decode(errors="surrogateescape")
            for line in listed.rstrip("\0").split("\0"):
                facts, _, name = line.partition("\t")
                if facts.startswith("160000"):
                    modules[name] = facts.split()[2]
                elif name and not apart.covers(above + name):
                    names.append(name)
            git(top, "checkout-index", "--quiet", "-z", "--stdin", f"--prefix={tree}/", more=own,
                given="\0".join(names).encode(errors="surrogateescape"))  # fmt: skip
        except GitError as error:
            raise EvaluatorError(f"{folder}: the base cannot be written: {error}") from error
    for name, wanted in modules.items():
        module = folder / name
        if apart.covers(above + name):
            continue
        if not (module / ".git").exists() or is_commit(module, wanted) != wanted:
            raise EvaluatorError(
                f"the submodule {name} of {folder} is not checked out; say: git -C {folder}"
                f" submodule update --init {name}"
            )
        (tree / name).mkdir(parents=True, exist_ok=True)
        _check_out(module, wanted, tree / name, apart, f"{above}{name}/")


def copied(folder: Path, project: Project | None = None) -> Base:
    """A copy of a folder as it is now, without histories and what builds leave."""
    apart, real = _Apart(folder, project), folder.resolve()
    size = count = 0

    def ignore(inside: str, names: list[str]) -> list[str]:
        nonlocal size, count
        left = []
        for name in names:
            path = Path(inside, name)
            # `.git` is a file in a submodule and in a further worktree
            junk = (name in JUNK and path.is_dir()) or name == ".git"
            junk = junk or name.endswith((".egg-info", ".pyc"))
            # a pipe or a socket cannot be held by a copy
            kept = path.is_symlink() or path.is_file() or path.is_dir()
            if junk or not kept or apart.covers(path.relative_to(real).as_posix()):
                left.append(name)
            elif not path.is_dir():
                size, count = size + path.lstat().st_size, count + 1
        _require_size(size, count, str(folder))
        return left

    return _stored(lambda tree: shutil.copytree(real, tree, symlinks=True, ignore=ignore,
                                                dirs_exist_ok=True))  # fmt: skip


def _require_size(size: int, count: int, what: str) -> None:
    if size > MOST_BASE_BYTES or count > MOST_BASE_FILES:
        raise EvaluatorError(
            f"{what} has more than {MOST_BASE_BYTES >> 30} GiB or {MOST_BASE_FILES} files; name"
            f' what build and tests do not need: exclude = ["data"] under [project] in {FILE}'
        )


def _stored(fill: Callable[[Path], object]) -> Base:
    """A base of what `fill` writes to a folder, kept under its content's name."""
    store = bases()
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    staging = Path(tempfile.mkdtemp(prefix=".new-", dir=store))
    try:
        tree = staging / "tree"
        tree.mkdir()
        fill(tree)
        files: dict[str, Entry] = {}
        for path in sorted(tree.rglob("*")):
            entry = mark_of(path)
            os.utime(path, ns=(_OLD, _OLD), follow_symlinks=False)
            if entry is not None:
                files[path.relative_to(tree).as_posix()] = entry
        _require_size(sum(entry.size for entry in files.values()), len(files), "the base")
        if not files:
            raise EvaluatorError("the base has no files")
        lines = [f"{n}\0{e.mark}\0{int(e.executable)}" for n, e in sorted(files.items())]
        identity = hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
        rows = {name: [e.mark, e.size, e.executable] for name, e in files.items()}
        (staging / "files.json").write_text(json.dumps({"id": identity, "files": rows}))
        home = store / identity[:24]
        if not home.exists():
            staging.chmod(0o755)
            staging.rename(home)
        return Base(home, identity, files)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def open_base(identity: str) -> Base | None:
    """A base that is kept here, by its identity or the beginning of it."""
    if len(identity) < 8:
        return None
    for folder in sorted(bases().glob(f"{identity[:24]}*")):
        try:
            content = json.loads((folder / "files.json").read_text())
        except (OSError, ValueError):
            continue
        files = {name: Entry(*row) for name, row in content["files"].items()}
        return Base(folder, content["id"], files)
    return None
