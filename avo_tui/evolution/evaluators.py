"""Which evaluator a session asks for."""

from __future__ import annotations

from avo_tui.domain.records import SessionRecord
from avo_tui.evaluation.client import LocalEvaluator
from avo_tui.evaluation.ports import Evaluator


def check_url(url: str | None) -> None:
    """Raises ValueError for an evaluator that nothing here serves."""
    if url is not None:
        raise ValueError(f"{url}: remote evaluators are not served yet; leave --evaluator out")


def make_evaluator(session: SessionRecord) -> Evaluator:
    """The evaluator of a session: this machine's, or the one its settings name by URL.

    Raises ValueError for a URL that nothing serves.
    """
    check_url(session.settings.evaluator)
    allow_weak = session.settings.options.get("allow_weak_sandbox") is True
    return LocalEvaluator(task=session.task.name, allow_weak_sandbox=allow_weak)
