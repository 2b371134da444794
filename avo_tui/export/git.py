"""The lineage as a git repository: a commit per version, a branch per line, notes of the gates."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from avo_tui.domain import lineage
from avo_tui.domain.plain import plain, safe
from avo_tui.domain.records import Version
from avo_tui.domain.state import SessionState
from avo_tui.export.folder import Exported, ExportError, new_folder
from avo_tui.git_command import GitError, git
from avo_tui.store import SessionReader

MAIN = "main"
NOTES = "refs/notes/commits"
MAIL = "avo-tui.invalid"
"""A reserved domain for the authors' addresses, so that nobody can receive mail there."""


def as_git(reader: SessionReader, target: Path) -> Exported:
    """Write the lineage as a repository with its head checked out. Raises ExportError.

    Commits carry plan, summary and score, are authored by who made the version, and are dated by
    the events, so that two exports of a session have the same hashes. `main` is the line of the
    head; each line that was left is a branch `line/vN`, named after its last version. Every version
    has a tag `vN`; `best` and `head` are tags too. What the gate said is a note on the commit.
    """
    state = reader.state
    if not state.versions:
        raise ExportError(f"{state.session.name} has no version yet; there is nothing to export")
    ours = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    with new_folder(target) as folder:
        try:
            git(
                folder, "init", "--quiet", "--template=", f"--initial-branch={MAIN}", ".", more=ours
            )
            stream = b"".join(_stream(reader))
            git(folder, "fast-import", "--quiet", "--date-format=raw", given=stream, more=ours)
            git(folder, "checkout", "--quiet", MAIN, more=ours)
        except GitError as error:
            raise ExportError(str(error)) from error
    head = state.versions[_head(state)]
    return Exported(
        folder=target,
        files=tuple(sorted(reader.candidate(head.candidate).files)),
        versions=tuple(sorted(state.versions)),
    )


def branches(state: SessionState) -> dict[str, int]:
    """Branch → its last version: `main` for the head's line, the others by their last version."""
    head = _head(state)
    mine = {v.number for v in lineage.line(state.versions, head)}
    parents = {v.parent for v in state.versions.values()}
    ends = sorted(n for n in state.versions if n not in parents and n not in mine)
    return {MAIN: head, **{f"line/v{n}": n for n in ends}}


def _head(state: SessionState) -> int:
    head = state.session.head
    return head if head is not None and head in state.versions else max(state.versions)


def _stream(reader: SessionReader) -> Iterator[bytes]:
    """The input of `git fast-import`. Texts go in by their length, whatever they hold."""
    state = reader.state
    ordered = [state.versions[n] for n in sorted(state.versions)]
    marks = {v.number: index for index, v in enumerate(ordered, start=1)}
    for version in ordered:
        yield f"commit refs/tags/v{version.number}\nmark :{marks[version.number]}\n".encode()
        author = _person(_author(state, version), version.author, version.created)
        yield b"author " + author + b"committer " + _person("avo-tui", "avo", version.created)
        yield _data(_message(state, version))
        if version.parent in marks:  # one that a damaged session lost leaves a commit without
            yield f"from :{marks[version.parent]}\n".encode()
        yield b"deleteall\n"
        for name, text in reader.candidate(version.candidate).files.items():
            yield f"M 100644 inline {name}\n".encode() + _data(text)
        yield b"\n"
    best = state.best
    assert best is not None
    refs = {f"refs/heads/{branch}": number for branch, number in branches(state).items()}
    refs |= {"refs/tags/head": _head(state), "refs/tags/best": best.number}
    for ref, number in refs.items():
        yield f"reset {ref}\nfrom :{marks[number]}\n\n".encode()
    yield from _notes(ordered, marks)


def _notes(versions: list[Version], marks: dict[int, int]) -> Iterator[bytes]:
    """One commit with all notes, which `git log` shows below the commit messages."""
    newest = max(version.created for version in versions)
    yield f"commit {NOTES}\n".encode()
    yield b"committer " + _person("avo-tui", "avo", newest) + _data("Notes of the gates\n")
    for version in versions:
        yield f"N inline :{marks[version.number]}\n".encode() + _data(_note(version))


def _data(text: str) -> bytes:
    body = text.encode("utf-8", "replace")
    return b"data %d\n%s\n" % (len(body), body)


def _person(name: str, who: str, at: datetime) -> bytes:
    clean = "".join(c for c in plain(name, 80) if c not in "<>")
    return f"{clean} <{who}@{MAIL}> {int(at.timestamp())} +0000\n".encode()


def _author(state: SessionState, version: Version) -> str:
    if version.model:
        return version.maker
    model = state.session.settings.model
    return f"{version.author} ({model})" if version.author == "agent" and model else version.author


def _message(state: SessionState, version: Version) -> str:
    words = (version.summary.strip() or version.plan.strip() or f"v{version.number}").splitlines()
    title = plain(words[0], 72)
    if version.author == "seed" and not version.plan:
        title = f"Seed of {state.session.task.name}"
    parts = [title]
    parts += [safe(text).strip() for text in (version.summary, version.plan) if text.strip()]
    parts.append(_score(version))
    if version.built_on:
        notes = (f"- {note.category}: {plain(note.text, 1000)}" for note in version.built_on)
        parts.append("Built on these notes:\n" + "\n".join(notes))
    trailers = [
        f"Version: v{version.number}",
        f"Session: {state.session.name}",
        f"Step: {version.step}",
        f"Candidate: {version.candidate}",
    ]
    return "\n\n".join([*parts, "\n".join(trailers)]) + "\n"


def _score(version: Version) -> str:
    score = version.score
    lines = [
        f"Score: {version.aggregate:.4f} of {score.reference_baseline},"
        f" {score.geomean:.4g} {score.unit}"
    ]
    lines += [
        f"  {c.name}: {c.throughput:.4g} {score.unit}, {c.ratio:.4f} of {score.reference_baseline}"
        for c in score.configurations
    ]
    lines += [f"  {plain(remark, 600)}" for remark in score.remarks]
    return "\n".join(lines)


def _note(version: Version) -> str:
    gate = version.gate
    lines = [f"Gate {gate.gate}: {safe(gate.reason)}"]
    if gate.gain is not None and gate.margin is not None:
        how = ", measured again beside it" if gate.remeasured else ""
        lines.append(f"Gain {gate.gain:+.2%}, asked for {gate.margin:.2%}{how}")
    if version.device:
        lines.append(f"Device: {safe(version.device)}")
    if resources := version.resources.summary():
        lines.append(f"Resources: {safe(resources)}")
    for again in version.remeasurements:
        lines.append(f"Measured again {again.at:%Y-%m-%d %H:%M} UTC: {again.score.aggregate:.4f}")
    if version.flag:
        lines.append(f"Bookmark: {plain(version.flag)}")
    if version.note:
        lines.append(f"Note of the person: {safe(version.note)}")
    return "\n".join(lines) + "\n"
