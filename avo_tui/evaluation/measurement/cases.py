"""The cases of a check: what to run, what must stay unaffected by a change, what may be
reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avo_tui.domain.report import HIDDEN, ConfigurationCheck, EvaluationProgress
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.judge import Judgement, place

if TYPE_CHECKING:
    import torch

NOT_FINITE, MASKED = "not_finite", "masked"
HOLDING_INFINITIES = frozenset({NOT_FINITE, MASKED})
"""Kinds of inputs that may hold infinities, the first NaN, too; those of others are finite."""


@dataclass(frozen=True)
class CheckCase:
    """One run of the check: a configuration with inputs of one distribution."""

    configuration: Configuration
    distribution: str
    hidden: bool = False
    category: str = ""
    """Description of the case that is safe to report even if its configuration is hidden."""
    repeat: bool = False
    """Run twice on the same inputs; the outputs must be bit-identical."""
    perturb: bool = False
    """Run again with inputs changed by `Task.perturb`; part of the outputs must stay the same."""

    @property
    def public_name(self) -> str | None:
        """The configuration's name, or None where it is hidden."""
        return None if self.hidden else self.configuration.name

    @property
    def told(self) -> str:
        """What the case is about, in words that tell no shape."""
        if self.hidden or self.category:
            return self.category
        return f"inputs of the kind '{self.distribution}'"


def counted(cases: Sequence[CheckCase]) -> str:
    """How many cases a check has, in words: `12 check cases, 7 of them hidden`."""
    hidden = sum(case.hidden for case in cases)
    word = "case" if len(cases) == 1 else "cases"
    return f"{len(cases)} check {word}, {hidden or 'none'} of them hidden"


@dataclass(frozen=True)
class Perturbation:
    """Inputs changed where part of the outputs must not depend on them."""

    inputs: dict[str, torch.Tensor]
    """Those that change, of the same shapes and dtypes; inputs that are not named stay."""
    unaffected: dict[str, torch.Tensor]
    """Output → boolean mask, broadcastable to it: true where it must stay bit-identical."""
    meaning: str
    """Message if it fails, such as `rows before the change see keys of the future`."""


def differing(
    before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]
) -> Judgement | None:
    """The bitwise difference between two runs on the same inputs; None if there is none."""
    for name, tensor in before.items():
        differs = dtypes.bits(tensor) != dtypes.bits(after[name])
        if count := int(differs.sum()):
            first = place(name, differs)
            return Judgement(
                float("inf"),
                f"{count} of {tensor.numel()} elements of {name} differ, the first {first}",
                f"Two runs on the same inputs differ in {name}.",
            )
    return None


def noticed(
    change: Perturbation,
    before: Mapping[str, torch.Tensor],
    after: Mapping[str, torch.Tensor],
) -> Judgement | None:
    """The bitwise difference where outputs must not depend on the change; None if there is none."""
    for name, mask in change.unaffected.items():
        differs = dtypes.bits(before[name]) != dtypes.bits(after[name])
        differs &= mask.to(differs.device)
        if count := int(differs.sum()):
            first = place(name, differs)
            return Judgement(
                float("inf"),
                f"{change.meaning}: {count} elements of {name} differ in bits, the first {first}",
                f"Bits of {name} differ where nothing may: {change.meaning}.",
            )
    return None


def timed_inputs(kinds: Sequence[str]) -> str:
    """How the inputs of timed calls are drawn, in a sentence for a kernel's author."""
    return (
        f"timed inputs: drawn anew for every call, by chance from the kinds {', '.join(kinds)}; no"
        " two calls have the same values, but the two sides of a pair get the same"
    )


MORE_SECONDS = 5.0
"""Seconds for which the other public cases are run after one was wrong."""


def public_first(cases: Iterable[CheckCase]) -> tuple[CheckCase, ...]:
    """The cases in their order, the hidden ones behind all others.

    A process that has seen a hidden case could carry its shape into the output of a later case,
    whose details are told.
    """
    return tuple(sorted(cases, key=lambda case: case.hidden))


class CheckRecord:
    """The results of the cases so far, in the order in which they ran.

    A candidate chooses how large its error is and how long each call takes. Of a hidden case it
    could in this way tell its author the shape, so neither is told: only whether all of them
    passed, and not before they have run.
    """

    def __init__(self, count: int, progress: Callable[[EvaluationProgress], None]) -> None:
        """`count` cases will run; `progress` is told of each."""
        self._count = count
        self._progress = progress
        self._results: list[ConfigurationCheck] = []
        self._told = 0

    @property
    def results(self) -> tuple[ConfigurationCheck, ...]:
        """What may be reported of each case."""
        return tuple(self._results)

    def add(
        self,
        case: CheckCase,
        ok: bool,
        error: float | None,
        detail: str = "",
        error_ratio: float | None = None,
    ) -> None:
        """Adds a result. `error` is a multiple of the tolerance, None or infinite if unknown."""
        if case.hidden:
            if not ok:  # how many passed before would tell which it was
                self._results = [result for result in self._results if result.name != HIDDEN]
            self._results.append(ConfigurationCheck(name=HIDDEN, ok=ok))
            return
        known = error is not None and error < float("inf")
        self._results.append(
            ConfigurationCheck(
                name=case.configuration.name,
                ok=ok,
                error=error if known else None,
                error_ratio=error_ratio,
                detail=detail,
                distribution=case.distribution,
            )
        )
        self.tell()

    def tell(self) -> None:
        """Tells progress of all results that it does not know yet."""
        for index in range(self._told, len(self._results)):
            result = self._results[index]
            self._progress(
                EvaluationProgress(
                    stage="check", state="configuration", index=index + 1, count=self._count,
                    configuration=result.name, ok=result.ok, error=result.error,
                    detail=result.detail,
                )
            )  # fmt: skip
        self._told = len(self._results)
