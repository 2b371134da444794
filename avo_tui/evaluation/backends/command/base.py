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

from avo_tui.domain.candidate import MOST_BYTES, MOST_FILES, Candidate
from avo_tui.evaluation.backends.command.project import FILE, Project
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.worktree import JUNK, GitError, git, takes

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

    def editable(self, patterns: tuple[str, ...]) -> dict[str, Path]:
        """Name → file of all that a candidate may change: text under a plain name."""
        paths = {name: self.tree / name for name in self.files}
        return {name: path for name, path in paths.items() if takes(name, path, patterns)}

    def seed(self, patterns: tuple[str, ...]) -> Candidate:
        """The editable files as they are in the base. Raises EvaluatorError."""
        files = self.editable(patterns)
        if not files:
            told = ", ".join(patterns)
            raise EvaluatorError(f"no text file of the base is covered by editable = {told}")
        total = sum(self.files[name].size for name in files)
        if len(files) > MOST_FILES or total > MOST_BYTES:
            raise EvaluatorError(
                f"editable covers {len(files)} files, {total >> 20} MiB; {MOST_FILES} files and"
                f" {MOST_BYTES >> 20} MiB are the most: name fewer folders"
            )
        return Candidate(files={name: path.read_bytes().decode() for name, path in files.items()})

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
    wanted, exclude = project.project.base, project.project.exclude
    if wanted.startswith("sha256:"):
        known = open_base(wanted.removeprefix("sha256:"))
        if known is not None:
            return known
        base = copied(folder, exclude, project.test.hidden)
        if f"sha256:{base.id}".startswith(wanted):
            return base
        raise EvaluatorError(
            f"the base {wanted[:19]}… of {folder} is not kept here and its files have changed; put"
            f' them back, or write base = "sha256:{base.id[:12]}" into {FILE}'
        )
    commit = _resolved(folder, wanted)
    secret = _secret(folder, project.test.hidden)
    key = hashlib.sha256(repr((commit, exclude, secret)).encode()).hexdigest()[:24]
    note = bases() / f"commit-{key}"
    if note.is_file() and (known := open_base(note.read_text().strip())) is not None:
        return known

    def checked_out(tree: Path) -> None:
        _check_out(folder, commit, tree)
        for path in sorted(tree.rglob("*"), reverse=True):
            name = path.relative_to(tree).as_posix()
            if covered(name, exclude) or (secret and _below(name, secret)):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    base = _stored(checked_out)
    note.write_text(base.id)
    return base


def covered(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns names a path, or a folder above it."""
    return any(_below(name, pattern.rstrip("/*")) for pattern in patterns)


def _below(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}/")


def _secret(folder: Path, hidden: str) -> str:
    """The hidden tests' folder where it lies in the repository, relative to it."""
    if not hidden:
        return ""
    path, real = (folder / hidden).resolve(), folder.resolve()
    return path.relative_to(real).as_posix() if path.is_relative_to(real) else ""


def _resolved(folder: Path, name: str) -> str:
    commit = is_commit(folder, name)
    if not commit:
        raise EvaluatorError(
            f"{folder} has no commit {name!r}, or git is not installed; write the base's commit"
            f" into {FILE}, or leave the file away and adopt the folder again"
        )
    return commit


def _check_out(folder: Path, commit: str, tree: Path) -> None:
    """Write a commit's files to `tree`, submodules included; the checkout stays as it is."""
    prefix = _asked(folder, "rev-parse", "--show-prefix").rstrip("/")
    treeish = f"{commit}:{prefix}" if prefix else commit
    # In a folder below it, git would look for that folder within the tree that is written.
    top = Path(_asked(folder, "rev-parse", "--show-toplevel"))
    with tempfile.TemporaryDirectory() as temporary:
        own = {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
        try:
            git(top, "read-tree", treeish, more=own)
            git(top, "checkout-index", "--all", "--quiet", f"--prefix={tree}/",
                more=own)  # fmt: skip
            listed = git(top, "ls-tree", "-r", "-z", treeish).decode(errors="surrogateescape")
        except GitError as error:
            raise EvaluatorError(f"{folder}: the base cannot be written: {error}") from error
    for line in listed.split("\0"):
        facts, _, name = line.partition("\t")
        if not facts.startswith("160000"):
            continue
        module, wanted = folder / name, facts.split()[2]
        if not (module / ".git").exists() or is_commit(module, wanted) != wanted:
            raise EvaluatorError(
                f"the submodule {name} of {folder} is not checked out; say: git -C {folder}"
                f" submodule update --init {name}"
            )
        (tree / name).mkdir(parents=True, exist_ok=True)
        _check_out(module, wanted, tree / name)


def copied(folder: Path, exclude: tuple[str, ...] = (), hidden: str = "") -> Base:
    """A copy of a folder as it is now, without histories and what builds leave."""
    secret, real = _secret(folder, hidden), folder.resolve()
    size = count = 0

    def ignore(inside: str, names: list[str]) -> list[str]:
        nonlocal size, count
        left = []
        for name in names:
            path = Path(inside, name)
            whole = path.relative_to(real).as_posix()
            # `.git` is a file in a submodule and in a further worktree
            junk = (name in JUNK and path.is_dir()) or name == ".git"
            junk = junk or name.endswith((".egg-info", ".pyc"))
            # a pipe or a socket cannot be held by a copy
            kept = path.is_symlink() or path.is_file() or path.is_dir()
            apart = whole == FILE or covered(whole, exclude) or (secret and whole == secret)
            if junk or apart or not kept:
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
            if path.name == FILE and path.parent == tree:
                path.unlink()  # what it says is not a part of what it is about
                continue
            entry = mark_of(path)
            os.utime(path, ns=(_OLD, _OLD), follow_symlinks=False)
            if entry is None:
                continue
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
