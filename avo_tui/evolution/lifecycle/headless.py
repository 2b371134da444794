"""Text output of a run without the app: one short line per event, safe to print in a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import TextIO

from avo_tui.domain import events as ev
from avo_tui.domain.budget import CapState
from avo_tui.domain.plain import plain
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.report import WAITING_SECONDS


class Printer:
    """Writes events to a stream, one line each. Progress within an evaluation stage is left out."""

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        self._stream = stream
        self._verbose = verbose
        self._baseline = ""
        self._pids: set[int] = set()
        self._said_waiting: datetime | None = None
        """When it was last said that the device is waited for."""
        self._prose: list[ev.AgentText] = []

    def __call__(self, event: ev.Event) -> None:
        """Print one event, if it is important enough for a line."""
        if isinstance(event, ev.AgentText):
            self._hear(event)
            return
        text = self._text(event)
        if text or isinstance(event, ev.EngineStopped):
            self._say_prose()
        if text:
            self._line(event, text)

    def _hear(self, event: ev.AgentText) -> None:
        """Collect text that arrives in pieces; it is printed as a whole before the next other
        event."""
        if event.thinking:
            return
        if self._prose and self._prose[-1].block != event.block:
            self._say_prose()
        self._prose.append(event)
        if event.text.endswith("\n"):
            self._say_prose()

    def _say_prose(self) -> None:
        if self._prose:
            self._line(self._prose[0], "".join(e.text for e in self._prose))
            self._prose.clear()

    def _line(self, event: ev.Event, text: str) -> None:
        shown = plain(text)
        if shown:
            time = event.at.astimezone().strftime("%H:%M:%S")
            try:
                self._stream.write(f"{time} {event.step:>4}  {shown}\n")
                self._stream.flush()
            except BrokenPipeError:
                # otherwise Python reports the error again when it closes the stream at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
                raise

    def _text(self, event: ev.Event) -> str | None:
        writer = _WRITERS.get(type(event))
        if writer is not None:
            return writer(event)
        if isinstance(event, ev.EngineStarted):
            return self._engine(event)
        if isinstance(event, ev.VersionCommitted):
            version = event.version
            self._baseline = version.score.reference_baseline
            where = "" if version.parent is None else f" from v{version.parent}"
            return (
                f"v{version.number} committed{where}: {version.aggregate:.4f} of "
                f"{self._baseline}, {version.score.geomean:.1f} {version.score.unit}; "
                f"{version.gate.reason}"
            )
        if isinstance(event, ev.AttemptFinished):
            return _attempt(event)
        if isinstance(event, ev.EvaluationProgressed):
            progress = event.progress
            if progress.stage == "waiting" and progress.state == "started":
                return self._waits(event)
            if not self._verbose:
                return None
            where = f" {progress.configuration}" if progress.configuration else ""
            return f"attempt {event.attempt}: {progress.stage} {progress.state}{where}"
        return None

    def _waits(self, event: ev.EvaluationProgressed) -> str | None:
        """On a busy machine each pair of calls waits: that is said once in a while."""
        last = self._said_waiting
        if last is not None and (event.at - last).total_seconds() < WAITING_SECONDS:
            return None
        self._said_waiting = event.at
        return f"attempt {event.attempt} waits for the device: {event.progress.detail}"

    def _engine(self, event: ev.EngineStarted) -> str | None:
        engine = event.engine
        if engine.pid not in self._pids:
            self._pids.add(engine.pid)
            return f"engine {engine.pid} on {engine.host}"
        notice = f"; {engine.sandbox_warning}" if engine.sandbox_warning else ""
        return f"measuring on {engine.device}; sandbox: {engine.sandbox}{notice}"


def _attempt(event: ev.AttemptFinished) -> str:
    report = event.report
    if report.score is not None:
        result = f"{report.score.aggregate:.4f} of {report.score.reference_baseline}"
    elif report.verdict is Verdict.CORRECT:
        result = "correct"
    else:
        result = f"{report.verdict.value.replace('_', ' ')}: {report.feedback.summary}"
    how = "from the record" if report.cached else f"{report.seconds.total:.1f} s"
    return f"attempt {event.attempt}: {result} ({how})"


def _state(event: ev.StateChanged) -> str:
    until = f" until {event.until.astimezone():%H:%M:%S}" if event.until else ""
    return f"{event.state}{until}" + (f": {event.reason}" if event.reason else "")


def _command(event: ev.CommandTaken) -> str:
    if event.refused:
        return f"{event.command} refused: {event.refused}"
    return f"{event.command} by {event.by or 'someone'}: {event.effect}"


def _finished(event: ev.StepFinished) -> str:
    return f"step ends: {event.outcome}" + (f", {event.reason}" if event.reason else "")


def _warned(event: ev.BudgetWarned) -> str:
    word = "used up" if event.exhausted else "nearly used up"
    return f"budget {word}: {CapState(unit=event.unit, cap=event.cap, used=event.used).text}"


def _intervened(event: ev.SupervisorIntervened) -> str:
    intervention = event.intervention
    directions = " ".join(d.text for d in intervention.directions)
    return (
        f"supervisor, {intervention.level.replace('_', ' ')}: {intervention.trigger}. {directions}"
    )


def _reviewed(event: ev.InterventionChanged) -> str | None:
    if event.review is None:
        return None
    directions = " ".join(d.text for d in event.directions or ())
    return f"supervisor's review: {event.review} {directions}"


_WRITERS: dict[type, Callable[..., str | None]] = {
    ev.EngineStopped: lambda e: f"engine ends, {e.state}" + (f": {e.reason}" if e.reason else ""),
    ev.Recovered: lambda e: "recovered: " + "; ".join(e.actions),
    ev.StateChanged: _state,
    ev.StepStarted: lambda e: f"step {e.step} begins from v{e.parent}",
    ev.StepFinished: _finished,
    ev.ToolCalled: lambda e: f"tool {e.tool}",
    ev.AttemptRejected: lambda e: f"attempt {e.attempt} not committed: {e.reason}",
    ev.ApprovalRequested: lambda e: f"attempt {e.attempt} waits for approval: {e.decision.reason}",
    ev.VersionRemeasured: lambda e: f"v{e.number} again: {e.measurement.score.aggregate:.4f}",
    ev.CommandTaken: _command,
    ev.HintDelivered: lambda e: f"hint {e.where}" + (f": {e.effect}" if e.effect else ""),
    ev.Rewound: lambda e: (
        f"rewound from v{e.origin} to v{e.target}" + (f": {e.reason}" if e.reason else "")
    ),
    ev.BudgetWarned: _warned,
    ev.SupervisorIntervened: _intervened,
    ev.InterventionChanged: _reviewed,
    ev.TroubleNoted: lambda e: f"trouble, {e.where}: {e.message}",
}
