"""What everything that evaluates shares: its one exception, and who hears how far it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from avo_tui.domain.base import Value
from avo_tui.domain.report import EvaluationProgress

ProgressSink = Callable[[EvaluationProgress], None]
"""Called in the event loop with each progress report; must return at once."""


class EvaluatorError(RuntimeError):
    """The evaluator cannot serve the request; the message is one sentence that says what to do."""


class BrokenTask(Value):
    """A task folder that cannot be loaded, with the reason."""

    name: str
    path: Path
    error: str
