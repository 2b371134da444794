"""Finds the report of an attempt: in the event that ended the attempt, or in an object.

Sessions of older versions store each report twice, in the event and as an object; their attempts
name the object.
"""

from __future__ import annotations

from avo_tui.domain.events import AttemptFinished
from avo_tui.domain.records import Attempt
from avo_tui.domain.report import EvaluationReport
from avo_tui.store.errors import DamagedSession
from avo_tui.store.journal import read_event
from avo_tui.store.layout import Layout
from avo_tui.store.objects import ObjectStore


def read_report(layout: Layout, objects: ObjectStore, attempt: Attempt) -> EvaluationReport | None:
    """The whole report of an attempt; None where it has none yet.

    Raises KeyError where the object is missing, DamagedSession where it or the event is damaged.
    """
    if attempt.report is not None:
        try:
            return EvaluationReport.model_validate_json(objects.get(attempt.report))
        except ValueError as error:
            raise DamagedSession(f"object {attempt.report[:10]} is no report") from error
    if not attempt.report_event:
        return None
    event = read_event(layout, attempt.report_event, attempt.step)
    if not isinstance(event, AttemptFinished):
        name = f"{attempt.step}.{attempt.number}"
        raise DamagedSession(
            f"event {attempt.report_event} of the journal, the report of attempt {name}, "
            "is missing or damaged"
        )
    return event.report
