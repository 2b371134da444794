"""Errors in what single methods of a task return: names, shapes, dtypes, values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.cases import NOT_FINITE
from avo_tui.evaluation.task import CheckCase, Task
from avo_tui.evaluation.task_static_checks import Fault

if TYPE_CHECKING:
    import torch

Shapes = Mapping[str, tuple[tuple[int, ...], str]]
"""Output → (shape, dtype)."""


def outputs_faults(task: Task, configuration: Configuration, value: Any) -> Iterator[Fault]:
    """What is wrong with what `outputs` returned."""
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
    strange = sorted(set(task.axes) - set(value))
    if strange:
        yield Fault("axes", f"axes names {', '.join(strange)}, which is no output")
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


def inputs_faults(task: Task, case: CheckCase, value: Any) -> Iterator[Fault]:
    """What is wrong with what `make_inputs` returned for a case."""
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
        finite = case.distribution != NOT_FINITE and tensor.is_floating_point()
        if finite and not bool(tensor.float().isfinite().all()):
            yield Fault(
                here, f"make_inputs returns {name} with values that are not finite ({kind})"
            )


def equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """True for equal shapes and bits."""
    return one.shape == other.shape and bool((dtypes.bits(one) == dtypes.bits(other)).all())


def returned_faults(
    method: str, case: CheckCase, value: Any, outputs: Shapes, exact: bool
) -> Iterator[Fault]:
    """What is wrong with the outputs that a method returned; `exact`: their dtypes must be those
    that are declared, not just precise enough to judge others by."""
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
