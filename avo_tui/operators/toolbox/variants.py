"""Variants of a candidate by `#define`, and how several of them compare with a version."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from avo_tui.domain import student_t
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import Estimate, Prior, estimate
from avo_tui.domain.outlook import Spread
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.score import PairedMeasurement

MOST = 24
"""Largest number of variants that are timed in one call."""

MOST_PAIRS = 32
"""Largest number of pairs of fresh processes for one variant in one call."""

Compare = Callable[[Candidate, int], Awaitable[EvaluationReport]]
"""Times a candidate beside the version; the number counts the pairs of the two before."""

SOURCES = (".c", ".cc", ".cpp", ".cxx", ".cu", ".cuh", ".h", ".hpp")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE = re.compile(r"[A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Variant:
    """A candidate with a name that says how it differs from the original."""

    name: str
    candidate: Candidate


def sweep(name: str, candidate: Candidate, values: Mapping[str, Sequence[str]]) -> list[Variant]:
    """A variant for every combination of the macros' values; only the candidate without macros.

    Raises ValueError, with a sentence, for an invalid name or value, or for too many combinations.
    """
    for macro, choices in values.items():
        if not _NAME.fullmatch(macro) or not choices:
            raise ValueError(f"{macro!r} is not a macro with values, such as TILE=32,64")
        for choice in choices:
            if not _VALUE.fullmatch(choice):
                raise ValueError(f"{choice!r} is no value for {macro}; use a number or a word")
    points = [dict(zip(values, p, strict=True)) for p in itertools.product(*values.values())]
    if len(points) > MOST:
        raise ValueError(f"{len(points)} variants are more than {MOST}; take fewer values")
    return [Variant(_named(name, point), defined(candidate, point)) for point in points]


def _named(name: str, point: Mapping[str, str]) -> str:
    macros = " ".join(f"{macro}={value}" for macro, value in point.items())
    return " ".join(filter(None, [name, macros]))


def defined(candidate: Candidate, macros: Mapping[str, str]) -> Candidate:
    """The candidate with `#define`s added at the top of each source; line numbers are preserved."""
    if not macros:
        return candidate
    head = "".join(f"#define {macro} {value}\n" for macro, value in macros.items())
    return Candidate(
        files={
            name: f"{head}#line 1\n{text}" if name.endswith(SOURCES) else text
            for name, text in candidate.files.items()
        }
    )


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
    dropped: bool = False
    """Whether no more pairs were measured, because another variant is shown to be faster."""

    @property
    def gain(self) -> float:
        """Geometric mean over the pairs: 1.02 is 2% faster. 0.0 if nothing was measured."""
        product = 1.0
        for pair in self.pairs:
            product *= pair.gain
        return product ** (1 / len(self.pairs)) if self.pairs else 0.0

    def estimate(self, prior: Prior) -> Estimate:
        """The log gain with its uncertainty, as a gate estimates it. Raises ValueError without
        pairs."""
        return estimate(self.pairs, prior)

    def add(self, report: EvaluationReport) -> None:
        """Add the result of a `remeasure` report."""
        if report.paired is not None:
            self.pairs.append(report.paired)
            return
        feedback = report.feedback
        log = f"\n{feedback.log}" if feedback.log else ""
        detail = f" ({feedback.detail})" if feedback.detail else ""
        self.trouble = f"{report.verdict}: {feedback.summary}{detail}{log}"


async def time_variants(
    timed: Sequence[Timed], compare: Compare, prior: Prior, pairs: int, precision: float | None
) -> None:
    """Time each variant in `pairs` pairs of fresh processes, all of them once before any again.

    With `precision`, `pairs` is the largest number: a variant gets no more once the half-width of
    its 95% interval is that small (0.003 is ±0.3%), or once another one is shown to be faster.
    """
    for replicate in range(pairs):
        waiting = [row for row in timed if not row.trouble and not row.dropped]
        for row in waiting:
            if precision is None or not row.pairs or _half_width(row, prior) > precision:
                row.add(await compare(row.variant.candidate, replicate))
        if precision is not None:
            _drop_slower(timed, prior)


def _half_width(row: Timed, prior: Prior) -> float:
    """Half-width of the 95% interval of the gain, as a relative change."""
    low, high = row.estimate(prior).interval()
    return (high - low) / 2


def _drop_slower(timed: Sequence[Timed], prior: Prior) -> None:
    measured = [row for row in timed if row.pairs]
    if measured:
        first = max(measured, key=lambda row: row.gain)
        for row in measured:
            row.dropped = row is not first and told_apart(first, row, prior)


def told_apart(one: Timed, other: Timed, prior: Prior) -> bool:
    """Whether the gains of two variants, each timed beside the same version, differ by more than
    chance explains in 95% of cases."""
    a, b = one.estimate(prior), other.estimate(prior)
    wide = student_t.quantile(0.025, min(a.degrees, b.degrees)) * math.hypot(a.error, b.error)
    return abs(a.mean - b.mean) > wide


def table_text(timed: Sequence[Timed], against: str, spread: Spread) -> str:
    """The variants, fastest first, each with its speed relative to the version per
    configuration."""
    lines = [
        f"Speed over {against}, each timed in turn with it in fresh processes, inputs cold; 1.02 is"
        " 2% faster. Not checked in full, not an attempt. In brackets the 95% interval: it counts"
        f" what differs from process to process, {spread.source}. More pairs make it narrower."
        " Milliseconds are of one call, the variant's and the version's; they change with the"
        " machine's load, so compare ratios only."
    ]
    rows = sorted(timed, key=lambda row: -row.gain)
    for row in rows:
        if row.trouble:
            lines.append(f"- {row.variant.name}: {row.trouble}")
            continue
        low, high = row.estimate(spread.prior).interval()
        each = "; ".join(_one(row.pairs[-1], name) for name in row.pairs[-1].configurations)
        count = f"{len(row.pairs)} pair{'s' if len(row.pairs) > 1 else ''}"
        beside = ""
        if row is not rows[0]:
            apart = told_apart(rows[0], row, spread.prior)
            beside = ", slower than the first" if apart else ", not told apart from the first"
        lines.append(
            f"- {row.variant.name}: {row.gain:.4f} [{1 + low:.4f} to {1 + high:.4f}], {count}"
            f"{beside} ({each})"
        )
    return "\n".join(lines)


def _one(pair: PairedMeasurement, name: str) -> str:
    """The speed on a configuration, with both times where they are known."""
    text = f"{name} {pair.configurations[name][1]:.3f}"
    if name not in pair.milliseconds:
        return text
    mine, other = pair.milliseconds[name]
    return f"{text}, {mine:.4g} ms beside {other:.4g}"
