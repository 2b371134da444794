"""A repository's best line as a branch on its base, with the text of a pull request."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from avo_tui.domain import lineage
from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.plain import plain, safe
from avo_tui.domain.records import Version
from avo_tui.domain.task import TaskInfo
from avo_tui.export.folder import Exported, ExportError, new_folder, write
from avo_tui.export.kernel import version_of
from avo_tui.store import SessionReader
from avo_tui.worktree import ChangeError, lay, read_change

CLONE, TEXT, PATCH = "repository", "PULL_REQUEST.md", "changes.patch"
_IDENTITY = ("-c", "user.name=avo-tui", "-c", "user.email=avo@avo-tui.invalid")


class Proof(Value):
    """What building, testing and measuring the branch anew showed."""

    metrics: tuple[tuple[str, str, str, str], ...]
    """(metric, on the base, with the change, the change with its 95% interval)."""
    gain: float
    low: float
    high: float
    """The 95% interval of the gain over all metrics."""
    pairs: int
    checks: tuple[str, ...]
    device: str
    commands: tuple[str, ...]
    """What a maintainer runs to see it again."""
    executed: str = ""


class Origin(Value):
    """Where the base is from."""

    folder: Path
    commit: str
    """Empty where there is no git: the base's files become the first commit."""
    prefix: str = ""
    """The repository's folder within the checkout."""


Prove = Callable[[Candidate], Proof]
"""Builds, tests and measures a candidate from nothing. Raises ExportError where it fails."""


def as_branch(
    reader: SessionReader, target: Path, number: int | None, origin: Origin, prove: Prove
) -> Exported:
    """A clone with the branch `avo/SESSION`, its patch, and the text of a pull request.

    One commit for each version of the line. It is proved before it is offered: what a clean clone
    holds is read back, built from nothing, tested and measured. Raises ExportError.
    """
    state = reader.state
    task = state.session.task
    best = version_of(state, number)
    versions = [v for v in reversed(lineage.line(state.versions, best.number)) if v.number > 0]
    if not versions:
        raise ExportError(f"{state.session.name} has no version beyond its base; nothing to export")
    program = shutil.which("git")
    if program is None:
        raise ExportError("there is no git on this machine; install it (Debian: apt install git)")
    branch = f"avo/{state.session.name}"
    with new_folder(target) as folder:
        clone = folder / CLONE
        base = _start(program, clone, origin, branch, task)
        for version in versions:
            lay(reader.candidate(version.candidate), clone / origin.prefix, task)
            _git(program, clone, "add", "--all", "--force", "--", *_paths(clone, program))
            _git(program, clone, *_IDENTITY, "commit", "--quiet", "--allow-empty",
                 "--message", _message(version))  # fmt: skip
        patch = _git(program, clone, "format-patch", "--stdout", base)
        write(folder, PATCH, patch)
        proof = _proved(program, folder, origin, branch, reader, best, prove)
        write(folder, TEXT, _text(reader, versions, proof, branch, origin))
    return Exported(
        folder=target, files=(CLONE, TEXT, PATCH), versions=tuple(v.number for v in versions)
    )


def _git(program: str, folder: Path, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    safe_ways = ["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false",
                 "-c", "core.autocrlf=false"]  # fmt: skip
    done = subprocess.run(
        [program, *safe_ways, *arguments],
        cwd=folder,
        env={**environment, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        why = plain(done.stderr.decode("utf-8", "replace"), 300)
        raise ExportError(f"git {arguments[0]} failed: {why}")
    return done.stdout.decode("utf-8", "replace")


def _start(program: str, clone: Path, origin: Origin, branch: str, task: TaskInfo) -> str:
    """A clone that stands on the base, with the branch checked out; the base's commit."""
    if origin.commit:
        _git(program, clone.parent, "clone", "--quiet", "--no-checkout", str(origin.folder), CLONE)
        _git(program, clone, "checkout", "--quiet", "-b", branch, origin.commit)
        return origin.commit
    shutil.copytree(Path(task.tree), clone, symlinks=True)
    _git(program, clone, "init", "--quiet", "--template=", f"--initial-branch={branch}", ".")
    _git(program, clone, "add", "--all", "--force", ".")
    _git(program, clone, *_IDENTITY, "commit", "--quiet", "--message", f"Base of {task.name}")
    return _git(program, clone, "rev-parse", "HEAD").strip()


def _paths(clone: Path, program: str) -> list[str]:
    """What differs from the last commit; nothing else is added."""
    rows = _git(program, clone, "status", "--porcelain", "-z", "--no-renames", "-uall").split("\0")
    return [row[3:] for row in rows if row] or ["."]


def _proved(
    program: str,
    folder: Path,
    origin: Origin,
    branch: str,
    reader: SessionReader,
    best: Version,
    prove: Prove,
) -> Proof:
    """What a clean clone of the branch holds must be the version; it is then built and measured."""
    again = folder / ".again"
    _git(program, folder, "clone", "--quiet", "--branch", branch, str(folder / CLONE), again.name)
    try:
        tree = again / origin.prefix
        task = reader.state.session.task
        wanted = reader.candidate(best.candidate)
        for name, text in wanted.files.items():
            path = tree / name
            if not path.is_file() or path.read_bytes() != text.encode():
                raise ExportError(f"the branch does not hold {name} as the version has it")
        read = read_change(_only(tree, wanted, folder / ".read"), task)
        if not set(read.files.items()) >= set(wanted.files.items()):
            raise ExportError("what a clean clone holds is not the version")
        return prove(wanted)
    except ChangeError as error:
        raise ExportError(str(error)) from error
    finally:
        shutil.rmtree(again, ignore_errors=True)
        shutil.rmtree(folder / ".read", ignore_errors=True)


def _only(tree: Path, wanted: Candidate, to: Path) -> Path:
    """The candidate's files of a clone, in a folder of their own."""
    for name in wanted.files:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tree / name, to / name)
    return to


def _message(version: Version) -> str:
    words = (version.summary.strip() or version.plan.strip() or f"v{version.number}").splitlines()
    parts = [plain(words[0], 72)]
    texts = dict.fromkeys(safe(text).strip() for text in (version.summary, version.plan))
    parts += [text for text in texts if text and text != parts[0]]
    gate = version.gate
    if gate.gain is not None:
        parts.append(f"Measured {gate.gain:+.1%} beside the version before: {safe(gate.reason)}")
    return "\n\n".join(parts) + "\n"


def _text(
    reader: SessionReader, versions: list[Version], proof: Proof, branch: str, origin: Origin
) -> str:
    task = reader.state.session.task
    rows = [f"| {' | '.join(row)} |" for row in proof.metrics]
    changes = [f"- {plain(v.summary or v.plan or f'v{v.number}', 400)}" for v in versions]
    fetch = f"git fetch {CLONE} {branch}" if origin.commit else f"git am {PATCH}"
    return "\n".join(
        [
            f"# {plain(task.title)}: {proof.gain:+.1%}",
            "",
            "## What changed",
            "",
            *changes,
            "",
            "## What it brings",
            "",
            f"{task.measured_by[:1].upper()}{task.measured_by[1:]}, base and change in turn in"
            f" fresh processes, {proof.pairs} pairs, from a clean clone of this branch:"
            f" **{proof.gain:+.1%}** (95%: {proof.low:+.1%} to {proof.high:+.1%}) over"
            " all metrics.",
            "",
            "| metric | base | with the change | difference, 95% interval |",
            "|---|---|---|---|",
            *rows,
            "",
            f"Machine: {safe(proof.device)}",
            "",
            "## What was looked at",
            "",
            *[f"- {safe(check)}" for check in proof.checks],
            *([f"- {safe(proof.executed)}"] if proof.executed else []),
            "- files that are not editable are those of the base",
            "",
            "## To measure it again",
            "",
            "```",
            fetch,
            *proof.commands,
            "```",
            "",
        ]
    )
