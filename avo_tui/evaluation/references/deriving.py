"""Learns from a run on the meta device what a task needs to know of a reference.

On the meta device tensors have shapes and dtypes and no memory, so problems of any size are taken
in at once; only one small case is computed for real, to see which distributions of inputs the
reference stands.

`python -m avo_tui.evaluation.references.deriving request.json reply.json`, with both files in the
current folder, is the process that first runs a reference, in the sandbox.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.cases import MASKED
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.references.distributions import (
    DISTRIBUTIONS,
    TIED,
    families,
    leaves_order_open,
    masks_rows,
)
from avo_tui.evaluation.references.files import Companions
from avo_tui.evaluation.references.fitting import (
    fitting_distributions,
    independent_slices,
    jumping_outputs,
)
from avo_tui.evaluation.references.formats import read
from avo_tui.evaluation.references.hidden_sizes import OTHER_SIZES, near, other_sizes
from avo_tui.evaluation.references.source import BadReferenceError, Reference, ReferenceSample
from avo_tui.evaluation.references.spec import ABOVE, FAR, Case, ReferenceSpec, Sizes, Tensor

if TYPE_CHECKING:
    import torch

PROGRESS = "progress.txt"
"""In the current folder: what is looked at, one line for each part."""
MOST_TENSORS = 64
SMALLEST = 1
LARGE = 16
"""A scored size up to this is left as the longest: no kernel takes such an axis in parts."""
TELLING = 12
"""Least size of every axis at which it is looked which kinds of inputs fit."""
SHORT = 5
"""Size of all other axes where one is longer than what is scored."""
FAR_FACTORS = (16, 8, 4, 2)
"""Multiples of a scored size that are tried as the greatest of a hidden case."""
MOST_HIDDEN = len(OTHER_SIZES)
DRAWS = 5
"""Sizes near a hidden case's at which the reference must run for the case to be a pattern."""
QUICK_FLOPS = 2e8
"""Most operations of a run that is repeated for each distribution."""
QUICK_BYTES = 8 << 20
"""The same of its inputs and outputs."""
WITH_DATA = 256 << 20
"""Most bytes of inputs with which a reference is run for real where it looks at values."""
TOLERATED = 10.0
"""Multiple of the limits that is accepted for a problem that cannot be made smaller."""


@dataclass(frozen=True)
class Wishes:
    """What the person asks of the task."""

    name: str
    language: str
    origin: str
    sizes: Sizes = field(default_factory=dict)
    """Constants to replace."""
    most_flops: float = math.inf
    """Sizes are halved until one run takes no more operations."""
    most_bytes: float = math.inf
    """Sizes are halved until inputs and outputs take no more bytes."""
    evaluation_mode: bool = False
    compiled: bool = False

    @property
    def title(self) -> str:
        return f"{self.name.replace('_', ' ')}, from {self.origin.rpartition('/')[2]}"


@dataclass(frozen=True)
class Look:
    """What was learned from one run on the meta device."""

    drawn: ReferenceSample
    outputs: dict[str, torch.Tensor]
    used: frozenset[str]
    """Inputs and weights that some operation read."""
    flops: float
    random: str = ""
    """The first operation that draws random numbers; empty without one."""
    operations: frozenset[str] = frozenset()
    """Names of torch's operations that it is made of."""
    kept: tuple[str, ...] = ()
    """Buffers that the reference writes to; each call finds them as they were."""

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Inputs and weights that are read, by name."""
        both = {**self.drawn.inputs, **self.drawn.weights}
        return {name: tensor for name, tensor in both.items() if name in self.used}

    @property
    def bytes(self) -> float:
        """Of everything read and written, once."""
        every = (*self.tensors.values(), *self.outputs.values())
        return float(sum(t.numel() * t.element_size() for t in every))


def look(reference: Reference, sizes: Sizes) -> Look:
    """Runs the reference on the meta device. Raises BadReferenceError with what is in the way."""
    import torch

    from avo_tui.evaluation.references.watching import Counting

    drawn = reference.draw(sizes, 1, "meta")
    every = {**drawn.inputs, **drawn.weights}
    counting = Counting(every)
    try:
        with torch.no_grad(), counting:
            outputs = drawn.outputs(every)
    except BadReferenceError:
        raise
    except (Exception, SystemExit) as error:  # on the meta device no value can be looked at
        without_data = error
        if sum(t.nbytes for t in every.values()) > WITH_DATA:
            raise _needs_data(error) from error
        drawn = reference.draw(sizes, 1, "cpu")
        every = {**drawn.inputs, **drawn.weights}
        counting = Counting(every)
        try:
            with torch.no_grad(), counting:
                outputs = drawn.outputs(every)
        except BadReferenceError:
            raise
        except (Exception, SystemExit) as another:
            raise _needs_data(without_data, another) from another
        if counting.by_value:
            _same_shapes(reference, sizes, outputs, counting.by_value)
    if empty := [name for name, tensor in outputs.items() if not tensor.numel()]:
        raise BadReferenceError(
            f"the reference's output {empty[0]} has no elements: nothing is to be compared"
        )
    kept = tuple(n for n in drawn.weights if n in counting.written)
    written = counting.written & drawn.inputs.keys()
    if written:
        names = ", ".join(sorted(written))
        raise BadReferenceError(
            f"the reference changes its input {names}, which a kernel may only read: write to a "
            f"copy, such as {sorted(written)[0]} = {sorted(written)[0]}.clone(), and return it"
        )
    used = frozenset(counting.used - reference.filled)
    operations = frozenset(counting.operations)
    return Look(drawn, outputs, used, counting.flops, counting.random, operations, kept)


def _same_shapes(
    reference: Reference, sizes: Sizes, outputs: dict[str, torch.Tensor], operation: str
) -> None:
    """Raises BadReferenceError where values decide how large an output is: with other draws, or
    with zeros for inputs, it has another shape. A kernel is given outputs of fixed shapes."""
    import torch

    for seed in (2, 3):
        drawn = reference.draw(sizes, seed, "cpu")
        inputs = drawn.inputs
        if seed == 3:
            inputs = {
                n: torch.zeros_like(t) if t.is_floating_point() or "unique" in operation else t
                for n, t in inputs.items()
            }
        others = outputs  # also of values that the reference does not take
        with contextlib.suppress(Exception), torch.no_grad():
            others = drawn.outputs({**inputs, **drawn.weights})
        for name, tensor in outputs.items():
            if name not in others or others[name].shape != tensor.shape:
                raise BadReferenceError(
                    f"the shape of {name} depends on values ({operation}), and a kernel writes to "
                    "outputs of fixed shapes: return a mask, or a tensor of the largest size with "
                    "the count beside it"
                )


def _needs_data(
    without: BaseException, on_processor: BaseException | None = None
) -> BadReferenceError:
    """`on_processor` is what happened there, where the reference was small enough to be tried."""
    reasons = [f"without data {_short(without)}"]
    if on_processor is None:
        reasons.append("too large to be tried on the processor")
    elif _short(on_processor) == _short(without):
        reasons = [_short(without)]
    else:
        reasons.append(f"on the processor {_short(on_processor)}")
    return BadReferenceError(
        f"the reference does not run ({'; '.join(reasons)}), neither without data nor on the "
        "processor at these sizes"
        + ("; smaller ones are given with --set" if on_processor is None else "")
    )


def _short(error: BaseException) -> str:
    why = " ".join(str(error).split()).partition(". ")[0][:200]
    hint = ""
    if "does not require grad" in why:
        hint = "; put torch.enable_grad() around a backward pass that is part of the problem"
    return f"{type(error).__name__}: {why}{hint}"


def derive(
    reference: Reference, wishes: Wishes, progress: Callable[[str], None] = lambda text: None
) -> ReferenceSpec:
    """All that a task needs. Raises BadReferenceError with one sentence.

    `progress` is told before each part of the work what it is.
    """
    progress("its shapes and operations, on the meta device")
    unknown = sorted(set(wishes.sizes) - set(reference.constants))
    if unknown:
        known = ", ".join(reference.constants) or "none"
        raise BadReferenceError(f"the reference has no constant {unknown[0]}; it has: {known}")
    base, first = _first_look(reference, dict(wishes.sizes))
    base, shown = _fit(reference, base, first, wishes)
    remarks = _remarks(reference, base, wishes, first, shown)
    progress(f"which of its {len(reference.constants)} constants may be other numbers")
    axes = _axes(reference, base, shown)
    tensors = _tensors(shown)
    full = {name: base.get(name, reference.constants[name]) for name in axes}
    progress("odd sizes for hidden cases")
    whose = "as-set" if wishes.sizes else "small" if base else "as-given"
    first_case = _case("reduced" if shown is not first else whose, full, shown)
    scored = (first_case, *_half(reference, base, full, shown))
    hidden = tuple(_hidden(reference, base, full, shown))
    fixed = {n: v for n, v in base.items() if n not in axes}
    smallest = min((*scored, *hidden), key=lambda case: case.flops)
    sizes = {**fixed, **_telling((*hidden, *scored)).sizes}
    if shown.random and not _same_by_any_chance(reference, sizes):
        raise BadReferenceError(
            f"the reference draws random numbers ({shown.random}), so that nothing can be "
            "compared; --eval takes a module in evaluation mode, where functional.dropout needs "
            "training=self.training; draw what is part of the problem in get_inputs"
        )
    if not shown.random:
        _call_twice(reference, sizes, shown)
    names = [t.name for t in tensors if t.role == "input"]
    if any(t.role == "input" and t.dtype.lstrip("u").startswith("int") for t in tensors):
        # whether sums of whole numbers stay in range is seen where they are longest
        sizes = {**fixed, **_longest(scored, smallest).sizes}
    progress(f"{len(DISTRIBUTIONS)} distributions of inputs")
    numbers, kinds = fitting_distributions(reference, sizes, names)
    if not masks_rows(families(shown.operations)):
        kinds = tuple(kind for kind in kinds if kind != MASKED)
    if leaves_order_open(shown.operations):
        kinds = tuple(kind for kind in kinds if kind not in TIED)
    spec = ReferenceSpec(
        kind=reference.kind, origin=wishes.origin, name=wishes.name, title=wishes.title,
        language=wishes.language, evaluation_mode=wishes.evaluation_mode, overrides=fixed,
        axes=axes, tensors=tensors, scored=scored, hidden=hidden, distributions=kinds,
        numbers=numbers, families=families(shown.operations), compiled=wishes.compiled,
        modes=shown.drawn.modes, remarks=tuple(remarks),
    )  # fmt: skip
    progress("outputs that jump between near ties")
    jumping = jumping_outputs(reference, sizes)
    progress("the axis along which slices are independent")
    independent = independent_slices(reference, spec)
    return spec.model_copy(update={"jumping": jumping, "independent": independent})


def _remarks(
    reference: Reference, base: Sizes, wishes: Wishes, first: Look, shown: Look
) -> list[str]:
    """What was changed or left out, for the person."""
    remarks = []
    if shown is not first:
        changed = {n: v for n, v in base.items() if n not in wishes.sizes}
        reduced = ", ".join(f"{n} {reference.constants[n]} → {v}" for n, v in changed.items())
        remarks.append(f"sizes were reduced for this machine: {reduced}")
    unused = [n for n in (*first.drawn.inputs, *first.drawn.weights) if n not in first.used]
    unused = [n for n in unused if n not in reference.filled]
    if reference.filled:
        remarks.append(f"only written to, so outputs: {', '.join(sorted(reference.filled))}")
    if unused:
        remarks.append(f"not read by the reference, and left out: {', '.join(unused)}")
    if first.kept:
        remarks.append(
            f"the module writes to its buffer {', '.join(first.kept)}: a kernel is given its value "
            "before the call, and what is written there is not compared"
        )
    return remarks


def _telling(cases: Sequence[Case]) -> Case:
    """The case of fewest operations that has room for rows that differ; without one the smallest.

    Along an axis of size 1 a softmax is constant, and nothing is left of a normalisation.
    """
    for least in (TELLING, 2, 1):
        wide = [case for case in cases if min(case.sizes.values(), default=1) >= least]
        if wide:
            break
    return min(wide, key=lambda case: case.flops)


def _longest(scored: tuple[Case, ...], smallest: Case) -> Case:
    """The scored case of most operations that is quickly run here; without one the smallest."""
    quick = [c for c in scored if c.flops <= QUICK_FLOPS and c.bytes <= WITH_DATA]
    return max(quick, key=lambda case: case.flops, default=smallest)


def _call_twice(reference: Reference, sizes: Sizes, shown: Look) -> None:
    """Raises BadReferenceError where outputs with data have another dtype than `shown`, or a second
    call with the same inputs gives other outputs.

    In the same bits: on one thread the order in which numbers are added is the same.
    """
    import torch

    with torch.no_grad():
        try:
            drawn = reference.draw(sizes, 7, "cpu")
            tensors = {**drawn.inputs, **drawn.weights}
            first = {name: tensor.clone() for name, tensor in drawn.outputs(tensors).items()}
            again = drawn.outputs(tensors)
        except Exception:  # it is told where distributions are looked at
            return
    for name, tensor in first.items():
        if name in shown.outputs and tensor.dtype != shown.outputs[name].dtype:
            raise BadReferenceError(
                f"the dtype of {name} depends on the device ({shown.outputs[name].dtype} without "
                f"data, {tensor.dtype} on the processor), as under torch.autocast: say it where it "
                "changes, such as x.to(torch.bfloat16) @ w.to(torch.bfloat16)"
            )
        other = again[name]
        if tensor.shape != other.shape or not torch.equal(tensor.nan_to_num(), other.nan_to_num()):
            raise BadReferenceError(
                "the reference gives other outputs when it is called again with the same inputs, "
                "so it keeps something from call to call: make that an input and an output of "
                "forward"
            )


def _same_by_any_chance(reference: Reference, sizes: Sizes) -> bool:
    """Whether outputs are the same for any state of torch's generator.

    So it is where a reference makes a module and then replaces its random weights.
    """
    import torch

    runs = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for seed in range(3, 9):  # few values, or a small chance, may be the same by chance
            drawn = reference.draw(sizes, 7, "cpu")
            torch.manual_seed(seed)
            try:
                runs.append(drawn.outputs({**drawn.inputs, **drawn.weights}))
            except Exception:  # it is told where distributions are looked at
                return False
    return all(
        torch.equal(tensor, run[name]) for run in runs[1:] for name, tensor in runs[0].items()
    )


def _first_look(reference: Reference, sizes: Sizes) -> tuple[Sizes, Look]:
    """A look at these sizes; where they are too large to run with data, at its own small ones."""
    try:
        return sizes, look(reference, sizes)
    except BadReferenceError:
        if not reference.small or reference.small == sizes:
            raise
        small = {**reference.small, **sizes}
        return small, look(reference, small)


def _fit(reference: Reference, base: Sizes, first: Look, wishes: Wishes) -> tuple[Sizes, Look]:
    """Halves the largest constant that makes the problem smaller, until it fits the limits."""
    current, shown = dict(base), first
    while shown.flops > wishes.most_flops or shown.bytes > wishes.most_bytes:
        values = {**reference.constants, **current}
        free = [n for n in values if n not in wishes.sizes and values[n] >= 2]
        for name in sorted(free, key=lambda n: -values[n]):
            smaller = {**current, name: values[name] // 2}
            again = _seen(reference, smaller)
            if again is not None and (again.flops < shown.flops or again.bytes < shown.bytes):
                current, shown = smaller, again
                break
        else:
            if _tolerable(shown, wishes):
                break
            raise BadReferenceError(
                f"one run takes {shown.flops:.2g} operations and {shown.bytes / 1e6:.0f} MB, and "
                "no constant of the file makes it smaller: give its sizes names at the top of the "
                "file, such as N = 4096, which --set can change too, or allow it with --full-size"
            )
    return current, shown


def _seen(reference: Reference, sizes: Sizes, like: Look | None = None) -> Look | None:
    """A look at these sizes; None where the reference does not run with them, or is not `like`
    another look: reads other tensors, or gives outputs of other ranks or dtypes."""
    try:
        again = look(reference, sizes)
    except BadReferenceError:
        return None
    return again if like is None or _same_program(like, again) else None


def _tolerable(shown: Look, wishes: Wishes) -> bool:
    """Whether a problem above the limits is still acceptable, since it cannot be made smaller."""
    return (
        shown.flops <= TOLERATED * wishes.most_flops
        and shown.bytes <= TOLERATED * wishes.most_bytes
    )


def _axes(reference: Reference, base: Sizes, shown: Look) -> tuple[str, ...]:
    """Constants that change the shape of an input, of no weight, and that may be other numbers."""
    axes = []
    before = {n: tuple(t.shape) for n, t in shown.drawn.inputs.items()}
    weights = {n: tuple(t.shape) for n, t in shown.drawn.weights.items()}
    for name, value in {**reference.constants, **base}.items():
        other = value + 1 if value < 64 else value // 2 + 1
        again = _seen(reference, {**base, name: other})
        if again is None:
            continue
        inputs = {n: tuple(t.shape) for n, t in again.drawn.inputs.items()}
        kept = {n: tuple(t.shape) for n, t in again.drawn.weights.items()} == weights
        ranks = {n: len(s) for n, s in inputs.items()} == {n: len(s) for n, s in before.items()}
        if kept and ranks and inputs != before and _same_program(shown, again):
            axes.append(name)
    return tuple(axes)


def _same_program(one: Look, other: Look) -> bool:
    """The same tensors are read and outputs of the same ranks and dtypes written."""
    kinds = [{n: (t.dim(), t.dtype) for n, t in look.outputs.items()} for look in (one, other)]
    return one.used == other.used and kinds[0] == kinds[1]


def _tensors(shown: Look) -> tuple[Tensor, ...]:
    tensors = []
    groups: tuple[tuple[Literal["input", "weight", "output"], dict[str, torch.Tensor]], ...] = (
        ("input", shown.drawn.inputs),
        ("weight", shown.drawn.weights),
        ("output", shown.outputs),
    )
    for role, group in groups:
        for name, tensor in group.items():
            if role == "output" or name in shown.used:
                try:
                    kind = dtypes.of(tensor).name
                except ValueError as error:
                    raise BadReferenceError(str(error)) from error
                tensors.append(Tensor(name=name, dtype=kind, role=role, source=name))
    if len(tensors) > MOST_TENSORS:
        raise BadReferenceError(
            f"the reference reads and writes {len(tensors)} tensors, most of them weights; at most "
            f"{MOST_TENSORS} can be passed to one kernel: take a part of the module"
        )
    if not any(t.role in {"input", "weight"} for t in tensors):
        raise BadReferenceError(
            "the reference computes nothing of its inputs: it returns them, or constants"
        )
    return tuple(tensors)


def _case(name: str, sizes: Sizes, shown: Look) -> Case:
    every = {**shown.tensors, **shown.outputs}
    return Case(
        name=name,
        sizes=sizes,
        shapes={n: tuple(t.shape) for n, t in every.items()},
        flops=max(1.0, shown.flops),
        bytes=shown.bytes,
    )


def looked(
    reference: Reference, overrides: Sizes, configuration: Configuration, hidden: bool
) -> Case:
    """The reference at the sizes of a configuration.

    Raises EvaluatorError where it does not run at them, which names none of a hidden one.
    """
    sizes = {name: int(value) for name, value in configuration.parameters.items()}
    try:
        return _case(configuration.name, sizes, look(reference, {**overrides, **sizes}))
    except BadReferenceError as error:
        if not hidden:
            asked = ", ".join(f"{name}={size}" for name, size in sizes.items())
            raise EvaluatorError(f"{asked} cannot be a shape of this task: {error}") from error
        raise EvaluatorError(
            "the reference does not run at sizes that were drawn for a hidden case: start the run"
            " again, which draws others, or make the task again with avo task from"
        ) from error


def _half(reference: Reference, base: Sizes, full: Sizes, shown: Look) -> tuple[Case, ...]:
    """A second scored configuration: every axis halved, where that runs."""
    sizes = {name: max(SMALLEST, value // 2) for name, value in full.items()}
    if sizes == full:
        return ()
    again = _seen(reference, {**base, **sizes}, like=shown)
    return (_case("half", sizes, again),) if again is not None else ()


def _hidden(reference: Reference, base: Sizes, full: Sizes, shown: Look) -> list[Case]:
    """Cases with other sizes, none larger than what is scored."""
    cases: list[Case] = []
    others = {name: other_sizes(value) for name, value in full.items()}
    choices = [
        {
            name: sizes[(index + turn) % len(sizes)]
            for turn, (name, sizes) in enumerate(others.items())
        }
        for index in range(MOST_HIDDEN)
    ]
    # where windows and strides need more room, such as of a pooling
    choices += [{n: max(1, v - 1) for n, v in full.items()}]
    choices += [{n: max(1, min(v, (v * 3 // 4) | 1)) for n, v in full.items()}]
    for index, sizes in enumerate(choices if full else []):
        if len(cases) >= MOST_HIDDEN:
            break
        if sizes == full or any(sizes == case.sizes for case in cases):
            continue
        again = _seen(reference, {**base, **sizes}, like=shown)
        if again is not None and all(t.numel() for t in again.outputs.values()):
            cases.append(_case(f"odd-{index + 1}", sizes, again))
    cases += _above(reference, base, full, shown)
    return [_pattern(reference, base, full, shown, case) for case in cases]


def _pattern(reference: Reference, base: Sizes, full: Sizes, shown: Look, case: Case) -> Case:
    """The case, as a pattern where the reference runs at sizes that are drawn near it."""
    chance = random.Random(case.name)  # noqa: S311
    for _ in range(DRAWS):
        again = _seen(reference, {**base, **near(case, full, chance)}, like=shown)
        if again is None or not all(t.numel() for t in again.outputs.values()):
            return case
    return case.replaced(pattern=True)


def _above(reference: Reference, base: Sizes, full: Sizes, shown: Look) -> Iterator[Case]:
    """For each axis cases in which it is longer than what is scored, and all others are short:
    a little, and as far as the reference runs without more work than is scored."""
    for axis, value in full.items():
        if value <= LARGE:
            continue
        sizes = {name: min(SHORT, size) for name, size in full.items()}
        sizes[axis] = value + max(1, value // 4) | 1
        again = _seen(reference, {**base, **sizes}, like=shown)
        if again is not None and again.flops <= max(shown.flops, QUICK_FLOPS):
            yield _case(f"{ABOVE}{axis}", sizes, again)
        for factor in FAR_FACTORS:
            far = {**sizes, axis: value * factor | 1}
            again = _seen(reference, {**base, **far}, like=shown)
            if again is None or again.bytes > max(shown.bytes, QUICK_BYTES):
                continue
            if again.flops <= max(shown.flops, QUICK_FLOPS):
                yield _case(f"{FAR}{axis}", far, again)
                break


def main() -> None:
    """Derives one reference. The reply has `spec` or `error`."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    wishes = Wishes(**request["wishes"])

    def tell(what: str) -> None:
        with Path(PROGRESS).open("a", encoding="utf-8") as file:
            file.write(f"{what}\n")

    try:
        companions = Companions.model_validate(request["companions"])
        mode = wishes.evaluation_mode
        reference = read(request["text"], request["file"], mode, companions)
        reply: dict[str, object] = {"spec": derive(reference, wishes, tell).model_dump(mode="json")}
    except BadReferenceError as error:
        reply = {"error": str(error)}
    Path(sys.argv[2]).write_text(json.dumps(reply), encoding="utf-8")


if __name__ == "__main__":
    main()
