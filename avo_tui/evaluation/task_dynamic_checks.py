"""Runs every method of a task on its cases and reports errors in the results.

What needs no tensors is in `evaluation.task_static_checks`. An error that is not found here would
later be blamed on the first candidate, or raise an exception in the harness.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.cases import Perturbation
from avo_tui.evaluation.measurement.judge import expect, judge
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import CheckCase, Task, prepare_baseline
from avo_tui.evaluation.task_static_checks import Fault, called

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Tensors

SEEDS = (11, 12)
ZEROS = "zeros"
"""Subject of a fault of the task as a whole: outputs of only zeros are accepted."""
DISAGREE = 0.1
"""Part of an output's scale by which a library may be off the reference: the coarsest dtype's."""
Shapes = Mapping[str, tuple[tuple[int, ...], str]]


def first_look(task: Task) -> None:
    """Runs every method on the cheapest case. Raises EvaluatorError with the first fault."""
    cases = task.check_cases()
    cheapest = min(cases, key=lambda case: task.flops(case.configuration))
    for fault in of_case(task, cheapest, thorough=False):
        if fault.attribute == ZEROS:
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


def all_cases(task: Task, most_flops: float, most_elements: int = sys.maxsize) -> Iterator[Fault]:
    """Every fault on every case and every timed distribution that is small enough to be run here.

    The first fault of each method is enough: the others follow from it. Right outputs of some
    cases may be zero; that a kernel which writes zeros passes is a fault where it passes them all.
    """
    cases = list(task.check_cases())
    kinds = {(c.configuration.name, c.distribution) for c in cases}
    for configuration in task.configurations:
        for distribution in task.timed:
            if (configuration.name, distribution) not in kinds:
                cases.append(CheckCase(configuration, distribution))
    reported: set[str] = set()
    small = [c for c in cases if small_enough(task, c.configuration, most_flops, most_elements)]
    passed_by_zeros: list[Fault] = []
    for case in small:
        for fault in of_case(task, case, thorough=True):
            if fault.attribute == ZEROS:
                passed_by_zeros.append(fault)
            elif fault.attribute not in reported:
                reported.add(fault.attribute)
                yield fault
    if passed_by_zeros and len(passed_by_zeros) == len(small):
        yield passed_by_zeros[0]


def of_case(task: Task, case: CheckCase, thorough: bool) -> Iterator[Fault]:
    """What is wrong with what the methods return for one case."""
    configuration = case.configuration
    outputs, faults = called(task, "outputs", lambda: task.outputs(configuration))
    faults = faults or list(_outputs(task, configuration, outputs))
    yield from faults
    if faults:
        return
    inputs, faults = called(
        task, "make_inputs", lambda: task.make_inputs(configuration, SEEDS[0], case.distribution)
    )
    faults = faults or list(_inputs(task, case, inputs))
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
        yield from _perturbed(task, case, inputs, outputs)


def _outputs(task: Task, configuration: Configuration, value: Any) -> Iterator[Fault]:
    here = "outputs"
    if not isinstance(value, Mapping) or not value:
        yield Fault(here, f"outputs returns {value!r}; it must be {{name: (shape, dtype)}}")
        return
    for name, entry in value.items():
        try:
            shape, dtype = entry
            good = all(isinstance(n, int) and n >= 0 for n in shape) and isinstance(shape, tuple)
            dtypes.dtype(dtype)
        except (TypeError, ValueError) as error:
            yield Fault(here, f"outputs has {name}: {entry!r}, not (shape, dtype): {error}")
            return
        if not good:
            yield Fault(here, f"outputs has {name} of shape {shape!r}; it must be a tuple of sizes")
    if task.language == "cpp":
        declared = {a.name: a.dtype for a in task.arguments if a.kind == "output"}
        yield from _same_names(here, "outputs", declared, value)
        for name in declared.keys() & value.keys():
            if dtypes.dtype(value[name][1]) != dtypes.dtype(declared[name]):
                yield Fault(
                    here, f"outputs says that {name} is {value[name][1]}; the argument is "
                    f"{declared[name]}",
                )  # fmt: skip
    unknown = sorted(set(task.tolerances) - set(value))
    if unknown:
        yield Fault("tolerances", f"tolerances names {', '.join(unknown)}, which is no output")
    for name, axes in task.axes.items():
        if name in value and len(axes) != len(value[name][0]):
            yield Fault(
                "axes", f"axes names {len(axes)} dimensions of {name}, which has "
                f"{len(value[name][0])}",
            )  # fmt: skip


def _same_names(
    attribute: str, what: str, wanted: Mapping[str, Any], given: Mapping[str, Any]
) -> Iterator[Fault]:
    for name in wanted.keys() - given.keys():
        yield Fault(attribute, f"{what} has no {name}; it has {', '.join(map(str, given))}")
    for name in given.keys() - wanted.keys():
        yield Fault(attribute, f"{what} has {name!r}, which no argument is called")


def _inputs(task: Task, case: CheckCase, value: Any) -> Iterator[Fault]:
    here, kind = "make_inputs", f"{case.configuration.name}, {case.distribution!r}"
    import torch

    if not isinstance(value, Mapping):
        yield Fault(here, f"make_inputs returns a {type(value).__name__}; it must be a dict")
        return
    if task.language == "cpp":
        declared = {a.name: a.dtype for a in task.arguments if a.kind == "input"}
        yield from _same_names(here, f"make_inputs ({kind})", declared, value)
    for name, tensor in value.items():
        if not isinstance(tensor, torch.Tensor):
            yield Fault(here, f"make_inputs returns a {type(tensor).__name__} as {name}")
            continue
        if not tensor.is_contiguous():
            yield Fault(here, f"make_inputs returns {name} that is not contiguous ({kind})")
        if tensor.requires_grad:
            yield Fault(here, f"make_inputs returns {name} that requires a gradient ({kind})")
        if task.language == "cpp" and name in declared:
            given = dtypes.of(tensor)
            if given != dtypes.dtype(declared[name]):
                yield Fault(
                    here, f"make_inputs returns {name} as {given.name}; the argument is "
                    f"{declared[name]} ({kind})",
                )  # fmt: skip
        if tensor.is_floating_point() and not bool(tensor.float().isfinite().all()):
            yield Fault(
                here, f"make_inputs returns {name} with values that are not finite ({kind})"
            )


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
        if not _equal(tensor, again[name]):
            yield Fault(here, f"make_inputs gives two different {name} for one seed")
            return
    if all(first[name].shape == other[name].shape for name in first) and all(
        _equal(first[name], other[name]) for name in first
    ):
        yield Fault(here, "make_inputs gives one set of inputs for every seed")


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and bool((dtypes.bits(one) == dtypes.bits(other)).all())


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
    if faults:
        return {}, faults
    faults = list(_returned(method, case, value, outputs, exact is not None))
    for name, tensor in before.items():
        if not _equal(tensor, inputs[name]):
            faults.append(Fault(method, f"{method} changes its input {name}"))
    return value if not faults else {}, faults


def _returned(
    method: str, case: CheckCase, value: Any, outputs: Shapes, exact: bool
) -> Iterator[Fault]:
    import torch

    if not isinstance(value, Mapping):
        yield Fault(method, f"{method} returns a {type(value).__name__}; it must be a dict")
        return
    for name, (shape, dtype) in outputs.items():
        tensor = value.get(name)
        if not isinstance(tensor, torch.Tensor):
            have = ", ".join(map(str, value)) or "nothing"
            yield Fault(method, f"{method} returns no tensor {name}; it returns {have}")
            continue
        if tuple(tensor.shape) != tuple(shape):
            yield Fault(
                method, f"{method} returns {name} of shape {tuple(tensor.shape)} for "
                f"{case.configuration.name}; outputs says {tuple(shape)}",
            )  # fmt: skip
        wanted = dtypes.dtype(dtype)
        if exact and dtypes.of(tensor) != wanted:
            yield Fault(
                method, f"{method} returns {name} as {dtypes.of(tensor).name}; outputs says "
                f"{wanted.name}",
            )  # fmt: skip
        narrow = tensor.is_floating_point() and tensor.element_size() < min(wanted.bytes, 4)
        if not exact and wanted.kind == "float" and (narrow or not tensor.is_floating_point()):
            yield Fault(
                method, f"{method} returns {name} as {dtypes.of(tensor).name}: too little "
                "precision to judge others by",
            )  # fmt: skip


def _judged(
    task: Task, case: CheckCase, reference: Tensors, own: Tensors, outputs: Shapes
) -> Iterator[Fault]:
    """The library's own outputs must pass, and outputs of nothing but zeros must not."""
    import torch

    kind = f"{case.configuration.name}, {case.distribution!r}"
    zero_passes: list[str] = []
    for name in outputs:
        apart = _apart(reference[name], own[name])
        if apart > DISAGREE:
            yield Fault(
                "reference",
                f"own and reference disagree on {name} by {apart:.0%} of its scale ({kind})",
            )
        expected = expect(reference[name], own[name], task.tolerance_of(name), ())
        if not judge(name, own[name], expected).ok:
            yield Fault(
                "tolerances" if name in task.tolerances else "tolerance",
                f"the library's own {name} does not pass the check ({kind})",
            )
        if judge(name, torch.zeros_like(own[name]), expected).ok and own[name].numel():
            zero_passes.append(name)
    if len(zero_passes) == len(outputs):
        yield Fault(
            ZEROS,
            f"a kernel that writes zeros passes ({kind}): the right outputs are zero too, or the "
            "tolerance lets everything through",
        )


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
    faults = faults or list(_returned("baselines", case, value, outputs, True))
    yield from (Fault("baselines", f"{name}: {f.sentence}", f.line) for f in faults)
    if faults:
        return
    for key, tensor in before.items():
        if not _equal(tensor, inputs[key]):
            yield Fault("baselines", f"the baseline {name} changes its input {key}")
    for output in outputs:
        expected = expect(reference[output], own[output], task.tolerance_of(output), ())
        judgement = judge(output, value[output], expected)
        if not judgement.ok:
            yield Fault(
                "baselines", f"the baseline {name} is wrong on {case.configuration.name}, "
                f"{case.distribution!r}: {judgement.detail}",
            )  # fmt: skip


def _perturbed(task: Task, case: CheckCase, inputs: Tensors, outputs: Shapes) -> Iterator[Fault]:
    here = "perturb"
    change, faults = called(task, here, lambda: task.perturb(case.configuration, inputs, SEEDS[1]))
    yield from faults
    if faults:
        return
    if not isinstance(change, Perturbation):
        yield Fault(
            here, f"a case of {case.configuration.name} asks for a perturbation, and perturb "
            f"returns {'None' if change is None else type(change).__name__}",
        )  # fmt: skip
        return
    for name in change.inputs:
        if name not in inputs:
            yield Fault(here, f"perturb changes {name!r}, which is no input")
    for name, mask in change.unaffected.items():
        if name not in outputs:
            yield Fault(here, f"perturb names {name!r}, which is no output")
        elif not bool(mask.any()):
            yield Fault(here, f"perturb leaves no value of {name} unaffected: nothing is compared")
