"""How long a request has run, and its messages while it waits."""

from __future__ import annotations

import asyncio

from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.ports import ProgressSink


class RequestClock:
    """Measures how long a request has run, without its waits for a device that is in use."""

    def __init__(self, progress: ProgressSink | None) -> None:
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    @property
    def seconds(self) -> float:
        """Since it began, or since it last waited."""
        return self._loop.time() - self._began

    def see(self, progress: EvaluationProgress) -> None:
        """A sign of life of the request."""
        if progress.stage == "waiting":
            self._began = self._loop.time()
        if self._progress is not None:
            self._progress(progress)


def say(progress: ProgressSink | None, detail: str) -> None:
    """Says that a request waits, and why."""
    if progress is not None:
        progress(EvaluationProgress(stage="waiting", state="started", detail=detail))
