"""A repository's best line as a branch on its base, with the text of a pull request."""

import math
import re
import shlex
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

from avo_tui.domain import lineage
from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import estimate, prior_of
from avo_tui.domain.plain import plain, safe
from avo_tui.domain.records import Version
from avo_tui.domain.repository import Proof
from avo_tui.domain.task import TaskInfo
from avo_tui.export.folder import Exported, ExportError, new_folder, write
from avo_tui.export.kernel import version_of
from avo_tui.git_command import GitError, committed, git
from avo_tui.patches import ChangeError
from avo_tui.store import SessionReader
from avo_tui.worktree import lay, seed_of

CLONE, TEXT, PATCH = "repository", "PULL_REQUEST.md", "changes.patch"
_SUBJECT = 72
"""Characters of a commit's first line, and of the lines below it."""
_PAGE = """\
# {title}

## What changed

{changes}

## What it brings

{label}, base and change in turn in fresh processes, {pairs} pairs, from a clean clone of this \
branch: **{gain}** {interval} over all metrics. The two columns are medians of all runs; a \
difference is that of the pairs, so it need not be the columns' ratio.

| metric | base | with the change | difference, 95% interval |
|---|---|---|---|
{rows}

Machine: {device}

## What was looked at

{checks}

## To measure it again

{where}

```
{commands}
```
"""


class Origin(Value):
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

    One commit for each version of the line. It is proved before it is offered: a clean clone must
    hold the version, which is built from nothing, tested and measured. Raises ExportError.
    """
    state = reader.state
    task = state.session.task
    best = version_of(state, number)
    versions = [v for v in reversed(lineage.line(state.versions, best.number)) if v.number > 0]
    if not versions:
        raise ExportError(f"{state.session.name} has no version beyond its base; nothing to export")
    branch = f"avo/{state.session.name}"
    with new_folder(target) as folder:
        try:
            clone = folder / CLONE
            base, tree = _start(clone, origin, branch, task), clone / origin.prefix
            before = _own(clone, origin.prefix, seed_of(task), task)
            for version in versions:
                own = _own(clone, origin.prefix, reader.candidate(version.candidate), task)
                lay(own, tree, before.files)
                before = own
                git(clone, "add", "--all", "--force", "--", *_changed(clone))
                git(clone, "commit", "--quiet", "--allow-empty", "--message", _message(version))
            write(folder, PATCH, git(clone, "format-patch", "--stdout", base).decode())
            wanted = reader.candidate(best.candidate)
            _require_held(folder, branch, origin.prefix, before)
        except (GitError, ChangeError) as error:
            raise ExportError(str(error)) from error
        write(folder, TEXT, _text(task, versions, prove(wanted), branch, origin))
    return Exported(
        folder=target, files=(CLONE, TEXT, PATCH), versions=tuple(v.number for v in versions)
    )


def _start(clone: Path, origin: Origin, branch: str, task: TaskInfo) -> str:
    """A clone that stands on the base, with the branch checked out; the base's commit."""
    if origin.commit:
        top = git(origin.folder, "rev-parse", "--show-toplevel").decode().rstrip("\n")
        git(clone.parent, "clone", "--quiet", "--no-checkout", top, CLONE)
        git(clone, "checkout", "--quiet", "-b", branch, origin.commit)
        return origin.commit
    shutil.copytree(Path(task.tree), clone, symlinks=True)
    committed(clone, f"Base of {task.name}", branch)
    return git(clone, "rev-parse", "HEAD").decode().strip()


def _own(clone: Path, prefix: str, candidate: Candidate, task: TaskInfo) -> Candidate:
    """A candidate without the files of submodules, which no branch can hold. Raises ExportError
    where it changes one."""
    listed = git(clone, "ls-tree", "-r", "-z", f"HEAD:{prefix}").decode(errors="surrogateescape")
    links = [row.partition("\t")[2] for row in listed.split("\0") if row.startswith("160000")]
    files, seed = candidate.files, seed_of(task).files if links else {}
    for link in links:
        below = {name for name in files.keys() | seed.keys() if name.startswith(f"{link}/")}
        if name := next((n for n in sorted(below) if files.get(n) != seed.get(n)), ""):
            raise ExportError(
                f"{name} is in the submodule {link}, of which a branch of this repository holds no"
                " files; adopt the submodule's folder as a repository of its own"
            )
        files = {name: text for name, text in files.items() if name not in below}
    return Candidate(files=files) if links else candidate


def _changed(clone: Path) -> list[str]:
    """What differs from the last commit; nothing else is added."""
    told = git(clone, "status", "--porcelain", "-z", "--no-renames", "-uall").decode()
    return [row[3:] for row in told.split("\0") if row] or ["."]


def _require_held(folder: Path, branch: str, prefix: str, wanted: Candidate) -> None:
    """Raises ExportError where a clean clone of the branch does not hold the version."""
    again = folder / ".again"
    git(folder, "clone", "--quiet", "--branch", branch, str(folder / CLONE), again.name)
    try:
        for name, text in wanted.files.items():
            path = again / prefix / name
            if not path.is_file() or path.read_bytes() != text.encode():
                raise ExportError(f"the branch does not hold {name} as the version has it")
    finally:
        shutil.rmtree(again, ignore_errors=True)


def _message(version: Version) -> str:
    """A commit's text: the idea, what came of it and what the gate measured; no list of what was
    to be done."""
    texts = (version.title, version.plan, version.summary)
    lines = (_words(version, text).partition("\n")[0] for text in texts)
    known = [plain(line, 1000) for line in lines if line] or [f"v{version.number}"]
    short = next((line for line in known if len(line) <= _SUBJECT), "")
    parts = [short or _subject(known[0])]
    if summary := safe(version.summary).strip():
        parts.append(_wrapped(summary))
    gate = version.gate
    if gate.gain is not None:
        low, high = gate.interval or (gate.gain, gate.gain)
        parts.append(
            _wrapped(
                f"Measured {_shown(gate.gain, low, high, '95%: ')} beside the version before,"
                f" in {gate.replicates} pairs of fresh processes."
            )
        )
    return "\n\n".join(dict.fromkeys(parts)) + "\n"


def _words(version: Version, text: str) -> str:
    """What a version says, without the session that it came from: that is nothing to a
    maintainer."""
    came = f"carried over from {version.origin}"
    return (text.removeprefix(came).removeprefix(":") if version.origin else text).strip()


def _subject(line: str) -> str:
    """A line of a commit that is too long for a subject: its first clauses, whole, where they say
    enough; else its first words."""
    words = textwrap.shorten(line, _SUBJECT, placeholder="")
    clauses = re.match(r".{20,}(?=[,;:.](?:\s|$))", words)
    return (clauses.group() if clauses else words).rstrip(",;:. ")


def _change(version: Version) -> str:
    """What a version changed as one paragraph: a summary's first line is a sentence of its own."""
    told = version.summary or _words(version, version.plan) or f"v{version.number}"
    title, _, rest = told.strip().partition("\n")
    end = "." if rest and title.rstrip()[-1:] not in ".:;!?," else ""
    return plain(f"{title.rstrip()}{end} {rest}", 4000)


def _wrapped(text: str) -> str:
    lines = text.strip().splitlines()
    return "\n".join(textwrap.fill(line, _SUBJECT, break_long_words=False) for line in lines)


def _gain(proof: Proof, metric: str = "") -> tuple[float, float, float]:
    """(the gain in the middle of the 95% interval, which is even on the scale of logarithms; its
    ends), of one metric or over all."""
    low, high = estimate(proof.replicates, prior_of([]), metric).interval()
    return math.sqrt((1 + low) * (1 + high)) - 1, low, high


def _shown(gain: float, low: float, high: float, what: str = "") -> str:
    """A gain with its interval; as a factor where it more than doubles the speed."""
    if gain <= 1:
        return f"{gain:+.1%} ({what}{low:+.1%} to {high:+.1%})"
    middle, least, most = (f"{1 + g:.{1 if g < 99 else 0}f}×" for g in (gain, low, high))
    return f"{middle} ({what}{least} to {most})"


def _chained(commands: list[str]) -> str:
    """Commands of which none runs, on the base, where one before it failed."""
    apart = re.compile(r"[;#\n]|\|\|")
    return " &&\n".join(f"(\n{line}\n)" if apart.search(line) else line for line in commands)


def _text(
    task: TaskInfo, versions: list[Version], proof: Proof, branch: str, origin: Origin
) -> str:
    score, rows = proof.score, []
    gain, _, interval = _shown(*_gain(proof), "95%: ").partition(" ")
    for metric in score.configurations:
        base = metric.baselines.get(score.reference_baseline, 0.0)
        rows.append(
            f"| {metric.name} | {base:.4g} {score.unit} | {metric.throughput:.4g} {score.unit} |"
            f" {_shown(*_gain(proof, metric.name))} |"
        )
    checks = [*proof.checks, proof.executed, "files that are not editable are those of the base"]
    where = f"In a clean copy of the project that git keeps, with `{PATCH}` in it:"
    fetch = f"git am {PATCH}"
    if origin.commit:
        where = f"In a clone of the project; `{CLONE}` is a remote, an address or a path with"
        where += " this branch:"
        fetch = f"git fetch {CLONE} {branch} && git switch --detach FETCH_HEAD"
    inside = [f"cd {shlex.quote(origin.prefix)}"] if origin.prefix else []
    parts = {
        "changes": [f"- {_change(version)}" for version in versions],
        "rows": rows,
        "checks": [f"- {safe(check)}" for check in checks if check],
        "commands": [_chained([fetch, *inside, *proof.commands])],
    }
    label = task.measured_by[:1].upper() + task.measured_by[1:]
    return _PAGE.format(
        title=f"{plain(task.title)}: {gain}", label=label, pairs=len(proof.replicates),
        gain=gain, interval=interval, where=where, device=safe(proof.device),
        **{name: "\n".join(lines) for name, lines in parts.items()},
    )  # fmt: skip
