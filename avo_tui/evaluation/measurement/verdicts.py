"""The verdicts of judging and timing, with their messages, shared by all backends.

`configuration` is None if it is hidden; then neither its name nor any value or index is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.measurement.cases import CheckCase
from avo_tui.evaluation.measurement.judge import Judgement


class Ruling(NamedTuple):
    """A verdict with its feedback; a backend raises `Rejected(*ruling)`."""

    verdict: Verdict
    feedback: Feedback


ANY_SHAPE = "The configuration is not told; any shape that the description allows counts."
HINT_ENDS = "Check the indices at the ends of every dimension, and the sizes of workspaces."
HINT_ROUNDING = (
    "Timed inputs are drawn anew in each evaluation, so they can be harder than those of the "
    "check. An error so near the tolerance is rounding: keep more precision where large numbers "
    "are added or multiplied."
)
ROUNDING = 4.0
"""Times the tolerance up to which a wrong timed output is taken for lost precision."""
HINT_KEPT = (
    "Every run must compute its output from its inputs: nothing may be kept from one run to the "
    "next."
)


def where(configuration: str | None) -> str:
    """` on NAME`, or ` on a hidden configuration`."""
    return f" on {configuration}" if configuration else " on a hidden configuration"


def _ruling(
    verdict: Verdict, summary: str, configuration: str | None, *, detail: str = "", hint: str = ""
) -> Ruling:
    feedback = Feedback(summary=summary, configuration=configuration, detail=detail, hint=hint)
    return Ruling(verdict, feedback)


def wrong_result(case: CheckCase, judgement: Judgement, summary: str = "") -> Ruling:
    """An output that is not within the tolerance, or that differs where it must not."""
    name = case.public_name
    about = f" ({case.told})" if case.told else ""
    return _ruling(
        Verdict.WRONG_RESULT, f"{summary or 'wrong result'}{where(name)}{about}", name,
        detail=judgement.detail if name else judgement.reason or "It is wrong.",
        hint="" if name else ANY_SHAPE,
    )  # fmt: skip


def unsteady(case: CheckCase, difference: Judgement) -> Ruling:
    """Two runs on the same inputs that differ in bits."""
    why = "a race, memory read before it was written, or a result kept from an earlier call"
    detail = f"{difference.detail}; {why}" if case.public_name else why
    return wrong_result(
        case,
        Judgement(difference.error, detail, f"{difference.reason.rstrip('.')}: {why}."),
        "two runs on the same inputs give different bits",
    )


def failed_hidden(cases: Iterable[CheckCase]) -> Ruling:
    """Whatever fails on whichever hidden case: a candidate could choose both, to tell its shape."""
    abouts = dict.fromkeys(case.told for case in cases if case.hidden and case.told)
    about = f" Hidden cases are about: {'; '.join(abouts)}." if abouts else ""
    return _ruling(
        Verdict.WRONG_RESULT, "it fails on a hidden case", None, hint=ANY_SHAPE,
        detail="Whether by a wrong result, a crash, a forbidden call or a time-out, and on which"
        f" case, is not told.{about}",
    )  # fmt: skip


def changed_inputs(names: Sequence[str], configuration: str | None) -> Ruling:
    """Inputs that are not what they were before the run; which ones is told of a public case."""
    which = f" ({', '.join(names)})" if configuration else ""
    return _ruling(
        Verdict.ILLEGAL_ACCESS,
        f"the candidate changed its inputs{which}{where(configuration)}",
        configuration,
        hint="Inputs may be read only; copy what must change.",
    )


def wrote_outside(damage: str, configuration: str | None) -> Ruling:
    """Bytes around a buffer that are not what they were; `damage` says where."""
    summary = f"the candidate wrote outside its buffers{where(configuration)}"
    detail = damage if configuration else ""
    return _ruling(Verdict.ILLEGAL_ACCESS, summary, configuration, detail=detail, hint=HINT_ENDS)


PASSED = ", although the check passed"


def wrong_when_timed(
    configuration: str, judgement: Judgement, whose: str = "a", *, tell: bool = True
) -> Ruling:
    """A timed output that is wrong, although the check passed.

    An error just beyond the tolerance is rounding that some inputs show, and accuses nobody.
    `tell` False keeps the detail back.
    """
    rounding = judgement.error <= ROUNDING
    how = "off by more than the tolerance" if rounding else "wrong"
    return _ruling(
        Verdict.WRONG_RESULT if rounding else Verdict.SUSPICIOUS,
        f"{whose} timed output is {how} on {configuration}{PASSED}",
        configuration,
        detail=(judgement.detail or judgement.reason) if tell else "",
        hint=HINT_ROUNDING if rounding else HINT_KEPT,
    )


def timed_outputs_differ(configuration: str, detail: str, whose: str = "") -> Ruling:
    """Timed calls on the same inputs whose outputs differ in bits."""
    return _ruling(
        Verdict.SUSPICIOUS,
        f"{whose}timed outputs on {configuration} differ between calls on the same inputs, "
        "although the check passed",
        configuration,
        detail=detail,
        hint=f"{HINT_KEPT} A race that shows now and then looks the same.",
    )


def impossible(configuration: str, why: str) -> Ruling:
    """A time that is shorter than the hardware allows; `why` is `Ceilings.impossible`'s."""
    hint = "The work is not being done in the timed run."
    summary = f"a run on {configuration} took {why}"
    return _ruling(Verdict.SUSPICIOUS, summary, configuration, hint=hint)


def slowed_baseline(configuration: str, slowed: Sequence[str]) -> Ruling:
    """Baselines that are slower beside the candidate than alone; `statistics.slowed`'s words."""
    hint = "A candidate must leave the device as it found it."
    summary, detail = f"on {configuration} the baseline {slowed[0]}", "; ".join(slowed)
    return _ruling(Verdict.SUSPICIOUS, summary, configuration, detail=detail, hint=hint)
