"""The tool that compares variants with a version within seconds, beside the official `bench`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from avo_tui.domain.evidence import Estimate
from avo_tui.domain.questions import (
    MOST_SECONDS,
    QUICK_SECONDS,
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
        return f"{self.variant.name} {math.exp(self.result.estimate().mean):.4f}"


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
        description="Seconds of calls for each variant, over all configurations.",
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
    nobody else measures: calls in turn, made and timed as the gate's are, with an interval. For
    differences of some per cent on the way: for smaller ones give more seconds, or bench with
    precision. Outputs are only glanced at, not an attempt: bench or submit what looks faster."""
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
    """What quick comparisons with a version showed, the fastest first."""
    lines = [f"Quick comparison with {against} (1.02 is 2% faster), the fastest first:"]
    measured = [row for row in rows if not row.result.trouble]
    measured.sort(key=lambda row: -row.result.estimate().mean)
    for row in measured:
        lines += _row_lines(row, measured[0])
    lines += trouble_lines([(row.variant.name, *_trouble(row.result)) for row in rows])
    if not measured:
        return "\n".join(lines[1:])
    legend = (
        "Called and timed as the gate does: a process for each, new inputs for every call, written"
        " by the harness to memory at a new address after it filled the outputs, on the candidate's"
        " own core. In brackets the 95% interval between pairs of processes. It shows no gain: it"
        " tells which is worth a bench or a submit. Outputs are glanced at, not judged in full."
    )
    return "\n".join([*lines, legend])


def _trouble(result: QuickComparison) -> tuple[str, str]:
    """(why it was not made, the compiler's log)."""
    reason, _, log = result.trouble.partition("\n")
    return reason, log


def _row_lines(row: QuickRow, first: QuickRow) -> list[str]:
    result = row.result
    lines = [f"- {row.variant.name}: {_speed(result.estimate())}"]
    if row is not first:
        lines[0] += f", {_beside(row, first)}"
    lines[0] += f"; {result.calls} calls, {result.seconds:.1f} s"
    if result.waited >= 1:
        lines[0] += f" after {result.waited:.0f} s of waiting for the device"
    for name in result.configurations:
        speed = f"{_speed(result.estimate(name))} " if len(result.configurations) > 1 else ""
        lines.append(f"    {name}: {speed}{_milliseconds(result, name)}")
    lines += [f"    {remark}" for remark in result.remarks]
    if result.health is not None and result.health.remark:
        lines.append(f"    meanwhile {result.health.remark}")
    return lines


def _speed(estimate: Estimate) -> str:
    low, high = estimate.interval()
    return f"{math.exp(estimate.mean):.4f} [{1 + low:.4f} to {1 + high:.4f}]"


def _milliseconds(result: QuickComparison, name: str) -> str:
    other = result.configurations[name].milliseconds
    return f"{other / math.exp(result.estimate(name).mean):.4g} ms beside {other:.4g}"


def _beside(row: QuickRow, first: QuickRow) -> str:
    """Whether a variant is told apart from the first one."""
    told = told_apart(first.result.estimate(), row.result.estimate())
    return "slower than the first" if told else "not told apart from the first"
