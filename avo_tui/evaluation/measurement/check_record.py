"""What is told of the cases of a check, for all backends.

A candidate chooses how large its error is and how long each call takes. Of a hidden case it could
in this way tell its author the shape, so neither is told: only whether the case passed, and not
before all hidden cases have run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from avo_tui.domain.report import HIDDEN, ConfigurationCheck, EvaluationProgress
from avo_tui.evaluation.measurement.cases import CheckCase

MORE_SECONDS = 5.0
"""Seconds for which the other public cases are run after one was wrong."""


def public_first(cases: Iterable[CheckCase]) -> tuple[CheckCase, ...]:
    """The cases in their order, the hidden ones behind all others.

    A process that has seen a hidden case could carry its shape into the output of a later case,
    whose details are told.
    """
    return tuple(sorted(cases, key=lambda case: case.hidden))


class CheckRecord:
    """The results of the cases so far, in the order in which they ran."""

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

    def add(self, case: CheckCase, ok: bool, error: float | None, detail: str = "") -> None:
        """Adds a result. `error` is a multiple of the tolerance, None or infinite if unknown."""
        if case.hidden:
            self._results.append(ConfigurationCheck(name=HIDDEN, ok=ok))
            return
        known = error is not None and error < float("inf")
        self._results.append(
            ConfigurationCheck(
                name=case.configuration.name,
                ok=ok,
                error=error if known else None,
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
