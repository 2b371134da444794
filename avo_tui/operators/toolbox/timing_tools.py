"""The tool that times variants beside a version without evaluating them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.verdict import Verdict
from avo_tui.operators.ports import Interrupted, StepEnded
from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.tool import tool
from avo_tui.operators.toolbox.variants import (
    MOST_PAIRS,
    Timed,
    Variant,
    check_variants,
    table_text,
    time_variants,
    unique,
    variants_of,
)
from avo_tui.operators.toolbox.workspace import Workspace, load_candidate

IfBusy = Literal["measure", "say", "wait"]

IF_BUSY: Any = Field(
    default="measure",
    description="Where the machine is busy, or somebody else measures on it: `wait` waits until it"
    " is quiet, 2 minutes at most; `say` measures nothing, and the answer says how busy it is, as"
    " after a wait in vain. Pairs are dear on a busy machine.",
)

QUIET_SECONDS = 120.0
"""Seconds after which `if_busy=wait` gives up."""

LOOK_SECONDS = 1.0
"""Seconds between two looks whether the machine is quiet."""

FLAGS: Any = Field(
    default_factory=list,
    max_length=24,
    description='Sets of compiler flags to vary as well, such as ["-O2", "-O3 -fno-unroll-loops"]:'
    ' each stands in the place of the source\'s `// flags:` lines; "" is none.',
)


SWEEP: Any = Field(
    default_factory=dict,
    description="Constants to vary, each with its values: all combinations are taken (24 at most)."
    " `#define NAME 32  // tune: 16 32 64` (or constexpr) declares one: its line is set, and the"
    " launch manifest follows. Another name becomes `#define NAME value` before the source (write"
    " `#ifndef NAME` around its default).",
)

TIMED_SWEEP: Any = Field(
    default_factory=dict,
    description="As for evaluate_many. Without any, the working candidate is timed as it is.",
)
TIMED_FLAGS: Any = Field(default_factory=list, max_length=24, description="As for evaluate_many.")

ATTEMPTS: Any = Field(
    default_factory=list,
    max_length=8,
    description="Earlier attempts to time as well, such as 12.3.",
)

AGAINST: Any = Field(
    default=None, description="Version to time beside; this step's parent without it."
)


def asked(space: Workspace) -> str:
    """What the gate asks of the next candidate; "" before something can be compared."""
    text = space.bench.reading.gate_outlook()
    return f"The gate: {text}" if text else ""


def chosen_variants(
    space: Workspace,
    macros: Mapping[str, Sequence[str]],
    flags: Sequence[str],
    attempts: Sequence[str],
    against: int | None,
) -> tuple[int, Candidate, list[Variant]]:
    """(number of the version to time with, its source, the variants). Raises ToolError."""
    reading = space.bench.reading
    number = reading.head.number if against is None else against
    other = reading.candidate(space.version(number).candidate)
    name = "" if macros or flags else "the working candidate"
    try:
        variants = variants_of(name, space.working, macros, flags)
    except ValueError as error:
        raise ToolError(f"{error}.") from None
    for attempt in attempts:
        source = load_candidate(space.bench, space.attempt(attempt).candidate)
        variants.append(Variant(f"attempt {attempt}", source))
    return number, other, unique(variants)


def busy_line(space: Workspace) -> str:
    """What is to be known of the machine before pairs are spent; "" where it is quiet."""
    busy = space.bench.reading.busy()
    return f"The machine was busy when this began: {busy}." if busy else ""


async def when_quiet(space: Workspace, if_busy: IfBusy) -> tuple[str, str]:
    """(why nothing is measured now, how long the machine was waited for), each "" where it is
    neither. Raises Interrupted."""
    busy = space.bench.reading.busy() if if_busy != "measure" else ""
    if not busy:
        return "", ""
    began, seen, waited = time.monotonic(), busy, 0.0
    while busy and if_busy == "wait" and waited < QUIET_SECONDS:
        space.running.begin(f"waits until the machine is quiet: {busy}")
        await space.bench.control.interruptible(asyncio.sleep(LOOK_SECONDS))
        busy, waited = space.bench.reading.busy(), time.monotonic() - began
        seen = busy or seen
    after = f" after {waited:.0f} s of waiting" if waited else ""
    if not busy:
        return "", f"Waited {waited:.0f} s for a quiet machine: {seen}."
    return (
        f"Not measured, and no pair is spent: the machine is busy now{after}: {busy}. Pairs would"
        ' scatter more and take longer. if_busy="wait" waits until it is quiet; without if_busy,'
        " all the same is measured."
    ), ""


@tool("execution")
async def bench(
    space: Workspace,
    sweep: dict[str, list[str]] = TIMED_SWEEP,
    flags: list[str] = TIMED_FLAGS,
    attempts: list[str] = ATTEMPTS,
    against: int | None = AGAINST,
    if_busy: IfBusy = IF_BUSY,
    pairs: int | None = Field(
        default=None,
        ge=1,
        le=MOST_PAIRS,
        description="Pairs of fresh processes for each variant: 1 without, and with `precision` at"
        f" most so many ({MOST_PAIRS} without).",
    ),
    precision: float | None = Field(
        default=None,
        ge=0.0005,
        le=0.2,
        description="For small differences: add pairs until the 95% interval of a variant is no"
        " wider than this on either side (0.003 is ±0.3%), or until another one is shown to be"
        " faster.",
    ),
) -> str:
    """Time the working candidate, or variants of it by macros and compiler flags, beside a
    version: in turn, in fresh processes, on new inputs, as the gate does, with the interval of
    each and whether it is told apart from the fastest. It takes variants × `pairs` × the
    seconds of a pair that check and the opening name. Variants that were not checked before are
    checked on the small configurations first, and a wrong one gets no pair. Not an attempt. For
    choosing between variants before one of them is evaluated."""
    bench = space.bench
    why, waited = await when_quiet(space, if_busy)
    if why:
        return why
    busy = waited or busy_line(space)
    number, other, variants = chosen_variants(space, sweep, flags, attempts, against)
    timed = [Timed(variant) for variant in variants]
    spread = bench.reading.spread()
    pairs = pairs or (1 if precision is None else MOST_PAIRS)

    begins, far = space.running.begin, bool(bench.reading.queue())
    try:
        # far away a check costs a journey, more than the pair it saves; pairs look at outputs too
        unchecked = [
            row for row in timed if not far and not known_correct(space, row.variant.candidate)
        ]
        await check_variants(unchecked, space.ask, begins)
        began = time.monotonic()
        await time_variants(
            timed, space.ask, other, spread.prior, pairs, precision, begins, at_once=far
        )
    except (Interrupted, StepEnded) as cut:
        if any(row.pairs or row.trouble for row in timed):
            cut.brought = table_text(timed, f"v{number}", spread)
        raise
    took = time.monotonic() - began
    count = sum(len(row.pairs) for row in timed)
    pace = f"{count} pairs in {took:.1f} s, {took / count:.1f} s each." if count else ""
    return "\n".join(
        filter(None, [busy, table_text(timed, f"v{number}", spread), pace, asked(space)])
    )


def known_correct(space: Workspace, candidate: Candidate) -> bool:
    """Whether a candidate was found correct before: by a check of this step, or as an attempt."""
    attempt = space.bench.reading.find_attempt(candidate.id)
    recorded = attempt is not None and attempt.verdict is Verdict.CORRECT
    return recorded or candidate.id in space.correct or candidate.id == space.parent.id
