"""What a running call of a tool does now, and what it has brought so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar

from avo_tui.domain.events import Event, ToolProgressed, ToolReturned
from avo_tui.domain.report import EvaluationProgress, Stage
from avo_tui.operators.ports import Interrupted, StepEnded

SHOWN = 700
"""Largest number of characters of the text that whoever waits is shown."""

_STAGES: dict[Stage, str] = {
    "compile": "compiles",
    "check": "checks",
    "benchmark": "measures",
    "remeasure": "measures a pair",
}


Tell = Callable[[str, tuple[str, ...]], None]
"""Given what a tool does now, and the results it has brought so far, each time that they change."""


def tell_nobody(doing: str, results: tuple[str, ...]) -> None:
    """For a call that nobody waits for."""


class RunningCall:
    """One call. It is recorded what it does, so that results of a call that is cut off are kept."""

    def __init__(
        self,
        call: str = "",
        record: Callable[[Event], None] = lambda event: None,
        tell: Tell = tell_nobody,
        redact: Callable[[str], str] = lambda text: text,
    ) -> None:
        """`redact` takes secrets out of what tools say."""
        self._redact = redact
        self._call = call
        self._record = record
        self._tell = tell
        self._told: tuple[str, int] = ("", 0)
        self._doing = ""
        self._device = ""
        self._results: list[str] = []

    def begin(self, doing: str, result: str = "") -> None:
        """The tool begins with the next of several things, such as `2 of 10: TILE=64`.

        `result` is what the one before gave, in a line.
        """
        doing, result = self._redact(doing), self._redact(result)
        self._doing, self._device = doing, ""
        if result:
            self._results.append(result)
        self._record(ToolProgressed(call=self._call, doing=doing, result=result))
        self._changed()

    def hear(self, progress: EvaluationProgress) -> None:
        """An evaluation of this call has got on, or waits for the device."""
        if progress.stage == "waiting":
            waits = progress.state != "finished"
            detail = self._redact(progress.detail)
            self._device = f"waits for the device: {detail}" if waits else ""
        elif progress.state == "finished":
            self._device = ""
        else:
            which = f" {progress.configuration}" if progress.configuration else ""
            of = f" ({progress.index} of {progress.count})" if which and progress.count else ""
            does = f"measures pair {progress.pair}" if progress.pair else _STAGES[progress.stage]
            self._device = f"{does}{which}{of}"
        self._changed()

    def _changed(self) -> None:
        text = "; ".join(filter(None, [self._doing, self._device]))
        if (text, len(self._results)) != self._told:
            self._told = (text, len(self._results))
            self._tell(text, tuple(self._results))


_NOW: ContextVar[RunningCall | None] = ContextVar("running call", default=None)
"""The call whose tool runs in this task: several may run at once."""


def running_now() -> RunningCall:
    """The call that runs in this task; one that nobody waits for where there is none."""
    return _NOW.get() or RunningCall()


def runs_now(call: RunningCall) -> None:
    """Makes it the call that runs in this task."""
    _NOW.set(call)


def so_far(doing: str, results: Sequence[str]) -> str:
    """What a tool does, and what came of the things before; the newest results last."""
    if not results:
        return doing
    room, shown = SHOWN - len(doing), list[str]()
    for line in reversed(results):
        room -= len(line) + 2
        if room < 0 and shown:
            shown.append("…")
            break
        shown.append(line[:SHOWN])
    return f"{doing}. So far: {'; '.join(reversed(shown))}"


def unreturned(events: Iterable[Event]) -> dict[str, list[str]]:
    """Name of each call that has given no answer → the results that it brought, a line each.

    Such a call runs now, or the engine ended while it ran.
    """
    results: dict[str, list[str]] = {}
    for event in events:
        if isinstance(event, ToolProgressed) and event.result:
            results.setdefault(event.call, []).append(event.result)
        elif isinstance(event, ToolReturned):
            results.pop(event.call, None)
    return results


def cut_short(cut: Interrupted | StepEnded, reason: str) -> str:
    """What the caller of a tool is told whose call was cut off, with what it brought until then."""
    if not cut.brought:
        return f"{reason}: it brought no result."
    return f"{reason}. What it brought until then:\n{cut.brought}"
