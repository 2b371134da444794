"""Versions and scores as JSON. Field names never change; fields may be added."""

from __future__ import annotations

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
        "configurations": [
            {
                "name": c.name,
                "parameters": c.parameters,
                "throughput": c.throughput,
                "p20": c.p20,
                "p80": c.p80,
                "ratio": c.ratio,
                "baselines": c.baselines,
                "milliseconds": c.milliseconds,
                "flags": list(c.flags),
            }
            for c in score.configurations
        ],
    }


def version_form(version: Version) -> Form:
    """One version of a lineage."""
    return {
        "number": version.number,
        "parent": version.parent,
        "author": version.author,
        "origin": version.origin or None,
        "step": version.step,
        "candidate": version.candidate,
        "score": score_form(version.score),
        "gate": version.gate.model_dump(mode="json"),
        "idea": version.idea or None,
        "plan": version.plan,
        "summary": version.summary,
        "created": moment(version.created),
        "bookmark": version.bookmark,
        "note": version.note,
        "built_on": [note.model_dump(mode="json") for note in version.built_on],
        "resources": version.resources.model_dump(mode="json"),
        "device": version.device,
        "remeasurements": [
            {"at": moment(m.at), "score": score_form(m.score), "device": m.device}
            for m in version.remeasurements
        ],
        "holds": version.holds,
        "audits": [audit.model_dump(mode="json") for audit in version.audits],
    }
