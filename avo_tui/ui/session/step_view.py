"""One step as the screens show it, built from the step's events and limited in size."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from avo_tui.domain import events as ev
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Attempt, PlanItem, StepOutcomeName
from avo_tui.domain.report import EvaluationProgress, EvaluationReport, Resources, Stage
from avo_tui.ui import formats

STREAM_LIMIT = 600
"""Largest number of entries of the stream."""
TEXT_LIMIT = 16_000
"""Largest number of characters of one block of text; the beginning of a longer one is cut."""

EntryKind = Literal[
    "text", "thought", "tool", "hint", "attempt", "gate", "supervisor", "trouble", "note", "control"
]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that the operator, the person or the engine did or said."""

    kind: EntryKind
    key: str
    text: str
    detail: str = ""
    ok: bool | None = None
    """Whether it succeeded; None while it runs, or if success does not apply."""
    seconds: float = 0.0
    at: datetime | None = None
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class StageView:
    stage: Stage
    state: Literal["running", "done", "failed"] = "running"
    index: int = 0
    count: int = 0
    seconds: float = 0.0
    detail: str = ""
    rows: tuple[EvaluationProgress, ...] = ()


@dataclass(frozen=True, slots=True)
class AttemptView:
    """The evaluation of one attempt, up to its present stage."""

    attempt: Attempt
    stages: tuple[StageView, ...] = ()
    log: str = ""
    resources: Resources | None = None
    report: EvaluationReport | None = None
    decision: GateDecision | None = None
    rejected: str = ""
    version: int | None = None

    @property
    def current(self) -> StageView | None:
        return next((s for s in self.stages if s.state == "running"), None)


@dataclass(frozen=True, slots=True)
class StepView:
    """A step: plan, stream, working candidate, the attempt in hand."""

    number: int = 0
    parent: int | None = None
    started: datetime | None = None
    ended: datetime | None = None
    outcome: StepOutcomeName | None = None
    reason: str = ""
    version: int | None = None
    title: str = ""
    items: tuple[PlanItem, ...] = ()
    stream: tuple[Entry, ...] = ()
    edit: ev.CandidateEdited | None = None
    attempt: AttemptView | None = None
    attempts: int = 0


@dataclass
class StepFold:
    """Applies events to a `StepView`; a new step starts a new one."""

    view: StepView = field(default_factory=StepView)
    _stream: deque[Entry] = field(default_factory=lambda: deque(maxlen=STREAM_LIMIT))
    _dirty: bool = False

    def apply(self, event: ev.Event) -> None:
        """Apply one event; kinds that are not shown in a step are ignored."""
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def snapshot(self) -> StepView:
        """The current view; the same object while nothing has changed."""
        if self._dirty:
            self.view = replace(self.view, stream=tuple(self._stream))
            self._dirty = False
        return self.view

    # -- handlers

    def _step_started(self, event: ev.StepStarted) -> None:
        self._stream.clear()
        self.view = StepView(number=event.step, parent=event.parent, started=event.at)
        self._dirty = True

    def _step_finished(self, event: ev.StepFinished) -> None:
        version = event.version if event.version is not None else self.view.version
        changes: dict[str, Any] = {"outcome": event.outcome, "reason": event.reason}
        self.view = replace(self.view, ended=event.at, version=version, **changes)

    def _plan(self, event: ev.PlanSet) -> None:
        self.view = replace(self.view, title=event.title, items=event.items)

    def _text(self, event: ev.AgentText) -> None:
        kind: EntryKind = "thought" if event.thinking else "text"
        last = self._stream[-1] if self._stream else None
        if last is not None and last.key == event.block and last.kind == kind:
            text = (last.text + event.text)[-TEXT_LIMIT:]
            self._stream[-1] = replace(last, text=text, at=event.at)
            self._dirty = True
        else:
            self._put(event, kind, event.block, event.text[-TEXT_LIMIT:])

    def _tool_called(self, event: ev.ToolCalled) -> None:
        self._put(event, "tool", event.call, event.tool, _arguments(event.arguments))

    def _tool_progressed(self, event: ev.ToolProgressed) -> None:
        if doing := " · ".join(filter(None, [event.doing, event.result])):
            self._change("tool", event.call, detail=doing)

    def _tool_returned(self, event: ev.ToolReturned) -> None:
        changes: dict[str, Any] = {"ok": event.ok, "seconds": event.seconds, "ref": event.ref}
        if event.summary:
            changes["detail"] = event.summary
        if not self._change("tool", event.call, **changes):
            self._put(event, "tool", event.call, event.tool, **changes)

    def _edited(self, event: ev.CandidateEdited) -> None:
        self.view = replace(self.view, edit=event)

    def _attempt_started(self, event: ev.AttemptStarted) -> None:
        attempt = event.attempt
        attempts = max(self.view.attempts, attempt.number)
        self.view = replace(self.view, attempt=AttemptView(attempt), attempts=attempts)
        self._put(event, "attempt", f"a{attempt.number}", attempt.title)

    def _progressed(self, event: ev.EvaluationProgressed) -> None:
        if view := self._in_hand(event.attempt):
            self.view = replace(self.view, attempt=progressed(view, event.progress))

    def _attempt_finished(self, event: ev.AttemptFinished) -> None:
        report = event.report
        if view := self._in_hand(event.attempt):
            state: Literal["done", "failed"] = "done" if report.correct else "failed"
            running = (s.state == "running" for s in view.stages)
            stages = tuple(
                replace(stage, state=state) if runs else stage
                for stage, runs in zip(view.stages, running, strict=True)
            )
            self._change_attempt(
                event.attempt, report=report, stages=stages, resources=report.resources
            )
        summary = report.feedback.summary
        if report.score is not None:
            summary = f"{report.score.aggregate:.3f}× {report.score.reference_baseline}"
        changes = {"ok": report.correct, "detail": summary, "seconds": report.seconds.total}
        self._change("attempt", f"a{event.attempt}", **changes)

    def _gate(self, event: ev.GateDecided) -> None:
        decision = event.decision
        self._change_attempt(event.attempt, decision=decision)
        view = self._in_hand(event.attempt)
        if event.score is not None and view is not None and view.report is not None:
            self._change_attempt(event.attempt, report=view.report.replaced(score=event.score))
        accepted = None if decision.outcome == "unclear" else decision.accepted
        why = (formats.minus(decision.reason), decision.gate, accepted)
        self._put(event, "gate", f"g{event.seq}", *why)

    def _rejected(self, event: ev.AttemptRejected) -> None:
        if view := self._in_hand(event.attempt):
            self._change_attempt(event.attempt, rejected=event.reason)
            if view.report is not None and not view.report.correct:
                return  # the row of the attempt says why
            if view.decision is not None and view.decision.reason == event.reason:
                return  # the gate has said it
        why = ("not committed", formats.minus(event.reason))
        self._put(event, "control", f"r{event.attempt}", *why, False)

    def _committed(self, event: ev.VersionCommitted) -> None:
        version = event.version
        self._change_attempt(version.attempt, version=version.number, decision=version.gate)
        self.view = replace(self.view, version=version.number)
        name = f"v{version.number}"
        why = formats.minus(version.gate.reason)
        self._put(event, "control", name, f"{name} committed", why, True)

    def _hint_queued(self, event: ev.HintQueued) -> None:
        self._put(event, "hint", event.hint.id, event.hint.text, "queued")

    def _hint_delivered(self, event: ev.HintDelivered) -> None:
        detail = f"delivered {event.where}" if event.where else "delivered"
        self._change_hint(event, f"{detail} · {event.effect}" if event.effect else detail, True)

    def _hint_closed(self, event: ev.HintClosed) -> None:
        self._change_hint(event, f"{event.state} {event.why}".strip(), False)

    def _change_hint(self, event: ev.HintDelivered | ev.HintClosed, detail: str, ok: bool) -> None:
        if not self._change("hint", event.hint, detail=detail, ok=ok):
            self._put(event, "hint", event.hint, "a hint", detail, ok)

    def _supervised(self, event: ev.SupervisorIntervened) -> None:
        one = event.intervention
        text = f"{one.level.replace('_', ' ')}: {one.trigger}"
        self._put(event, "supervisor", one.id, text, one.diagnosis)

    def _reviewed(self, event: ev.InterventionChanged) -> None:
        if event.review:
            key = f"{event.intervention}r"
            self._put(event, "supervisor", key, "review of the trajectory", event.review)

    def _trouble(self, event: ev.TroubleNoted) -> None:
        self._put(event, "trouble", f"t{event.seq}", event.message, event.where, False)

    def _rewound(self, event: ev.Rewound) -> None:
        text = f"rewound from v{event.origin} to v{event.target}"
        self._put(event, "control", f"r{event.seq}", text, event.reason)

    def _state(self, event: ev.StateChanged) -> None:
        if event.state not in {"running", "starting"}:
            self._put(event, "control", f"s{event.seq}", event.state, event.reason)

    # -- helpers

    def _put(
        self,
        event: ev.Event,
        kind: EntryKind,
        key: str,
        text: str,
        detail: str = "",
        ok: bool | None = None,
        *,
        seconds: float = 0.0,
        ref: str | None = None,
    ) -> None:
        self._stream.append(Entry(kind, key, text, detail, ok, seconds, event.at, ref))
        self._dirty = True

    def _change(self, kind: EntryKind, key: str, **changes: Any) -> bool:
        """Change the newest entry of this kind and key; False if there is none."""
        for i in range(len(self._stream) - 1, -1, -1):
            entry = self._stream[i]
            if (entry.kind, entry.key) == (kind, key):
                self._stream[i] = replace(entry, **changes)
                self._dirty = True
                return True
        return False

    def _in_hand(self, number: int) -> AttemptView | None:
        view = self.view.attempt
        return view if view is not None and view.attempt.number == number else None

    def _change_attempt(self, number: int, **changes: Any) -> None:
        if view := self._in_hand(number):
            self.view = replace(self.view, attempt=replace(view, **changes))


def progressed(view: AttemptView, progress: EvaluationProgress) -> AttemptView:
    """The view of an attempt, updated with a progress report."""
    stages = list(view.stages)
    stage_index = next((i for i, s in enumerate(stages) if s.stage == progress.stage), None)
    if stage_index is None:
        stages.append(StageView(progress.stage))
        stage_index = len(stages) - 1
    elif progress.state == "started":
        stages[stage_index] = StageView(progress.stage)
    old = stages[stage_index]
    changes: dict[str, Any] = {"detail": progress.detail or old.detail}
    if progress.count:
        changes["count"] = progress.count
    if progress.state == "configuration":
        which = (progress.index, progress.configuration)
        others = (row for row in old.rows if (row.index, row.configuration) != which)
        changes["rows"] = (*others, progress)
        changes["index"] = max(old.index, progress.index)
    elif progress.state == "finished":
        changes["state"] = "done" if progress.ok else "failed"
        changes["seconds"] = progress.seconds or old.seconds
    stages[stage_index] = replace(old, **changes)
    return replace(
        view,
        stages=tuple(stages),
        log=progress.log or view.log,
        resources=progress.resources or view.resources,
    )


def fold(events: Iterable[ev.Event]) -> StepView:
    """The view of a finished or running step from its events."""
    step_fold = StepFold()
    for event in events:
        step_fold.apply(event)
    return step_fold.snapshot()


def _arguments(arguments: dict[str, Any]) -> str:
    parts = []
    for name, value in list(arguments.items())[:6]:
        text = value if isinstance(value, str) else repr(value)
        text = " ".join(text[:200].split())
        parts.append(f"{name}={text[:60]}{'…' if len(text) > 60 else ''}")
    return ", ".join(parts)


_HANDLERS: dict[type, Callable[[StepFold, Any], None]] = {
    ev.StepStarted: StepFold._step_started,
    ev.StepFinished: StepFold._step_finished,
    ev.PlanSet: StepFold._plan,
    ev.AgentText: StepFold._text,
    ev.ToolCalled: StepFold._tool_called,
    ev.ToolProgressed: StepFold._tool_progressed,
    ev.ToolReturned: StepFold._tool_returned,
    ev.CandidateEdited: StepFold._edited,
    ev.AttemptStarted: StepFold._attempt_started,
    ev.EvaluationProgressed: StepFold._progressed,
    ev.AttemptFinished: StepFold._attempt_finished,
    ev.GateDecided: StepFold._gate,
    ev.AttemptRejected: StepFold._rejected,
    ev.VersionCommitted: StepFold._committed,
    ev.HintQueued: StepFold._hint_queued,
    ev.HintDelivered: StepFold._hint_delivered,
    ev.HintClosed: StepFold._hint_closed,
    ev.SupervisorIntervened: StepFold._supervised,
    ev.InterventionChanged: StepFold._reviewed,
    ev.TroubleNoted: StepFold._trouble,
    ev.Rewound: StepFold._rewound,
    ev.StateChanged: StepFold._state,
}
