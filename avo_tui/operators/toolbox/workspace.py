"""The state of one step's work: the working candidate, the plan, what was evaluated."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from avo_tui.domain.base import ObjectId
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.events import (
    AttemptFinished,
    AttemptStarted,
    CandidateEdited,
    NoteRemoved,
    PlanSet,
)
from avo_tui.domain.records import Attempt, PlanItem, Version
from avo_tui.operators.ports import AttemptResult, Workbench
from avo_tui.operators.toolbox.base import ToolError

DIFF_LIMIT = 20_000
"""Characters of a diff kept in an event."""


def unified(before: Candidate, after: Candidate, context: int = 3) -> str:
    """Unified diff between two candidates, over all files; empty if they are the same."""
    parts: list[str] = []
    for name in sorted({*before.files, *after.files}):
        old, new = before.files.get(name), after.files.get(name)
        if old == new:
            continue
        lines = difflib.unified_diff(
            (old or "").splitlines(),
            (new or "").splitlines(),
            f"a/{name}" if old is not None else "/dev/null",
            f"b/{name}" if new is not None else "/dev/null",
            n=context,
            lineterm="",
        )
        parts.append("\n".join(lines))
    return "\n".join(part for part in parts if part)


def count_changes(diff: str) -> tuple[int, int]:
    """(added, removed) lines of a unified diff."""
    added = removed = 0
    in_hunk = False
    for line in diff.splitlines():
        if line.startswith("@@"):
            in_hunk = True
        elif line.startswith("--- "):
            in_hunk = False
        elif in_hunk and line.startswith("+"):
            added += 1
        elif in_hunk and line.startswith("-"):
            removed += 1
    return added, removed


@dataclass
class Workspace:
    """What the tools of one step share. Rebuilt from the step's events after an interruption."""

    bench: Workbench
    working: Candidate
    plan_title: str = ""
    plan: tuple[PlanItem, ...] = ()
    evaluated: dict[ObjectId, AttemptResult] = field(default_factory=dict)
    """Finished attempts of this step, by candidate."""
    forgotten: set[str] = field(default_factory=set)
    """Notes that the operator itself removed in this step."""

    @classmethod
    def restore(cls, bench: Workbench) -> Workspace:
        """The workspace as the step's events left it; the head's source for a fresh step."""
        space = cls(bench, bench.reading.candidate(bench.reading.head.candidate))
        started: dict[int, ObjectId] = {}
        for event in bench.reading.step_events():
            match event:
                case CandidateEdited():
                    space.working = load_candidate(bench, event.candidate)
                case PlanSet():
                    space.plan_title, space.plan = event.title, event.items
                case NoteRemoved() if event.author != "person":
                    space.forgotten.add(event.note)
                case AttemptStarted():
                    started[event.attempt.number] = event.attempt.candidate
                case AttemptFinished() if event.attempt in started:
                    candidate = started[event.attempt]
                    space.evaluated[candidate] = AttemptResult(
                        step=bench.reading.step,
                        number=event.attempt,
                        candidate=candidate,
                        report=event.report,
                    )
                case _:
                    pass
        return space

    @property
    def parent(self) -> Candidate:
        """Source of the version this step started from."""
        return self.bench.reading.candidate(self.bench.reading.head.candidate)

    def change(self, candidate: Candidate, title: str) -> str:
        """Make `candidate` the working candidate and record it. Returns one line for the caller."""
        if candidate.id == self.working.id:
            return "Nothing changed: the working candidate already reads like this."
        identity = self.bench.recording.keep(candidate.canonical())
        whole = unified(self.parent, candidate)
        added, removed = count_changes(whole)
        self.working = candidate
        self.bench.recording.record(
            CandidateEdited(
                candidate=identity,
                parent=self.bench.reading.head.number,
                diff=whole[:DIFF_LIMIT],
                added=added,
                removed=removed,
                title=title,
            )
        )
        known = self.bench.reading.find_attempt(candidate.id)
        line = f"{title}. Against v{self.bench.reading.head.number}: +{added} −{removed} lines."
        if candidate.id == self.parent.id:
            line += " The working candidate is the parent again."
        elif known is not None:
            verdict = known.verdict.value if known.verdict else "unfinished"
            line += (
                f" This very source was evaluated before, as attempt {known.step}.{known.number}:"
                f" {verdict}{', ' + known.reason if known.reason else ''}."
            )
        return line

    def version(self, number: int) -> Version:
        """The version of that number. Raises ToolError that lists the ones there are."""
        versions = self.bench.reading.versions()
        for version in versions:
            if version.number == number:
                return version
        raise ToolError(f"There is no v{number}. {_range(versions)}")

    def attempt(self, name: str) -> Attempt:
        """The attempt of that name, such as `12.3`. Raises ToolError."""
        step, _, number = name.partition(".")
        for attempt in self.bench.reading.attempts(int(step)):
            if attempt.number == int(number):
                return attempt
        raise ToolError(f"There is no attempt {name}; list_attempts shows them.")

    def file(self, name: str | None) -> tuple[str, str]:
        """(name, text) of a file of the working candidate; the only one where `name` is None."""
        files = self.working.files
        if name is None:
            if len(files) > 1:
                raise ToolError(f"Say which file: {', '.join(files)}.")
            name = next(iter(files))
        if name not in files:
            there = ", ".join(files)
            raise ToolError(f"The working candidate has no file {name!r}; it has {there}.")
        return name, files[name]


def _range(versions: Sequence[Version]) -> str:
    return f"There are v{versions[0].number} to v{versions[-1].number}; list_versions shows them."


def load_candidate(bench: Workbench, identity: ObjectId) -> Candidate:
    """A candidate by its identity, whether it was evaluated or only edited. Raises KeyError."""
    try:
        return bench.reading.candidate(identity)
    except KeyError:
        return Candidate.model_validate(json.loads(bench.reading.fetch(identity)))
