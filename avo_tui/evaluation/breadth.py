"""What a kernel is timed on beside what it is scored on: other kinds of inputs, other sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

from avo_tui.domain.deployment import Domain
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.domains import domain_of, draws, sizes_of
from avo_tui.evaluation.task import CheckCase, Task

SIZES = 4
"""Sizes of the task's domain that are timed."""
LEAST = 0.02
"""Part of the largest scored configuration's work that each of them has at least."""
TRIES = 5000
"""Sizes that are drawn to find them."""


def breadth_cases(task: Task) -> tuple[CheckCase, ...]:
    """Every kind of inputs that the check has at a scored or public size and the score does not
    time, and sizes of the domain that are not scored; the same ones each time."""
    scored = {configuration.name for configuration in task.configurations}
    kinds = {
        (case.configuration.name, case.distribution): case
        for case in task.check_cases()
        if not case.hidden or case.configuration.name in scored
        if case.distribution not in task.timed
    }
    domain = domain_of(task)
    sizes = islice(_sizes(task, domain), SIZES) if domain is not None else ()
    return (*kinds.values(), *(CheckCase(size, task.timed[0]) for size in sizes))


def _sizes(task: Task, domain: Domain) -> Iterator[Configuration]:
    """Sizes of the domain with as much work as is scored, in memory that is not much larger."""

    def elements(configuration: Configuration) -> tuple[int, int]:
        """Of the inputs, and of the outputs."""
        inputs, outputs = (
            sum(math.prod(sizes_of(domain, shape, configuration)) for shape in shapes.values())
            for shapes in (domain.inputs, domain.outputs)
        )
        return inputs, outputs

    work = max(map(task.flops, task.configurations))
    room = [2 * max(sizes) for sizes in zip(*map(elements, task.configurations), strict=True)]
    for drawn in islice(draws(task, domain, seed=0), TRIES):
        fits = all(size <= most for size, most in zip(elements(drawn), room, strict=True))
        if LEAST * work <= task.flops(drawn) <= work and fits:
            name = "-".join(f"{n}{value}" for n, value in drawn.parameters.items())
            yield drawn.replaced(name=name[:64])
