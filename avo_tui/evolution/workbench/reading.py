"""What a step can read: the lineage, the attempts, the person's hints, the memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avo_tui.domain import events as ev
from avo_tui.domain.base import ObjectId
from avo_tui.domain.budget import Budget, Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.device import busy_text
from avo_tui.domain.evidence import PairedGains
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.outlook import Spread, outlook, paired_gains, spread
from avo_tui.domain.records import Attempt, Direction, Hint, Intervention, Note, Profile, Version
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.task import TaskInfo
from avo_tui.domain.workers import queue_text
from avo_tui.evaluation.locks import measuring_text
from avo_tui.evolution.admission.evaluations import EvaluationRecorder
from avo_tui.evolution.run import Run
from avo_tui.evolution.watch.budget import BudgetWatch
from avo_tui.evolution.workbench.drafts import last_draft
from avo_tui.operators.draft import Draft


class StepReading:
    """Gives an operator read access to the session; implements
    `avo_tui.operators.ports.Reading`."""

    def __init__(
        self,
        run: Run,
        step: int,
        head: Version,
        evaluations: EvaluationRecorder,
        budget: BudgetWatch,
    ) -> None:
        self._run = run
        self._step = step
        self._head = head
        self._evaluations = evaluations
        self._budget = budget

    @property
    def task(self) -> TaskInfo:
        return self._run.state.session.task

    @property
    def step(self) -> int:
        return self._step

    @property
    def head(self) -> Version:
        return self._head

    @property
    def settings(self) -> RunSettings:
        return self._run.state.session.settings

    @property
    def folder(self) -> Path:
        return self._run.writer.folder

    @property
    def machine(self) -> MachineInfo | None:
        return self._run.machine

    def draft(self) -> Draft | None:
        return last_draft(self._run.writer.step_events, self._step, self._head)

    def profiles(self, candidate: ObjectId) -> Sequence[Profile]:
        return [p for p in self._run.state.profiles.values() if p.candidate == candidate]

    def versions(self) -> Sequence[Version]:
        return [self._run.state.versions[n] for n in sorted(self._run.state.versions)]

    def best(self) -> Version:
        return self._run.reference()

    def gate_outlook(self) -> str:
        run = self._run
        known = outlook(run.state, run.conditions, tuple(run.pairs_outside))
        return known.text if known is not None else ""

    def busy(self) -> str:
        return "; ".join(filter(None, [busy_text(self._run.devices), measuring_text()]))

    def queue(self) -> str:
        queue = self._run.evaluator.queue()
        return queue_text(queue) if queue is not None else ""

    def paired(self, candidate: ObjectId) -> PairedGains | None:
        return paired_gains(self._run.state, candidate)

    def spread(self) -> Spread:
        return spread(self._run.state, self._run.conditions)

    def candidate(self, identity: ObjectId) -> Candidate:
        return self._run.candidate(identity)

    def attempts(self, step: int | None = None) -> Sequence[Attempt]:
        attempts = self._run.state.attempts
        if step is None:
            return list(attempts.values())
        of_step: list[Attempt] = []
        for attempt in reversed(attempts.values()):
            if attempt.step < step:
                break
            if attempt.step == step:
                of_step.append(attempt)
        return of_step[::-1]

    def report(self, step: int, number: int) -> EvaluationReport | None:
        attempt = self._run.state.attempts.get((step, number))
        return self._run.report(attempt) if attempt is not None else None

    def find_attempt(self, candidate: ObjectId) -> Attempt | None:
        return self._evaluations.known(candidate)

    def step_events(self) -> Sequence[ev.Event]:
        return self._run.writer.step_events(self._step)

    def rewind_reason(self) -> str | None:
        if self._step == 0:
            return None
        for event in reversed(self._run.writer.step_events(self._step - 1)):
            if isinstance(event, ev.Rewound):
                same = event.target == self._head.number
                return (event.reason or "no reason was given") if same else None
        return None

    def directions(self) -> Sequence[Direction]:
        return [d for i in self.interventions() for d in i.directions]

    def interventions(self) -> Sequence[Intervention]:
        return [i for i in self._run.state.supervision.values() if i.state == "active"]

    def notes(self) -> Sequence[Note]:
        return list(self._run.state.memory.values())

    @property
    def memory_limit(self) -> int:
        return self._run.state.session.memory_limit

    def hints_in_force(self) -> Sequence[Hint]:
        return [h for h in self._run.state.live_hints if h.state == "delivered"]

    def hint(self, hint: str) -> Hint:
        return self._run.state.hints[hint]

    def remaining(self) -> tuple[Budget, Spend, Spend]:
        run, step = self._budget.spend()
        return self._run.state.session.budget, run, step

    def fetch(self, identity: ObjectId) -> bytes:
        return self._run.writer.get(identity)
