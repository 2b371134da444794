"""Runs every method of a task on its cases and reports errors in the results.

What needs no tensors is in `evaluation.task_static_checks`. An error that is not found here would
later be blamed on the first candidate, or raise an exception in the harness.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.judge import expect, judge
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import CheckCase, Task, prepare_baseline
from avo_tui.evaluation.task_perturb_checks import PERTURB, perturb_faults
from avo_tui.evaluation.task_static_checks import Fault, called
from avo_tui.evaluation.task_value_checks import (
    Shapes,
    equal,
    inputs_faults,
    outputs_faults,
    returned_faults,
)

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Tensors

CaseSink = Callable[[int, int, CheckCase], None]
"""Told before a case is run: its number from 1 on, how many there are, the case."""
SEEDS = (11, 12)
DISAGREE = 0.1
"""Part of an output's scale by which a library may be off the reference: the coarsest dtype's."""


def first_look(task: Task) -> None:
    """Runs every method on the cheapest case. Raises EvaluatorError with the first fault."""
    cases = task.check_cases()
    if not cases:
        return  # a repository, whose own tests judge
    cheapest = min(cases, key=lambda case: task.flops(case.configuration))
    for fault in of_case(task, cheapest, thorough=False):
        if fault.in_all_cases:
            continue
        raise EvaluatorError(fault.text(task))


def small_enough(
    task: Task, configuration: Configuration, most_flops: float, most_elements: int
) -> bool:
    """Whether a configuration is quickly run here: by its operations, and its outputs' elements."""
    if task.flops(configuration) > most_flops:
        return False
    try:
        sizes = [math.prod(shape) for shape, _ in task.outputs(configuration).values()]
    except Exception:  # what is wrong with outputs is told where it is looked at
        return True
    return sum(sizes) <= most_elements


def all_cases(
    task: Task,
    most_flops: float,
    most_elements: int = sys.maxsize,
    progress: CaseSink = lambda number, count, case: None,
) -> Iterator[Fault]:
    """Every fault on every case and every timed distribution that is small enough to be run here.

    The first fault of each method is enough: the others follow from it. Right outputs of some
    cases may be zero, and some change of inputs may go unnoticed: such a thing is a fault where it
    is so in all cases that could show it.
    """
    cases = list(task.check_cases())
    kinds = {(c.configuration.name, c.distribution) for c in cases}
    for configuration in task.configurations:
        for distribution in task.timed:
            if (configuration.name, distribution) not in kinds:
                cases.append(CheckCase(configuration, distribution))
    reported: set[str] = set()
    small = [
        case
        for case in _each_once(cases)
        if small_enough(task, case.configuration, most_flops, most_elements)
    ]
    shown: dict[str, list[Fault]] = {}
    for number, case in enumerate(small, 1):
        progress(number, len(small), case)
        for fault in of_case(task, case, thorough=True):
            if fault.in_all_cases:
                shown.setdefault(fault.attribute, []).append(fault)
            elif fault.attribute not in reported:
                reported.add(fault.attribute)
                yield fault
    for subject, faults in shown.items():
        could_show = sum(case.perturb for case in small) if subject == PERTURB else len(small)
        if len(faults) == could_show and subject not in reported:
            yield faults[0]


def _each_once(cases: Sequence[CheckCase]) -> list[CheckCase]:
    """The cases without those whose inputs another has, too; one that is perturbed stays."""
    kept: dict[tuple[str, str], CheckCase] = {}
    for case in cases:
        key = (case.configuration.model_dump_json(), case.distribution)
        if key not in kept or case.perturb:
            kept[key] = case
    return list(kept.values())


def of_case(task: Task, case: CheckCase, thorough: bool) -> Iterator[Fault]:
    """What is wrong with what the methods return for one case."""
    configuration = case.configuration
    outputs, faults = called(task, "outputs", lambda: task.outputs(configuration))
    faults = faults or list(outputs_faults(task, configuration, outputs))
    yield from faults
    if faults:
        return
    inputs, faults = called(
        task, "make_inputs", lambda: task.make_inputs(configuration, SEEDS[0], case.distribution)
    )
    faults = faults or list(inputs_faults(task, case, inputs))
    if not faults and thorough:
        faults = list(_pure(task, case, inputs))
    yield from faults
    if faults:
        return
    reference, faults = _computed(task, "reference", case, inputs, outputs, None)
    yield from faults
    own, others = _computed(task, "own", case, inputs, outputs, "exact")
    yield from others
    if faults or others:
        return
    yield from _judged(task, case, reference, own, outputs)
    yield from _baselines(task, case, inputs, reference, own, outputs)
    if case.perturb:
        yield from perturb_faults(task, case, inputs, outputs, reference)


def _pure(task: Task, case: CheckCase, first: Tensors) -> Iterator[Fault]:
    """The same seed gives the same inputs, another seed others; the shapes never change."""
    import torch

    here, configuration = "make_inputs", case.configuration
    before = torch.random.get_rng_state()
    again = task.make_inputs(configuration, SEEDS[0], case.distribution)
    if not torch.equal(before, torch.random.get_rng_state()):
        yield Fault(
            here, "make_inputs draws from torch's global generator; use one of its own: "
            "torch.Generator().manual_seed(seed)",
        )  # fmt: skip
    other = task.make_inputs(configuration, SEEDS[1], case.distribution)
    for name, tensor in first.items():
        if tensor.shape != other[name].shape:
            yield Fault(
                here, f"the shape of {name} depends on the seed: {tuple(tensor.shape)} and "
                f"{tuple(other[name].shape)}",
            )  # fmt: skip
        if not equal(tensor, again[name]):
            yield Fault(here, f"make_inputs gives two different {name} for one seed")
            return
    if all(first[name].shape == other[name].shape for name in first) and all(
        equal(first[name], other[name]) for name in first
    ):
        yield Fault(here, "make_inputs gives one set of inputs for every seed")


def _computed(
    task: Task, method: str, case: CheckCase, inputs: Tensors, outputs: Shapes, exact: str | None
) -> tuple[Tensors, list[Fault]]:
    """What `reference` or `own` returns, and what is wrong with it."""
    import torch

    before = {name: tensor.clone() for name, tensor in inputs.items()}
    with torch.no_grad():
        value, faults = called(
            task, method, lambda: getattr(task, method)(case.configuration, inputs)
        )
    if not faults:
        faults = list(returned_faults(method, case, value, outputs, exact is not None))
        for name, tensor in before.items():
            if not equal(tensor, inputs[name]):
                faults.append(Fault(method, f"{method} changes its input {name}"))
    if method == "own" and not _has_its_own(task):
        faults = [_of_baseline(task, fault) for fault in faults]
    return value if not faults else {}, faults


def _has_its_own(task: Task) -> bool:
    """Whether the task's file says what `own` is; it is the reference baseline without that."""
    return type(task).own.__module__ == type(task).__module__


def _of_baseline(task: Task, fault: Fault) -> Fault:
    """The same of the baseline, since the author of the task wrote no `own`."""
    name = f"the baseline {task.reference_baseline}"
    words = fault.sentence.removeprefix("own ")
    return replace(fault, attribute="baselines", sentence=f"{name} {words}")


def _judged(
    task: Task, case: CheckCase, reference: Tensors, own: Tensors, outputs: Shapes
) -> Iterator[Fault]:
    """The library's own outputs must pass, and outputs of nothing but zeros must not."""
    import torch

    kind = f"{case.configuration.name}, {case.distribution!r}"
    library = "own" if _has_its_own(task) else f"the baseline {task.reference_baseline}"
    zero_passes: list[str] = []
    for name in outputs:
        apart = _apart(reference[name], own[name])
        if apart > DISAGREE:
            yield Fault(
                "reference",
                f"{library} and reference disagree on {name} by {apart:.0%} of its scale ({kind})",
            )
        expected = expect(reference[name], own[name], task.tolerance_of(name), ())
        if not judge(name, own[name], expected).ok:
            yield Fault(
                "tolerances" if name in task.tolerances else "tolerance",
                f"the {name} of {library} does not pass the check ({kind})",
            )
        if judge(name, torch.zeros_like(own[name]), expected).ok and own[name].numel():
            zero_passes.append(name)
    if len(zero_passes) == len(outputs):
        sentence = (
            f"a kernel that writes zeros passes ({kind}): the right outputs are zero too, or the "
            "tolerance lets everything through"
        )
        yield Fault("", sentence, in_all_cases=True)


def _apart(reference: torch.Tensor, own: torch.Tensor) -> float:
    """Root mean square of the difference, in units of the reference's; 0 for what is not float."""
    if not own.is_floating_point():
        return 0.0
    wide, other = reference.double(), own.double()
    finite = wide.isfinite() & other.isfinite()
    if not bool(finite.any()):
        return 0.0
    wide, other = wide[finite], other[finite]
    scale = float(wide.square().mean().sqrt())
    return float((wide - other).square().mean().sqrt()) / scale if scale else 0.0


def _baselines(
    task: Task,
    case: CheckCase,
    inputs: Tensors,
    reference: Tensors,
    own: Tensors,
    outputs: Shapes,
) -> Iterator[Fault]:
    """Every baseline that is present, run as if it were a candidate."""
    here = "baselines"
    present, faults = called(task, here, task.baselines)
    yield from faults
    if faults:
        return
    if not isinstance(present, Mapping):
        yield Fault(here, f"baselines returns a {type(present).__name__}; it must be a dict")
        return
    for name in sorted(set(present) - set(task.baseline_names)):
        yield Fault("baseline_names", f"baselines has {name!r}, which is not in baseline_names")
    if task.device == "cpu" and task.reference_baseline not in present:
        yield Fault(here, f"baselines has no {task.reference_baseline!r}, the reference baseline")
    for name, baseline in present.items():
        if not callable(baseline):
            yield Fault(here, f"the baseline {name} is a {type(baseline).__name__}, no function")
            continue
        yield from _baseline(task, case, name, baseline, (inputs, reference, own), outputs)


def _baseline(
    task: Task,
    case: CheckCase,
    name: str,
    baseline: Any,
    tensors: Sequence[Tensors],
    outputs: Shapes,
) -> Iterator[Fault]:
    import torch

    inputs, reference, own = tensors
    before = {key: tensor.clone() for key, tensor in inputs.items()}

    def run() -> Any:
        prepare_baseline(baseline, case.configuration, inputs)
        with torch.no_grad():
            return baseline(case.configuration, inputs)

    value, faults = called(task, "baselines", run)
    faults = faults or list(returned_faults("baselines", case, value, outputs, True))
    words = ((f, f.sentence.removeprefix("baselines ")) for f in faults)
    yield from (replace(f, sentence=f"the baseline {name} {text}") for f, text in words)
    if faults:
        return
    for key, tensor in before.items():
        if not equal(tensor, inputs[key]):
            yield Fault("baselines", f"the baseline {name} changes its input {key}")
    for output in outputs:
        expected = expect(reference[output], own[output], task.tolerance_of(output), ())
        judgement = judge(output, value[output], expected)
        if not judgement.ok:
            yield Fault(
                "baselines", f"the baseline {name} is wrong on {case.configuration.name}, "
                f"{case.distribution!r}: {judgement.detail}",
            )  # fmt: skip
