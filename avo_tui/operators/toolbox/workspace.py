"""The state of one step's work: the working candidate, the plan, the evaluated candidates."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from avo_tui.domain.base import ObjectId
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.difference import edited
from avo_tui.domain.events import (
    AttemptFinished,
    AttemptStarted,
    CandidateEdited,
    NoteRemoved,
    PlanSet,
)
from avo_tui.domain.questions import Answer, CheckQuestion, Question
from avo_tui.domain.records import Attempt, PlanItem, Version
from avo_tui.domain.report import EvaluationReport
from avo_tui.operators.ports import AttemptResult, Workbench
from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.running_call import RunningCall, running_now
from avo_tui.operators.toolbox.switched_off import fitting, parts_off

_ATTEMPT = re.compile(r"(\d{1,9})\.(\d{1,9})", re.ASCII)


@dataclass
class Workspace:
    """State that the tools of one step share. It is rebuilt from events after an interruption."""

    bench: Workbench
    working: Candidate
    plan_title: str = ""
    plan: tuple[PlanItem, ...] = ()
    evaluated: dict[ObjectId, AttemptResult] = field(default_factory=dict)
    """Finished attempts of this step, by candidate."""
    correct: set[ObjectId] = field(default_factory=set)
    """Candidates that a check of this step found correct, in full or the small configurations."""
    forgotten: set[str] = field(default_factory=set)
    """Notes that the operator itself removed in this step."""

    @classmethod
    def restore(cls, bench: Workbench) -> Workspace:
        """The workspace according to the step's events; a new step starts with the head's
        source."""
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
    def running(self) -> RunningCall:
        """The call whose tool asks."""
        return running_now()

    @property
    def parent(self) -> Candidate:
        """Source of the version this step started from."""
        return self.bench.reading.candidate(self.bench.reading.head.candidate)

    async def ask(self, question: Question[Answer], /) -> Answer:
        """Ask the evaluator; a candidate that a check finds correct is remembered."""
        answer = await self.bench.evaluating.ask(question)
        correct = isinstance(answer, EvaluationReport) and answer.correct
        if correct and isinstance(question, CheckQuestion):
            self.correct.add(question.candidate.id)
        return answer

    def change(self, candidate: Candidate, title: str) -> str:
        """Make `candidate` the working candidate and record it. Returns one line for the caller."""
        if candidate.id == self.working.id:
            return "Nothing changed: the working candidate already reads like this."
        self.bench.recording.keep(candidate.canonical())
        event = edited(candidate, self.bench.reading.head.number, self.parent, title)
        self.working = candidate
        self.bench.recording.record(event)
        known = self.bench.reading.find_attempt(candidate.id)
        counts = f"+{event.added} −{event.removed} lines"
        line = f"{title}. Against v{event.parent}: {counts}."
        if candidate.id == self.parent.id:
            line += " The working candidate is the parent again."
        elif known is not None:
            verdict = known.verdict.value if known.verdict else "unfinished"
            line += (
                f" This very source was evaluated before, as attempt {known.step}.{known.number}:"
                f" {verdict}{', ' + known.reason if known.reason else ''}."
            )
        return line

    @property
    def without(self) -> frozenset[str]:
        """The parts that this run does without."""
        return parts_off(self.bench.reading.settings)

    def fitting(self, text: str) -> str:
        """A text of ours without its passages about what is switched off."""
        return fitting(text, self.without)

    def version(self, number: int) -> Version:
        """The version of that number. Raises ToolError that lists the ones there are."""
        versions = self.bench.reading.versions()
        for version in versions:
            if version.number == number:
                return version
        raise ToolError(f"There is no v{number}. {_range(versions)}")

    def attempt(self, name: str) -> Attempt:
        """The attempt of that name, such as `12.3`. Raises ToolError."""
        if match := _ATTEMPT.fullmatch(name.strip()):
            step, number = (int(part) for part in match.groups())
            for attempt in self.bench.reading.attempts(step):
                if attempt.number == number:
                    return attempt
        raise ToolError(f"There is no attempt {name}; list_attempts shows them.")

    def file(self, name: str | None) -> tuple[str, str]:
        """(name, text) of a file of the working candidate; `name` may be None if it has only
        one."""
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
