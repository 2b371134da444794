"""Which evaluator a session asks for."""

from __future__ import annotations

from avo_tui.domain.records import SessionRecord
from avo_tui.evaluation.client import LocalEvaluator
from avo_tui.evaluation.ports import Evaluator


def make_evaluator(session: SessionRecord) -> Evaluator:
    """The evaluator of a session: this machine's, or the one its settings name by URL.

    Raises ValueError for a URL that nothing serves.
    """
    url = session.settings.evaluator
    if url is None:
        return LocalEvaluator(task=session.task.name)
    raise ValueError(f"{url}: remote evaluators are not served yet; leave --evaluator out")
