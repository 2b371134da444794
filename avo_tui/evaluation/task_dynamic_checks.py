"""Runs every method of a task on its cases and reports errors in the results.

What needs no tensors is in `evaluation.task_static_checks`. An error that is not found here would
later be blamed on the first candidate, or raise an exception in the harness. A perturbation whose
promise is not true would refuse right kernels, and an empty one would find no wrong one.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.cases import HOLDING_INFINITIES, Perturbation
from avo_tui.evaluation.measurement.judge import expect, judge, place
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import CheckCase, Task, prepare_baseline
from avo_tui.evaluation.task_static_checks import Fault, called

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Tensors

CaseSink = Callable[[int, int, CheckCase], None]
"""Told before a case is run: its number from 1 on, how many there are, the case."""
Shapes = Mapping[str, tuple[tuple[int, ...], str]]
"""Output → (shape, dtype)."""
SEEDS = (11, 12)
DISAGREE = 0.1
"""Part of an output's scale by which a library may be off the reference: the coarsest dtype's."""


def first_look(task: Task) -> None:
    """Runs every method on the cheapest case. Raises EvaluatorError with the first fault."""
    cases = task.check_cases()
    if not cases:
        return  # a repository, whose own tests judge
    cheapest = min(cases, key=lambda case: task.flops(case.configuration))
    for fault in _Trial(task, cheapest).faults(thorough=False):
        if not fault.in_all_cases:
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
        for fault in _Trial(task, case).faults(thorough=True):
            if fault.in_all_cases:
                shown.setdefault(fault.attribute, []).append(fault)
            elif fault.attribute not in reported:
                reported.add(fault.attribute)
                yield fault
    for subject, faults in shown.items():
        could_show = sum(case.perturb for case in small) if subject == "perturb" else len(small)
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


class _Trial:
    """What the methods of a task return for one case; each part raises the first fault in it."""

    def __init__(self, task: Task, case: CheckCase) -> None:
        self._task, self._case = task, case
        self._configuration = case.configuration
        self._kind = f"{case.configuration.name}, {case.distribution!r}"
        self._outputs: Shapes = {}
        self._inputs: Tensors = {}
        self._present: Mapping[str, Any] = {}
        self._results: dict[str, Tensors] = {}
        """`reference` and `own` → outputs."""
        self._has_its_own = type(task).own.__module__ == type(task).__module__
        """Whether the task's file says what `own` is; without, it is the reference baseline."""
        self._library = "own" if self._has_its_own else f"the baseline {task.reference_baseline}"

    def faults(self, thorough: bool) -> Iterator[Fault]:
        wrong = _first_faults(self._find_outputs, partial(self._make_inputs, thorough), until=True)
        wrong = wrong or _first_faults(self._name_baselines, self._refer, self._compute_own)
        yield from wrong
        if wrong:
            return
        yield from _first_faults(*(partial(self._judge, name) for name in self._outputs))
        yield from _first_faults(self._judge_zeros, self._find_baselines)
        if self._case.perturb:
            yield from _first_faults(self._perturb)

    def _find_outputs(self) -> None:
        task, here = self._task, "outputs"
        value = called(here, task, lambda: task.outputs(self._configuration))
        if not isinstance(value, Mapping) or not value:
            raise Fault(here, f"outputs returns {value!r}; it must be {{name: (shape, dtype)}}")
        for name, entry in value.items():
            try:
                shape, dtype = entry
                good = all(isinstance(n, int) and n >= 0 for n in shape)
                good = good and isinstance(shape, tuple)
                dtypes.dtype(dtype)
            except (TypeError, ValueError) as error:
                words = f"outputs has {name}: {entry!r}, not (shape, dtype): {error}"
                raise Fault(here, words) from error
            if not good:
                words = f"outputs has {name} of shape {shape!r}; it must be a tuple of sizes"
                raise Fault(here, words)
        if task.language == "cpp":
            declared = {a.name: a.dtype for a in task.arguments if a.kind == "output"}
            _same_names(here, here, declared, value)
            for name, wanted in declared.items():
                if dtypes.dtype(value[name][1]) != dtypes.dtype(wanted):
                    raise Fault(
                        here, f"outputs says that {name} is {value[name][1]}; the argument is "
                        f"{wanted}",
                    )  # fmt: skip
        for attribute, named in (("tolerances", task.tolerances), ("axes", task.axes)):
            if unknown := sorted(set(named) - set(value)):
                words = f"{attribute} names {', '.join(unknown)}, which is no output"
                raise Fault(attribute, words)
        for name, axes in task.axes.items():
            if len(axes) != len(value[name][0]):
                raise Fault(
                    "axes", f"axes names {len(axes)} dimensions of {name}, which has "
                    f"{len(value[name][0])}",
                )  # fmt: skip
        self._outputs = value

    def _make_inputs(self, thorough: bool) -> None:
        import torch

        task, here, kind = self._task, "make_inputs", self._kind
        value: Any = called(here, task, partial(self._drawn, SEEDS[0]))
        if not isinstance(value, Mapping):
            raise Fault(here, f"make_inputs returns a {type(value).__name__}; it must be a dict")
        declared = {a.name: a.dtype for a in task.arguments if a.kind == "input"}
        if task.language == "cpp":
            _same_names(here, f"make_inputs ({kind})", declared, value)
        for name, tensor in value.items():
            if not isinstance(tensor, torch.Tensor):
                raise Fault(here, f"make_inputs returns a {type(tensor).__name__} as {name}")
            if not tensor.is_contiguous():
                raise Fault(here, f"make_inputs returns {name} that is not contiguous ({kind})")
            if tensor.requires_grad:
                raise Fault(here, f"make_inputs returns {name} that requires a gradient ({kind})")
            if task.language == "cpp" and dtypes.of(tensor) != dtypes.dtype(declared[name]):
                raise Fault(
                    here, f"make_inputs returns {name} as {dtypes.of(tensor).name}; the argument "
                    f"is {declared[name]} ({kind})",
                )  # fmt: skip
            finite = (
                self._case.distribution not in HOLDING_INFINITIES and tensor.is_floating_point()
            )
            if finite and not bool(tensor.float().isfinite().all()):
                raise Fault(
                    here, f"make_inputs returns {name} with values that are not finite ({kind})"
                )
        self._inputs = dict(value)
        if thorough:
            self._draw_again(self._inputs)

    def _drawn(self, seed: int) -> Tensors:
        return self._task.make_inputs(self._configuration, seed, self._case.distribution)

    def _draw_again(self, first: Tensors) -> None:
        """The same seed gives the same inputs, another seed others; the shapes never change."""
        import torch

        here, before = "make_inputs", torch.random.get_rng_state()
        again = self._drawn(SEEDS[0])
        if not torch.equal(before, torch.random.get_rng_state()):
            raise Fault(
                here, "make_inputs draws from torch's global generator; use one of its own: "
                "torch.Generator().manual_seed(seed)",
            )  # fmt: skip
        other = self._drawn(SEEDS[1])
        for name, tensor in first.items():
            if tensor.shape != other[name].shape:
                raise Fault(
                    here, f"the shape of {name} depends on the seed: {tuple(tensor.shape)} and "
                    f"{tuple(other[name].shape)}",
                )  # fmt: skip
            if not equal(tensor, again[name]):
                raise Fault(here, f"make_inputs gives two different {name} for one seed")
        if all(equal(first[name], other[name]) for name in first):
            raise Fault(here, "make_inputs gives one set of inputs for every seed")

    def _refer(self) -> None:
        self._results["reference"] = self._returned("reference", self._inputs)

    def _compute_own(self) -> None:
        try:
            self._results["own"] = self._returned("own", self._inputs)
        except Fault as fault:
            if self._has_its_own:
                raise
            # the author of the task wrote no `own`
            sentence = f"{self._library} {fault.sentence.removeprefix('own ')}"
            raise Fault("baselines", sentence, fault.line, fault.file) from fault

    def _returned(self, method: str, inputs: Tensors) -> Tensors:
        """What `reference` or `own` returns for inputs, which it must leave as they are."""
        call = partial(getattr(self._task, method), self._configuration, inputs)
        return self._run(method, method, call, inputs)

    def _run(self, attribute: str, who: str, call: Callable[[], Any], inputs: Tensors) -> Tensors:
        """The outputs of a call. Those of a `reference` need not have the declared dtypes; they
        must be precise enough to judge others by."""
        import torch

        before = {name: tensor.clone() for name, tensor in inputs.items()}
        with torch.no_grad():
            value = called(attribute, self._task, call)
        if not isinstance(value, Mapping):
            raise Fault(attribute, f"{who} returns a {type(value).__name__}; it must be a dict")
        for name, (shape, dtype) in self._outputs.items():
            tensor = value.get(name)
            if not isinstance(tensor, torch.Tensor):
                have = ", ".join(map(str, value)) or "nothing"
                raise Fault(attribute, f"{who} returns no tensor {name}; it returns {have}")
            if tuple(tensor.shape) != tuple(shape):
                raise Fault(
                    attribute, f"{who} returns {name} of shape {tuple(tensor.shape)} for "
                    f"{self._configuration.name}; outputs says {tuple(shape)}",
                )  # fmt: skip
            wanted, floating = dtypes.dtype(dtype), tensor.is_floating_point()
            narrow = not floating or tensor.element_size() < min(wanted.bytes, 4)
            words = f"{who} returns {name} as {dtypes.of(tensor).name}"
            if attribute == "reference":
                if wanted.kind == "float" and narrow:
                    words += ": too little precision to judge others by"
                    raise Fault(attribute, words)
            elif dtypes.of(tensor) != wanted:
                raise Fault(attribute, f"{words}; outputs says {wanted.name}")
        for name, tensor in before.items():
            if not equal(tensor, inputs[name]):
                raise Fault(attribute, f"{who} changes its input {name}")
        return dict(value)

    def _judge(self, name: str) -> None:
        """The library's own output must pass."""
        reference, own = self._results["reference"][name], self._results["own"][name]
        apart = _apart(reference, own)
        if apart > DISAGREE:
            raise Fault(
                "reference", f"{self._library} and reference disagree on {name} by {apart:.0%} of "
                f"its scale ({self._kind})",
            )  # fmt: skip
        if not judge(name, own, self._expected(name)).ok:
            raise Fault(
                "tolerances" if name in self._task.tolerances else "tolerance",
                f"the {name} of {self._library} does not pass the check ({self._kind})",
            )

    def _expected(self, name: str) -> Any:
        reference, own = self._results["reference"][name], self._results["own"][name]
        return expect(reference, own, self._task.tolerance_of(name), ())

    def _judge_zeros(self) -> None:
        """Outputs of nothing but zeros must not pass."""
        own = self._results["own"]
        passes = (
            own[name].numel()
            and judge(name, own[name].new_zeros(own[name].shape), self._expected(name)).ok
            for name in self._outputs
        )
        if all(passes):
            sentence = (
                f"a kernel that writes zeros passes ({self._kind}): the right outputs are zero "
                "too, or the tolerance lets everything through"
            )
            raise Fault("", sentence, in_all_cases=True)

    def _name_baselines(self) -> None:
        """Which baselines are present; the one that scores are relative to has to be."""
        task, here = self._task, "baselines"
        present: Any = called(here, task, task.baselines)
        if not isinstance(present, Mapping):
            raise Fault(here, f"baselines returns a {type(present).__name__}; it must be a dict")
        if task.device == "cpu" and task.reference_baseline not in present:
            words = f"baselines has no {task.reference_baseline!r}, the reference baseline"
            raise Fault(here, words)
        self._present = present

    def _find_baselines(self) -> None:
        """Every baseline that is present, run as if it were a candidate."""
        task, here = self._task, "baselines"
        for name, baseline in self._present.items():
            if name not in task.baseline_names:
                words = f"baselines has {name!r}, which is not in baseline_names"
                raise Fault("baseline_names", words)
            if not callable(baseline):
                words = f"the baseline {name} is a {type(baseline).__name__}, no function"
                raise Fault(here, words)
            self._run_baseline(name, baseline)

    def _run_baseline(self, name: str, baseline: Any) -> None:
        def run() -> Any:
            prepare_baseline(baseline, self._configuration, self._inputs)
            return baseline(self._configuration, self._inputs)

        value = self._run("baselines", f"the baseline {name}", run, self._inputs)
        for output in self._outputs:
            judgement = judge(output, value[output], self._expected(output))
            if not judgement.ok:
                raise Fault(
                    "baselines", f"the baseline {name} is wrong on {self._kind}: "
                    f"{judgement.detail}",
                )  # fmt: skip

    # -- what `perturb` promises, by the task's own reference

    def _perturbed(self, inputs: Tensors) -> Any:
        call = partial(self._task.perturb, self._configuration, inputs, SEEDS[1])
        return called("perturb", self._task, call)

    def _perturb(self) -> None:
        inputs = {name: tensor.clone() for name, tensor in self._inputs.items()}
        change = self._perturbed(self._inputs)
        if not isinstance(change, Perturbation):
            what = "None" if change is None else type(change).__name__
            raise _perturb_fault(
                f"a case of {self._configuration.name} asks for a perturbation, and perturb "
                f"returns {what}"
            )
        for name, tensor in inputs.items():
            if not equal(tensor, self._inputs[name]):
                raise _perturb_fault(
                    f"perturb changes its input {name} in place; it must change a clone"
                )
        self._look_at_changed(change.inputs)
        self._look_at_masks(change.unaffected)
        again = self._perturbed(self._inputs)  # harness and judge each ask for it
        if not (
            isinstance(again, Perturbation)
            and all_equal(change.inputs, again.inputs)
            and all_equal(change.unaffected, again.unaffected)
        ):
            raise _perturb_fault(
                "perturb gives two different perturbations for one seed; draw from "
                "torch.Generator().manual_seed(seed)"
            )
        self._look_at_promise(change)

    def _look_at_changed(self, changed: Any) -> None:
        """They must fit where the inputs themselves do, and differ from them."""
        import torch

        if not isinstance(changed, Mapping):
            raise _perturb_fault(
                f"perturb gives a {type(changed).__name__} as inputs; it must be a dict"
            )
        for name, tensor in changed.items():
            if name not in self._inputs:
                raise _perturb_fault(f"perturb changes {name!r}, which is no input")
            before = self._inputs[name]
            if not isinstance(tensor, torch.Tensor):
                raise _perturb_fault(f"perturb gives a {type(tensor).__name__} as {name}")
            if tensor.shape != before.shape:
                raise _perturb_fault(
                    f"perturb gives {name} of shape {tuple(tensor.shape)}; make_inputs gives "
                    f"{tuple(before.shape)} for {self._configuration.name}"
                )
            if tensor.dtype != before.dtype:
                raise _perturb_fault(
                    f"perturb gives {name} as {dtypes.of(tensor).name}; make_inputs gives "
                    f"{dtypes.of(before).name}"
                )
            if not tensor.is_contiguous():
                raise _perturb_fault(f"perturb gives {name} that is not contiguous")
            if _no_longer_finite(tensor, before):
                raise _perturb_fault(f"perturb gives {name} with values that are not finite")
        if all(equal(tensor, self._inputs[name]) for name, tensor in changed.items()):
            raise _perturb_fault(
                f"perturb changes no input of {self._configuration.name}, so that its cases would "
                "show nothing"
            )

    def _look_at_masks(self, unaffected: Any) -> None:
        """Each must be of truth values and fit its output."""
        import torch

        if not isinstance(unaffected, Mapping) or not unaffected:
            raise _perturb_fault(
                "perturb says of no output what stays unaffected: unaffected must be a dict, "
                "output → mask"
            )
        for name, mask in unaffected.items():
            if name not in self._outputs:
                raise _perturb_fault(f"perturb names {name!r}, which is no output")
            shape = tuple(self._outputs[name][0])
            if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
                kind = mask.dtype if isinstance(mask, torch.Tensor) else type(mask).__name__
                raise _perturb_fault(
                    f"the mask of {name} is {kind}; it must be a tensor of torch.bool"
                )
            try:
                fits = torch.broadcast_shapes(mask.shape, shape) == torch.Size(shape)
            except RuntimeError:
                fits = False
            if not fits:
                raise _perturb_fault(
                    f"the mask of {name} has the shape {tuple(mask.shape)}, which does not fit "
                    f"{name} of shape {shape}"
                )
            if not bool(mask.any()):
                raise _perturb_fault(
                    f"perturb leaves no value of {name} unaffected: nothing is compared"
                )

    def _look_at_promise(self, change: Perturbation) -> None:
        """The reference must give finite outputs of the same shapes, unchanged where that is
        said."""
        given = {**self._inputs, **change.inputs}
        after: dict[str, Tensors] = {}
        for method in ("reference", "own"):
            try:
                copies = {name: tensor.clone() for name, tensor in given.items()}
                after[method] = self._returned(method, copies)
            except Fault as fault:
                sentence = f"on the inputs that perturb gives, {fault.sentence}"
                raise Fault("perturb", sentence, fault.line, fault.file) from fault
        noticed = False
        for name in self._outputs:
            first, second = self._results["reference"][name], after["reference"][name]
            if _no_longer_finite(second, first):
                raise _perturb_fault(f"on the inputs that perturb gives, {name} is not finite")
            differs = _differs(first, second)
            noticed = noticed or bool(differs.any())
            mask = change.unaffected.get(name)
            if mask is None:
                continue
            mask = mask.to(differs.device).expand(differs.shape)
            wrong = differs & mask
            if count := int(wrong.sum()):
                raise _perturb_fault(
                    f"perturb says that {int(mask.sum())} values of {name} stay unaffected in "
                    f"{self._configuration.name}, and {count} of them change by the task's own "
                    f"reference, the first {place(name, wrong)}"
                )
        # no output may notice the change of padding that nothing may read
        masks = [change.unaffected.get(name) for name in self._outputs]
        if not noticed and not all(mask is not None and bool(mask.all()) for mask in masks):
            sentence = (
                f"what perturb changes in {self._configuration.name} changes no output at all by "
                "the task's own reference, so that a kernel may ignore those inputs"
            )
            raise Fault("perturb", sentence, in_all_cases=True)  # in one case it may be chance


def _first_faults(*parts: Callable[[], None], until: bool = False) -> list[Fault]:
    """The first fault of each of the parts; `until`: the first of them all."""
    faults: list[Fault] = []
    for part in parts:
        try:
            part()
        except Fault as fault:
            faults.append(fault)
            if until:
                break
    return faults


def _perturb_fault(sentence: str) -> Fault:
    return Fault("perturb", sentence)


def _same_names(
    attribute: str, what: str, wanted: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    for name in wanted.keys() - given.keys():
        raise Fault(attribute, f"{what} has no {name}; it has {', '.join(map(str, given))}")
    for name in given.keys() - wanted.keys():
        raise Fault(attribute, f"{what} has {name!r}, which no argument is called")


def equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """True for equal shapes and bits."""
    return one.shape == other.shape and bool((dtypes.bits(one) == dtypes.bits(other)).all())


def all_equal(one: Tensors, other: Tensors) -> bool:
    """True for equal tensors of the same names."""
    return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)


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


def _no_longer_finite(tensor: torch.Tensor, before: torch.Tensor) -> bool:
    if not tensor.is_floating_point():
        return False
    return bool(before.float().isfinite().all()) and not bool(tensor.float().isfinite().all())


def _differs(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Where two results of the reference differ by more than their rounding can explain: by more
    than half of the digits that their dtype has, relative to their root mean square."""
    import torch

    if not (first.is_floating_point() or first.is_complex()):
        return first != second
    wide = first.double() if first.is_floating_point() else first.to(torch.complex128)
    apart = (wide - second.to(wide.dtype)).abs()
    size = wide.abs()
    scale = float(size[size.isfinite()].square().mean().sqrt()) if size.isfinite().any() else 0.0
    room = torch.finfo(first.dtype).eps ** 0.5 * scale
    both_the_same = (first == second) | (first.isnan() & second.isnan())
    return ~both_the_same & ~(apart <= room)
