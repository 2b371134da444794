"""Variants of a candidate by `#define`, and how several of them compare with a version."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.score import PairedMeasurement
from avo_tui.domain.verdict import EvaluationReport

MOST = 24
"""Largest number of variants that are timed in one call."""

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


@dataclass
class Timed:
    """The result of timing a variant with the version: pairs, or the reason why there are none."""

    variant: Variant
    pairs: list[PairedMeasurement]
    trouble: str = ""

    @property
    def gain(self) -> float:
        """Geometric mean over the pairs: 1.02 is 2% faster. 0.0 if nothing was measured."""
        product = 1.0
        for pair in self.pairs:
            product *= pair.gain
        return product ** (1 / len(self.pairs)) if self.pairs else 0.0

    def add(self, report: EvaluationReport) -> None:
        """Add the result of a `remeasure` report."""
        if report.paired is not None:
            self.pairs.append(report.paired)
            return
        feedback = report.feedback
        log = f"\n{feedback.log}" if feedback.log else ""
        detail = f" ({feedback.detail})" if feedback.detail else ""
        self.trouble = f"{report.verdict}: {feedback.summary}{detail}{log}"


def table_text(timed: Sequence[Timed], against: str) -> str:
    """The variants, fastest first, each with its speed relative to the version per
    configuration."""
    lines = [
        f"Speed over {against}, each timed in turn with it in fresh processes, inputs cold; 1.02 is"
        " 2% faster. Not checked in full, not an attempt. ± is the spread within a pair (p20 to"
        " p80); what varies between processes comes on top, so look again at what is close."
        " Milliseconds are of one call, the variant's and the version's; they change with the"
        " machine's load, so compare ratios only."
    ]
    for row in sorted(timed, key=lambda row: -row.gain):
        if row.trouble:
            lines.append(f"- {row.variant.name}: {row.trouble}")
            continue
        noise = row.pairs[-1].noise
        each = "; ".join(_one(row.pairs[-1], name) for name in row.pairs[-1].configurations)
        several = f" over {len(row.pairs)} pairs" if len(row.pairs) > 1 else ""
        lines.append(f"- {row.variant.name}: {row.gain:.4f} ±{noise:.2%}{several} ({each})")
    return "\n".join(lines)


def _one(pair: PairedMeasurement, name: str) -> str:
    """The speed on a configuration, with both times where they are known."""
    text = f"{name} {pair.configurations[name][1]:.3f}"
    if name not in pair.milliseconds:
        return text
    mine, other = pair.milliseconds[name]
    return f"{text}, {mine:.4g} ms beside {other:.4g}"
