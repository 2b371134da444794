"""The events of an invented evaluation: the edit before it, and the progress of its stages."""

import difflib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.score import Score
from avo_tui.domain.verdict import Verdict
from tests.ui.invented_kernel import RESOURCES

Later = Callable[[float], datetime]
"""The time so many seconds after the event before."""


def edited(
    later: Later, step: int, parent: int, old: Candidate, made: Candidate, identity: str, title: str
) -> ev.CandidateEdited:
    """The edit that led from one candidate to another."""
    rows = list(
        difflib.unified_diff(_lines(old), _lines(made), "a/kernel.cpp", "b/kernel.cpp", lineterm="")
    )
    return ev.CandidateEdited(
        step=step,
        candidate=identity,
        parent=parent,
        diff="\n".join(rows),
        title=title,
        at=later(3),
        added=sum(r.startswith("+") and not r.startswith("+++") for r in rows),
        removed=sum(r.startswith("-") and not r.startswith("---") for r in rows),
    )


def stage(
    later: Later,
    step: int,
    number: int,
    name: str,
    score: Score,
    failing: Verdict | None,
    upto: int | None = None,
) -> Iterator[ev.Event]:
    """The progress of one stage; with `upto`, of so many configurations, and it still runs."""

    def progress(**values: Any) -> ev.EvaluationProgressed:
        return ev.EvaluationProgressed(
            step=step,
            attempt=number,
            progress=EvaluationProgress(stage=name, **values),
            at=later(0.4),
        )

    rows = score.configurations
    if name == "compile":
        yield progress(state="started")
        log = (
            (
                "kernel.cpp:31:9: error: use of undeclared identifier 'tile'\n   "
                "31 |         tile = 4;\n"
            )
            if failing
            else ""
        )
        yield progress(
            state="finished", ok=failing is None, seconds=1.1, log=log, resources=RESOURCES
        )
        return
    yield progress(state="started", count=len(rows))
    for i, row in enumerate(rows[:upto], 1):
        bad = failing is not None and i == len(rows)
        if name == "check":
            yield progress(
                state="configuration",
                ok=not bad,
                index=i,
                count=len(rows),
                configuration=row.name,
                error=37.5 if bad else 0.08 + 0.05 * i,
            )
        else:
            yield progress(
                state="configuration",
                index=i,
                count=len(rows),
                configuration=row.name,
                throughput=row.throughput,
                p20=row.p20,
                p80=row.p80,
                ratio=row.ratio,
                unit=score.unit,
                baselines=row.baselines,
            )
    if upto is None:
        yield progress(state="finished", ok=failing is None, seconds=2.2)


def _lines(candidate: Candidate) -> list[str]:
    return candidate.files["kernel.cpp"].split("\n")
