"""The tool that compares variants with a version within seconds, beside the official `bench`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from avo_tui.domain.evidence import Estimate
from avo_tui.domain.questions import (
    CACHES,
    MOST_SECONDS,
    QUICK_SECONDS,
    Caches,
    QuickComparison,
    QuickQuestion,
)
from avo_tui.operators.ports import Interrupted, StepEnded
from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.timing_tools import (
    AGAINST,
    ATTEMPTS,
    TIMED_FLAGS,
    TIMED_SWEEP,
    chosen_variants,
)
from avo_tui.operators.toolbox.tool import tool
from avo_tui.operators.toolbox.variants import (
    Ask,
    Begins,
    Variant,
    nobody_waits,
    told_apart,
    trouble_lines,
)
from avo_tui.operators.toolbox.workspace import Workspace


@dataclass(frozen=True)
class QuickRow:
    """One variant with what the quick comparison showed of it."""

    variant: Variant
    result: QuickComparison

    @property
    def line(self) -> str:
        """What was shown of it in one line, for whoever waits."""
        if self.result.trouble:
            return f"{self.variant.name} {self.result.trouble.splitlines()[0][:200]}"
        each = ", ".join(f"{c} {math.exp(self.result.estimate(c).mean):.4f}" for c in CACHES)
        return f"{self.variant.name} {each}"


@tool("execution")
async def quick_bench(
    space: Workspace,
    sweep: dict[str, list[str]] = TIMED_SWEEP,
    flags: list[str] = TIMED_FLAGS,
    attempts: list[str] = ATTEMPTS,
    against: int | None = AGAINST,
    configuration: str | None = Field(
        default=None, description="One scored configuration, by name; all of them without."
    ),
    seconds: float = Field(
        default=QUICK_SECONDS,
        ge=0.5,
        le=60,
        description="Seconds of calls for each variant, over all configurations, warm and cold.",
    ),
    most_seconds: float = Field(
        default=MOST_SECONDS,
        ge=1,
        le=1800,
        description="Seconds after which no further variant is begun: where others measure, each"
        " variant waits for its turn. What was compared until then is answered.",
    ),
) -> str:
    """Compare the working candidate, or variants of it, with a version, within seconds each where
    nobody else measures: many calls in turn in one process, with warm and with cold caches,
    with an interval. For differences of 0.2 to 1% on the way, which bench takes minutes to
    show. Not what the gate measures, nothing is checked, not an attempt: bench or submit what
    looks faster."""
    number, other, variants = chosen_variants(space, sweep, flags, attempts, against)
    known = [c.name for c in space.bench.reading.task.configurations]
    if configuration is not None and configuration not in known:
        raise ToolError(
            f"There is no configuration {configuration!r}. There are: {', '.join(known)}."
        )

    question = QuickQuestion(
        files={}, other=other.files, configuration=configuration, seconds=seconds
    )
    rows: list[QuickRow] = []
    try:
        await quick_rows(rows, variants, space.ask, question, most_seconds, space.running.begin)
    except (Interrupted, StepEnded) as cut:
        if rows:
            cut.brought = quick_text(rows, f"v{number}")
        raise
    return f"{quick_text(rows, f'v{number}')}{left_out(variants, rows)}"


async def quick_rows(
    rows: list[QuickRow],
    variants: Sequence[Variant],
    ask: Ask,
    question: QuickQuestion,
    most_seconds: float,
    begins: Begins = nobody_waits,
) -> None:
    """Compare the variants one after the other, and none that would begin after `most_seconds`.

    Each result is added to `rows` as soon as it is there. `question` is asked of each, `begins` is
    told of each, such as `2 of 10: TILE=32`, and of what the one before gave.
    """
    began = time.monotonic()
    before = ""
    for number, variant in enumerate(variants, start=1):
        if rows and time.monotonic() - began >= most_seconds:
            break
        begins(f"{number} of {len(variants)}: {variant.name}", before)
        asked = question.replaced(files=variant.candidate.files, more=number < len(variants))
        rows.append(QuickRow(variant, await ask(asked)))
        before = rows[-1].line
    begins("", before)


def left_out(variants: Sequence[Variant], rows: Sequence[QuickRow]) -> str:
    """A line on the variants that were not begun, and how long others were waited for."""
    rest = [variant.name for variant in variants[len(rows) :]]
    if not rest:
        return ""
    waited = sum(row.result.waited for row in rows)
    why = f" ({waited:.0f} s of it went on waiting for the device)" if waited >= 1 else ""
    return f"\nThe time was over{why}; not begun: {'; '.join(rest)}. Give them again."


def quick_text(rows: Sequence[QuickRow], against: str) -> str:
    """What quick comparisons with a version showed; the fastest with cold caches first."""
    lines = [f"Quick comparison with {against} (1.02 is 2% faster), the fastest when cold first:"]
    measured = [row for row in rows if not row.result.trouble]
    measured.sort(key=lambda row: -row.result.estimate("cold").mean)
    for row in measured:
        lines += _row_lines(row, measured[0])
    lines += trouble_lines([(row.variant.name, *_trouble(row.result)) for row in rows])
    if not measured:
        return "\n".join(lines[1:])
    legend = (
        f"Each shared a process with {against}, called in turn. WARM: the same inputs again and"
        " again, in the caches as far as they fit. COLD: inputs and outputs flushed from the caches"
        " before each call. In brackets the 95% interval between processes. This is not what the"
        " gate measures (fresh inputs in fresh memory, a process for each, outputs judged): it"
        " tells which of two is worth a bench, it shows no gain."
    )
    return "\n".join([*lines, legend])


def _trouble(result: QuickComparison) -> tuple[str, str]:
    """(why it was not made, the compiler's log)."""
    reason, _, log = result.trouble.partition("\n")
    return reason, log


def _row_lines(row: QuickRow, first: QuickRow) -> list[str]:
    result = row.result
    each = ", ".join(f"{caches} {_speed(result.estimate(caches))}" for caches in CACHES)
    if row is not first:
        each += ", " + ", ".join(f"{caches} {_beside(row, first, caches)}" for caches in CACHES)
    lines = [f"- {row.variant.name}: {each}; {result.calls} calls, {result.seconds:.1f} s"]
    if result.waited >= 1:
        lines[0] += f" after {result.waited:.0f} s of waiting for the device"
    if len(result.warm) > 1:
        for name in result.warm:
            both = ", ".join(f"{caches} {_times(result, caches, name)}" for caches in CACHES)
            lines.append(f"    {name}: {both}")
    else:
        both = ", ".join(f"{c} {_milliseconds(result, c, n)}" for c in CACHES for n in result.of(c))
        lines.append(f"    a call: {both}")
    lines += [f"    {remark}" for remark in result.remarks]
    if result.health is not None and result.health.remark:
        lines.append(f"    meanwhile {result.health.remark}")
    return lines


def _speed(estimate: Estimate) -> str:
    low, high = estimate.interval()
    return f"{math.exp(estimate.mean):.4f} [{1 + low:.4f} to {1 + high:.4f}]"


def _times(result: QuickComparison, caches: Caches, name: str) -> str:
    return f"{_speed(result.estimate(caches, name))} {_milliseconds(result, caches, name)}"


def _milliseconds(result: QuickComparison, caches: Caches, name: str) -> str:
    other = result.of(caches)[name].milliseconds
    mine = other / math.exp(result.estimate(caches, name).mean)
    return f"{mine:.4g} ms beside {other:.4g}"


def _beside(row: QuickRow, first: QuickRow, caches: Caches) -> str:
    """Whether a variant is told apart from the first one with these caches."""
    a, b = first.result.estimate(caches), row.result.estimate(caches)
    if not told_apart(a, b):
        return "not told apart from the first"
    return "slower than the first" if b.mean < a.mean else "faster than the first"
