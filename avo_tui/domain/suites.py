"""A suite: many problems with one budget each, and the share of them that became fast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from avo_tui.domain.base import Name, Value

SPEEDUPS = (1.0, 1.5, 2.0)
"""Speedups over the reference baseline for which fast_p is reported."""


class Problem(Value):
    name: Name
    origin: str
    """The problem's file, or the name of an existing task."""
    task: str = ""
    """Name of the task made from the file; empty before that, or if no task can be made."""
    session: str = ""
    error: str = ""
    """Why there is no task or no session for it; empty if there is no error."""


class Suite(Value):
    """The problems, in the order in which `avo suite run` was given them."""

    name: Name
    source: str
    problems: tuple[Problem, ...]

    def replaced_problem(self, problem: Problem) -> Suite:
        """A copy in which `problem` replaces the problem of the same name."""
        problems = tuple(problem if p.name == problem.name else p for p in self.problems)
        return self.replaced(problems=problems)


def fast(ratios: Iterable[float | None], speedup: float) -> float:
    """fast_p: the share of problems with a correct kernel faster than `speedup` × the baseline.

    `ratios` has one entry for each problem, None without a correct kernel. With a speedup of 0 it
    is the share of problems that were solved at all. (Ouyang and others, KernelBench, 2025.)
    """
    values: Sequence[float | None] = list(ratios)
    if not values:
        return 0.0
    return sum(1 for ratio in values if ratio is not None and ratio > speedup) / len(values)
