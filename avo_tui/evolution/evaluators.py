"""Which evaluator a session asks for."""

from __future__ import annotations

from importlib import import_module

from avo_tui.domain.records import SessionRecord
from avo_tui.evaluation.ports import Evaluator


def make_evaluator(session: SessionRecord) -> Evaluator:
    """The evaluator of a session: this machine's, or the one its settings name by URL.

    Raises ValueError for a URL that nothing serves.
    """
    url = session.settings.evaluator
    if url is None:
        module = import_module("avo_tui.evaluation")
        local: Evaluator = module.LocalEvaluator()
        return local
    raise ValueError(f"{url}: remote evaluators are not served yet; leave --evaluator out")
