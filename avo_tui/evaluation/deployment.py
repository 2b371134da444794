"""Makes a `Deployment` of a candidate: compiled for the devices asked for, with a sample to test.

Needs no GPU. The candidate is compiled in the sandbox, as for an evaluation.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Deployment, SingleSource
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.base import Backend, Context, Deploying, Rejected, WritingSource
from avo_tui.evaluation.backends.descriptor import BackendOptions
from avo_tui.evaluation.backends.registry import make_backend
from avo_tui.evaluation.domains import domain_of
from avo_tui.evaluation.measurement.judge import expect
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import SandboxError
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.shapes import SEED, public_configurations
from avo_tui.evaluation.task import Task
from avo_tui.evaluation.tasks import find_tasks

MOST_SAMPLE_ELEMENTS = 1 << 21
"""Of one tensor of the sample; a larger shape is not sampled."""


Parameter = int | bool | float | str
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class DeploymentRequest:
    """What a package is wanted for."""

    architectures: Sequence[str] = ()
    """GPU architectures such as `sm_90a`; none: the usual one."""
    shapes: Sequence[Mapping[str, str]] = ()
    """Parameters of further configurations, beside the task's own, as a person writes them."""
    domain: Path | None = None
    """A file in place of the task's `domain.toml`."""


async def deploy(name: str, candidate: Candidate, request: DeploymentRequest) -> Deployment:
    """Everything that a package of the task's candidate needs.

    Raises EvaluatorError where the task is not there, its language has no launcher, or the
    candidate does not compile.
    """
    task = find_tasks().get(name)
    configurations = wanted(task, request)
    domain = domain_of(task, request.domain)
    async with _backend(task) as backend:
        if not isinstance(backend, Deploying):
            raise EvaluatorError(
                f"kernels in {task.language} cannot be made a package: its backend has no `deploy`"
            )
        deployment = await backend.deploy(
            task, candidate, configurations, request.architectures, domain, _context()
        )
    if request.domain is not None and deployment.domain is None:
        raise EvaluatorError(
            f"a package of a kernel in {task.language} takes listed shapes only: use --shape"
        )
    checked = {c.name for c in public_configurations(task)}
    shapes = tuple(s.model_copy(update={"checked": s.name in checked}) for s in deployment.shapes)
    shape, sample = sample_of(task, configurations)
    return deployment.model_copy(
        update={
            "function": task.function or task.entry or task.name,
            "shapes": shapes,
            "sample": sample,
            "sample_shape": shape,
        }
    )


async def write_source(
    name: str, candidate: Candidate, request: DeploymentRequest, function: str = ""
) -> SingleSource:
    """The task's candidate as one file for an ordinary compiler. Raises EvaluatorError.

    `function` is what the functions' names begin with; empty: what the task says.
    """
    task = find_tasks().get(name)
    configurations = wanted(task, request)
    async with _backend(task) as backend:
        if not isinstance(backend, WritingSource):
            raise EvaluatorError(
                f"kernels in {task.language} cannot be written as one source: its backend has no "
                "`single_source`; --as git has the files"
            )
        return await backend.single_source(
            task,
            candidate,
            configurations,
            request.architectures,
            function or task.function or task.entry or task.name,
            _context(),
        )


def _context() -> Context:
    return Context(Sandbox(), lambda _: None)


@contextlib.asynccontextmanager
async def _backend(task: Task) -> AsyncIterator[Backend]:
    """The backend of a task, closed afterwards; what it refuses is an EvaluatorError."""
    backend = make_backend(task.language, BackendOptions(None))
    try:
        yield backend
    except Rejected as error:
        raise EvaluatorError(f"the candidate is not exported: {error.feedback.summary}") from error
    except SandboxError as error:
        raise EvaluatorError(str(error)) from error
    finally:
        await backend.close()


def wanted(task: Task, request: DeploymentRequest) -> tuple[Configuration, ...]:
    """The public configurations and those asked for beyond them. Raises EvaluatorError."""
    known = public_configurations(task)
    by_parameters = {repr(sorted(c.parameters.items())): c for c in known}
    template = known[0].parameters
    for number, parameters in enumerate(request.shapes, start=1):
        unknown = sorted(set(parameters) - set(template))
        missing = sorted(set(template) - set(parameters))
        if unknown and not template:
            raise EvaluatorError(f"no size of the task {task.name} may vary: leave --shape out")
        if unknown or missing:
            if unknown:
                what = f"does not know {', '.join(unknown)}"
            else:
                what = f"also needs {', '.join(missing)}"
            raise EvaluatorError(
                f"the task {task.name} {what}; a shape names all of: {', '.join(template)}"
            )
        typed = {name: _typed(name, text, template[name]) for name, text in parameters.items()}
        configuration = Configuration(name=f"asked-{number}", parameters=typed)
        by_parameters.setdefault(repr(sorted(typed.items())), configuration)
    return tuple(by_parameters.values())


def _typed(name: str, text: str, like: Parameter) -> Parameter:
    """What a person wrote for a parameter, of the type that the task's own have."""
    if isinstance(like, bool):
        if text.lower() not in _FLAGS:
            raise EvaluatorError(f"{name}={text}: it is {' or '.join(_FLAGS)}")
        return _FLAGS[text.lower()]
    if isinstance(like, str):
        return text
    try:
        number = type(like)(text)
    except ValueError:
        raise EvaluatorError(f"{name}={text}: it is a number, such as {like}") from None
    if number <= 0:
        raise EvaluatorError(f"{name}={text}: it must be above 0")
    return number


def sample_of(task: Task, configurations: Sequence[Configuration]) -> tuple[str, bytes]:
    """(name, sample) of the smallest configuration; empty where all of them are large.

    For each output: what the reference computes, and the error that the task's row rule allows.
    """
    import torch

    def size(configuration: Configuration) -> int:
        outputs = task.outputs(configuration).values()
        return sum(math.prod(shape) for shape, _ in outputs)

    smallest = min(configurations, key=size)
    if size(smallest) > MOST_SAMPLE_ELEMENTS:
        return "", b""
    inputs = task.make_inputs(smallest, SEED, task.timed[0])
    if any(t.numel() > MOST_SAMPLE_ELEMENTS for t in inputs.values()):
        return "", b""
    reference = task.reference(smallest, inputs)
    own = task.own(smallest, inputs)
    kept: dict[str, torch.Tensor] = {f"input.{n}": t.cpu() for n, t in inputs.items()}
    for name, output in own.items():
        expected = expect(reference[name], output, task.tolerance_of(name))
        kept[f"expected.{name}"] = expected.reference.to(
            output.dtype if expected.exact else torch.float32
        ).cpu()
        if expected.limit is not None:
            kept[f"limit.{name}"] = expected.limit.to(torch.float32).cpu()
    buffer = io.BytesIO()
    torch.save(kept, buffer)
    return smallest.name, buffer.getvalue()
