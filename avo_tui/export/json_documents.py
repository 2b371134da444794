"""Versions and scores as JSON. Field names never change; fields may be added."""

from datetime import UTC, datetime
from typing import Any

from avo_tui.domain.records import Version
from avo_tui.domain.score import Score

Form = dict[str, Any]


def moment(at: datetime | None) -> str | None:
    """ISO 8601 in UTC."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_MEASURED = {
    "name", "parameters", "throughput", "p20", "p80", "ratio", "baselines", "milliseconds", "flags",
}  # fmt: skip
_PLAIN = {
    "number", "parent", "author", "model", "step", "candidate", "gate", "plan", "summary",
    "bookmark", "note", "built_on", "resources", "device", "audits",
}  # fmt: skip


def score_form(score: Score | None) -> Form | None:
    """A score; `aggregate` is the geomean of the ratios."""
    if score is None:
        return None
    return {
        "correct": score.correct,
        "aggregate": score.aggregate,
        "geomean": score.geomean,
        "unit": score.unit,
        "reference_baseline": score.reference_baseline,
        "error_ratios": score.error_ratios,
        "breadth": score.breadth,
        "configurations": [
            c.model_dump(mode="json", include=_MEASURED) for c in score.configurations
        ],
    }


def version_form(version: Version) -> Form:
    """One version of a lineage."""
    return version.model_dump(mode="json", include=_PLAIN) | {
        "origin": version.origin or None,
        "holds": version.holds,
        "under_load": version.under_load or None,
        "score": score_form(version.score),
        "idea": version.idea or None,
        "created": moment(version.created),
        "remeasurements": [
            {"at": moment(m.at), "score": score_form(m.score), "device": m.device}
            for m in version.remeasurements
        ],
    }
