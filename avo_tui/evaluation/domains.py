"""The sizes at which a package of a task's kernel may be called: `domain.toml` beside its task.py.

    outputs.o = ["batch", "seq", "heads", 128]      # dimensions: numbers and parameters
    inputs.q = ["batch", "seq", "heads", 128]
    sizes.seq = [1, 131072]                         # parameter: its least and greatest value
    where = ["heads % kv_heads == 0"]               # what must hold besides
    names.GROUP = "heads // kv_heads"               # of the launch manifest, if no parameter's

A task without the file has the shapes of its configurations only.
"""

from __future__ import annotations

import math
import random
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from avo_tui.domain.deployment import Domain, least_greatest_step
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.expressions import (
    ExpressionError,
    evaluate_condition,
    evaluate_integer,
)
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.shapes import public_configurations
from avo_tui.evaluation.task import Task

FILE = "domain.toml"
_TRIES = 10_000
"""Draws after which a rule counts as one that nothing satisfies."""


def domain_of(task: Task, given: Path | None = None) -> Domain | None:
    """Of a file in place of the task's own, or the task's, None where it has none; checked with the
    task's public configurations. Raises EvaluatorError."""
    path = given or task.folder / FILE
    if given is None and not path.exists():
        return None
    try:
        domain = Domain.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (ValidationError, tomllib.TOMLDecodeError, OSError, ValueError) as error:
        raise EvaluatorError(f"{path} cannot be read as a domain: {error}") from error
    try:
        for configuration in public_configurations(task):
            _agree(task, domain, configuration)
    except ExpressionError as error:
        raise EvaluatorError(f"{task.name}/{FILE}: {error}") from error
    return domain


def _agree(task: Task, domain: Domain, configuration: Configuration) -> None:
    """Raises EvaluatorError where the task says something else of a configuration."""
    outputs = {name: shape for name, (shape, _) in task.outputs(configuration).items()}
    stated = {name: sizes_of(domain, dims, configuration) for name, dims in domain.outputs.items()}
    if stated != outputs:
        raise EvaluatorError(
            f"{task.name}/{FILE} gives the outputs of {configuration.name} as {stated}; "
            f"the task as {outputs}"
        )
    dimensions = {d for dims in domain.inputs.values() for d in dims}
    for name in domain.sizes:
        if name not in dimensions:
            raise EvaluatorError(f"{task.name}/{FILE}: {name} is a dimension of no input")
    if not holds(domain, configuration.parameters):
        raise EvaluatorError(f"{task.name}/{FILE} leaves out the configuration {configuration}")


def sizes_of(
    domain: Domain, dimensions: tuple[int | str, ...], configuration: Configuration
) -> tuple[int, ...]:
    """A tensor's shape. Raises ExpressionError."""
    return tuple(evaluate_integer(d, _numbers(configuration.parameters)) for d in dimensions)


def holds(domain: Domain, parameters: Mapping[str, int | bool | float | str]) -> bool:
    """Whether the parameters are in the domain. Raises ExpressionError."""
    names = _numbers(parameters)
    return all(_is(names[n], size) for n, size in domain.sizes.items()) and all(
        evaluate_condition(rule, names) for rule in domain.where
    )


def _is(value: float, size: tuple[int, ...]) -> bool:
    least, greatest, step = least_greatest_step(size)
    return least <= value <= greatest and value % step == 0


def _numbers(
    parameters: Mapping[str, int | bool | float | str],
) -> dict[str, int | float]:
    return {n: v for n, v in parameters.items() if not isinstance(v, str)}


def draws(task: Task, domain: Domain, seed: int) -> Iterator[Configuration]:
    """Configurations of the domain without end: each of the task's with other sizes, which are
    spread evenly over their orders of magnitude. Raises EvaluatorError where no rule can hold."""
    chosen = random.Random(seed)  # noqa: S311
    known = public_configurations(task)
    number = 0
    while True:
        for _ in range(_TRIES):
            parameters = dict(chosen.choice(known).parameters)
            for name, size in domain.sizes.items():
                low, high, step = least_greatest_step(size)
                steps = chosen.uniform(math.log(-(-low // step)), math.log(high // step + 1))
                parameters[name] = min(high // step, int(math.exp(steps))) * step
            if holds(domain, parameters):
                break
        else:
            raise EvaluatorError(f"{task.name}/{FILE}: no size was found that its rules allow")
        number += 1
        yield Configuration(name=f"drawn-{number}", parameters=parameters)
