"""Variants of a candidate by constants and by compiler flags, and how several of them compare with
a version."""

from __future__ import annotations

import asyncio
import itertools
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from avo_tui.domain import student_t, tunables
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.compiler_flags import with_flags
from avo_tui.domain.evidence import Estimate, Prior, estimate
from avo_tui.domain.launch_macros import with_macros
from avo_tui.domain.outlook import Spread
from avo_tui.domain.questions import Answer, CheckQuestion, Question, RemeasureQuestion
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.score import PairedMeasurement, geomean
from avo_tui.operators.toolbox.report_text import cause_line

MOST = 24
"""Largest number of variants that are timed in one call."""

MOST_PAIRS = 32
"""Largest number of pairs of fresh processes for one variant in one call."""

T = TypeVar("T")


class Ask(Protocol):
    """Asks the evaluator."""

    async def __call__(self, question: Question[Answer], /) -> Answer: ...


Begins = Callable[[str, str], None]
"""Told what begins now, such as `2 of 10: TILE=64`, and what the one before gave, "" if nothing."""

SOURCES = (".c", ".cc", ".cpp", ".cxx", ".cu", ".cuh", ".h", ".hpp")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE = re.compile(r"[A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Variant:
    """A candidate with a name that says how it differs from the original."""

    name: str
    candidate: Candidate


def variants_of(
    name: str,
    candidate: Candidate,
    values: Mapping[str, Sequence[str]],
    flags: Sequence[str] = (),
) -> list[Variant]:
    """A variant for every combination of the values, as `defined` sets them, and of the sets of
    compiler flags.

    `flags` holds such sets, each as one text, such as `-O2 -fno-unroll-loops`; "" is none. Without
    values and flags the candidate alone. Raises ValueError, with a sentence, for an invalid name,
    value or text of flags, or for too many combinations.
    """
    for macro, choices in values.items():
        if not _NAME.fullmatch(macro) or not choices:
            raise ValueError(f"{macro!r} is not a macro with values, such as TILE=32,64")
        for choice in choices:
            if not _VALUE.fullmatch(choice):
                raise ValueError(f"{choice!r} is no value for {macro}; use a number or a word")
    points = [dict(zip(values, p, strict=True)) for p in itertools.product(*values.values())]
    sets: Sequence[str | None] = tuple(dict.fromkeys(flags)) or (None,)
    if len(points) * len(sets) > MOST:
        raise ValueError(
            f"{len(points) * len(sets)} variants are more than {MOST}; take fewer values"
        )
    flag_sets = [(f, candidate if f is None else with_flags(candidate, f)) for f in sets]
    return [
        Variant(_named(name, point, chosen), defined(flagged, point))
        for chosen, flagged in flag_sets
        for point in points
    ]


def _named(name: str, point: Mapping[str, str], flags: str | None) -> str:
    macros = " ".join(f"{macro}={value}" for macro, value in point.items())
    chosen = "" if flags is None else f"flags `{flags.strip()}`" if flags.strip() else "no flags"
    return " ".join(filter(None, [name, macros, chosen]))


def defined(candidate: Candidate, values: Mapping[str, str]) -> Candidate:
    """The candidate with a value for each name.

    A declared tunable (`tunables`) is set on its own line, a macro of the launch manifest there:
    the manifest's expressions and the compiler then have the same value. Another name becomes a
    `#define` at the top of each source in a language with a preprocessor; line numbers are
    preserved. Raises ValueError, with a sentence, for a value that a tunable does not offer and for
    another name without such a source.
    """
    declared = {t.name for t in tunables.parse(candidate) if t.name in values}
    candidate = tunables.apply(candidate, {name: values[name] for name in declared})
    own = {t.name: t.token for t in tunables.parse(candidate) if t.name in declared}
    candidate, in_manifest = with_macros(candidate, {**values, **own})
    macros = {n: v for n, v in values.items() if n not in in_manifest.union(declared)}
    sources = {n: text for n, text in candidate.files.items() if n.endswith(SOURCES)}
    if macros and not sources:
        names = ", ".join(macros)
        raise ValueError(f"{names}: declare it, such as `TILE = 32  # tune: 16 32 64`")
    if not macros:
        return candidate
    head = "".join(f"#define {macro} {value}\n" for macro, value in macros.items())
    changed = {name: f"{head}#line 1\n{text}" for name, text in sources.items()}
    return Candidate(files={**candidate.files, **changed})


def unique(variants: Sequence[Variant]) -> list[Variant]:
    """The variants with each source once, under the names of all that have it."""
    names: dict[str, list[str]] = {}
    for variant in variants:
        names.setdefault(variant.candidate.id, []).append(variant.name)
    candidates = {variant.candidate.id: variant.candidate for variant in variants}
    return [
        Variant(" = ".join(dict.fromkeys(names[identity])), candidate)
        for identity, candidate in candidates.items()
    ]


@dataclass
class Timed:
    """The result of timing a variant with the version: pairs, or the reason why there are none."""

    variant: Variant
    pairs: list[PairedMeasurement] = field(default_factory=list)
    trouble: str = ""
    log: str = ""
    """The compiler's, where there is one to `trouble`."""
    dropped: bool = False
    """Whether no more pairs were measured, because another variant is shown to be faster."""

    @property
    def gain(self) -> float:
        """Geometric mean over the pairs: 1.02 is 2% faster. 0.0 if nothing was measured."""
        return geomean(pair.gain for pair in self.pairs)

    def speed(self, configuration: str) -> float:
        """Speed over the version on one configuration: geometric mean over the pairs."""
        return geomean(pair.configurations[configuration][1] for pair in self.pairs)

    def milliseconds(self, configuration: str) -> tuple[float, float] | None:
        """(the variant's, the version's) milliseconds of a call; None where they are not known.

        The version's is its median call, in the geometric mean over the pairs; the variant's
        follows from it by `speed`, so that the two never contradict the ratio.
        """
        known = [
            pair.milliseconds[configuration][1]
            for pair in self.pairs
            if configuration in pair.milliseconds
        ]
        speed = self.speed(configuration)
        if not known or speed <= 0:
            return None
        other = geomean(known)
        return other / speed, other

    def estimate(self, prior: Prior) -> Estimate:
        """The log gain with its uncertainty, as a gate estimates it. Raises ValueError without
        pairs."""
        return estimate(self.pairs, prior)

    def add(self, report: EvaluationReport) -> None:
        """Add the result of a `remeasure` report."""
        if report.paired is not None:
            self.pairs.append(report.paired)
        else:
            self.fail(report)

    def fail(self, report: EvaluationReport) -> None:
        """The variant cannot be timed; the report of it says why."""
        self.trouble, self.log = cause_line(report), report.feedback.log

    @property
    def line(self) -> str:
        """What is known of it in one line, for whoever waits."""
        if self.trouble:
            return f"{self.variant.name} {self.trouble.splitlines()[0][:200]}"
        count = f"{len(self.pairs)} pair{'s' if len(self.pairs) > 1 else ''}"
        return f"{self.variant.name} {self.gain:.4f} by {count}"


def nobody_waits(doing: str, result: str) -> None:
    """For comparisons that nobody watches."""


async def check_variants(timed: Sequence[Timed], ask: Ask, begins: Begins = nobody_waits) -> None:
    """Check each variant quickly, so that no pair is spent on a wrong one.

    Once one does not compile, the next ones are still tried: a sweep's values may be the reason.
    """
    before = ""
    for number, row in enumerate(timed, start=1):
        begins(f"check {number} of {len(timed)}: {row.variant.name}", before)
        before = ""
        report = await ask(CheckQuestion(files=row.variant.candidate.files, quick=True))
        if not report.correct:
            row.fail(report)
            before = row.line


AT_ONCE = 4
"""Pairs of each variant that are asked for at a time, where they are asked for at once and a
precision says how many are needed."""


async def time_variants(
    timed: Sequence[Timed],
    ask: Ask,
    other: Candidate,
    prior: Prior,
    pairs: int,
    precision: float | None,
    begins: Begins = nobody_waits,
    *,
    at_once: bool = False,
) -> None:
    """Time each variant beside `other` in `pairs` pairs of fresh processes, all of them once before
    any again.

    With `precision`, `pairs` is the largest number: a variant gets no more once the half-width of
    its 95% interval is that small (0.003 is ±0.3%), or once another one is shown to be faster.
    `at_once`: the device is far away, so that all that can be asked for is asked together.
    """
    before = ""
    step = 1 if not at_once else pairs if precision is None else AT_ONCE
    for first in range(0, pairs, step):
        waiting = [
            row
            for row in timed
            if not row.trouble
            and not row.dropped
            and (precision is None or not row.pairs or _half_width(row, prior) > precision)
        ]
        of = f"pair {first + 1}" + (f" of {pairs}, " if precision is None else ", ")
        rounds = range(first, min(first + step, pairs))
        asked = [(row, replicate) for replicate in rounds for row in waiting]
        works = [
            ask(
                RemeasureQuestion(
                    files=row.variant.candidate.files,
                    other=other.files,
                    replicate=replicate,
                    more=turn < len(asked) or first + step < pairs,
                )
            )
            for turn, (row, replicate) in enumerate(asked, start=1)
        ]
        async with in_turn(works, at_once) as reports:
            for number, ((row, _), report) in enumerate(zip(asked, reports, strict=True), start=1):
                begins(f"{of}{number} of {len(asked)}: {row.variant.name}", before)
                row.add(await report)
                before = row.line
        if precision is not None:
            _drop_slower(timed, prior)
    if before:
        begins("", before)


@asynccontextmanager
async def in_turn(
    works: Sequence[Coroutine[Any, Any, T]], at_once: bool
) -> AsyncIterator[Sequence[Awaitable[T]]]:
    """The works to be awaited one after the other; begun together if `at_once`."""
    begun = [asyncio.ensure_future(work) if at_once else work for work in works]
    try:
        yield begun
    finally:
        for work in begun:
            _ = work.cancel() if isinstance(work, asyncio.Future) else work.close()
        tasks = [work for work in begun if isinstance(work, asyncio.Future)]
        await asyncio.gather(*tasks, return_exceptions=True)


def _half_width(row: Timed, prior: Prior) -> float:
    """Half-width of the 95% interval of the gain, as a relative change."""
    low, high = row.estimate(prior).interval()
    return (high - low) / 2


def _drop_slower(timed: Sequence[Timed], prior: Prior) -> None:
    measured = [row for row in timed if row.pairs]
    if measured:
        first = max(measured, key=lambda row: row.gain)
        best = first.estimate(prior)
        for row in measured:
            row.dropped = row is not first and told_apart(best, row.estimate(prior))


def told_apart(a: Estimate, b: Estimate) -> bool:
    """Whether the gains of two variants, each timed beside the same version, differ by more than
    chance explains in 95% of cases."""
    wide = student_t.quantile(0.025, min(a.degrees, b.degrees)) * math.hypot(a.error, b.error)
    return abs(a.mean - b.mean) > wide


def table_text(timed: Sequence[Timed], against: str, spread: Spread) -> str:
    """The variants, fastest first, each with its speed relative to the version per
    configuration."""
    lines = [f"Speed over {against} (1.02 is 2% faster), the fastest first:"]
    rows = sorted((row for row in timed if row.pairs), key=lambda row: -row.gain)
    for row in rows:
        low, high = row.estimate(spread.prior).interval()
        each = "; ".join(_one(row, name) for name in row.pairs[0].configurations)
        count = f"{len(row.pairs)} pair{'s' if len(row.pairs) > 1 else ''}"
        beside = ""
        if row is not rows[0]:
            apart = told_apart(rows[0].estimate(spread.prior), row.estimate(spread.prior))
            beside = ", slower than the first" if apart else ", not told apart from the first"
        lines.append(
            f"- {row.variant.name}: {row.gain:.4f} [{1 + low:.4f} to {1 + high:.4f}], {count}"
            f"{beside} ({each})"
        )
    lines += trouble_lines([(row.variant.name, row.trouble, row.log) for row in timed])
    rest = [row.variant.name for row in timed if not row.pairs and not row.trouble]
    if rest:
        lines.append(f"- not timed: {'; '.join(rest)}")
    if not rows:
        return "\n".join(lines[1:])
    legend = (
        f"Each was timed in turn with {against} in fresh processes, as at the gate. Not checked in"
        " full, not an attempt. In brackets the 95% interval: it counts what differs from process"
        f" to process, {spread.text}. More pairs make it narrower. Milliseconds of a call: the"
        " version's is its median over the same pairs, the variant's follows from it by the ratio."
        " They change with the machine's load: compare ratios."
    )
    return "\n".join([*lines, legend])


def trouble_lines(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """A line for each reason why variants could not be timed, with all variants that have it.

    `rows` holds (name, reason, log of the compiler); "" for a variant that could be timed. Of
    several logs to one reason the first is shown.
    """
    by_reason: dict[str, list[tuple[str, str]]] = {}
    for name, reason, log in rows:
        if reason:
            by_reason.setdefault(reason, []).append((name, log))
    lines = []
    for reason, those in by_reason.items():
        names = "; ".join(name for name, _ in those)
        whose = f"all {len(rows)} variants" if len(those) == len(rows) > 1 else names
        lines.append(f"- {whose}: {reason}")
        first, log = those[0]
        if log:
            same = all(other == log for _, other in those)
            lines += [] if same else [f"The log of {first}:"]
            lines.append(log)
    return lines


def _one(row: Timed, name: str) -> str:
    """The speed on a configuration over all pairs, with both times where they are known."""
    text = f"{name} {row.speed(name):.4f}"
    times = row.milliseconds(name)
    return text if times is None else f"{text}, {times[0]:.4g} ms beside {times[1]:.4g}"
