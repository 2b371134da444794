"""Finds gaps in a task's check: missing kinds of cases, and errors within the tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.judge import judge
from avo_tui.evaluation.measurement.near_ties import jumping, jumping_text, may_jump
from avo_tui.evaluation.pool import make_expected
from avo_tui.evaluation.task import CheckCase, Task
from avo_tui.evaluation.task_dynamic_checks import CaseSink, all_equal, small_enough

if TYPE_CHECKING:
    import torch


SMALL_FLOPS = 1e8
"""Largest number of operations of a case that is computed for this test."""
SMALL_ELEMENTS = 1 << 20
"""Largest number of output elements of such a case."""
MOST_CASES = 4
TAIL = 4
"""Remainders by this are looked for: the shortest vector whose tail kernels handle apart."""
LARGE = 16
"""A size up to this may never reach the main loop, and so says nothing of what comes after it."""
WIDE = 0.05
"""A tolerance floor above this allows errors of 5% of a row's largest value."""

Mistake = Callable[["torch.Tensor"], "torch.Tensor | None"]
"""Turns a correct output into a wrong one; None if the error is impossible for this output."""


def gaps(task: Task, progress: CaseSink = lambda number, count, case: None) -> Iterator[str]:
    """One sentence for each thing that is missing; nothing where all is there.

    Computes references of the cheapest cases on this machine: a few seconds. `progress` is told
    before each.
    """
    cases = task.check_cases()
    yield from _kinds_of_case(task, cases)
    if not any(c.perturb for c in cases) and not task.all_depends_on_all:
        yield (
            "No case is perturbed: nothing shows that outputs depend on no more than they may "
            "(perturb=True, and Task.perturb; all_depends_on_all = True where there is nothing)."
        )
    yield from _sizes(cases)
    yield from _physics(task)
    small = [c for c in cases if small_enough(task, c.configuration, SMALL_FLOPS, SMALL_ELEMENTS)]
    small.sort(key=lambda c: task.flops(c.configuration))
    yield from _values(task, small)
    yield from _jumps(task, small)
    yield from _mistakes(task, cases, small, progress)


def _kinds_of_case(task: Task, cases: tuple[CheckCase, ...]) -> Iterator[str]:
    hidden = [c for c in cases if c.hidden]
    if not hidden:
        yield "No case is hidden: a kernel may be written for the known shapes alone."
    if any(not c.category for c in hidden):
        yield "A hidden case has no category: its failure will tell the author nothing to act on."
    if not any(c.repeat for c in cases):
        yield "No case is run twice: races and memory that was never set go unseen (repeat=True)."
    kinds = {c.distribution for c in cases}
    if len(kinds) < 3:
        yield f"Inputs come in {len(kinds)} distribution(s) only: {', '.join(sorted(kinds))}."
    if set(task.timed) <= {"normal"}:
        yield "All timed inputs are normally distributed: say others in Task.timed."
    checked = {c.configuration.name for c in cases}
    missing = [c.name for c in task.configurations if c.name not in checked]
    if missing:
        yield f"Scored but never checked: {', '.join(missing)}."


def _sizes(cases: tuple[CheckCase, ...]) -> Iterator[str]:
    """Parameters that have round values only, or not every remainder that a tail can have."""
    values: dict[str, set[int]] = {}
    for case in cases:
        for name, value in case.configuration.parameters.items():
            if isinstance(value, int) and not isinstance(value, bool):
                values.setdefault(name, set()).add(value)
    for name, sizes in values.items():
        if len(sizes) > 1 and all(v % 64 == 0 for v in sizes):
            yield f"Every {name} is a multiple of 64: a last tile that is not whole is never seen."
        large = {v % TAIL for v in sizes if v > LARGE}
        missing = sorted(set(range(TAIL)) - large)
        if missing and any(remainder % 2 for remainder in large):
            told = " or ".join(map(str, missing))
            yield (
                f"No case whose {name} is above {LARGE} leaves a remainder of {told} by {TAIL}: "
                "a last vector that is filled wrongly there is never seen."
            )


def _physics(task: Task) -> Iterator[str]:
    for configuration in task.configurations:
        work = task.work(configuration)
        if not work.flops and not work.bytes:
            yield "flops and bytes_moved are both zero: no rate is impossible."
            return


def _values(task: Task, small: list[CheckCase]) -> Iterator[str]:
    """Distributions whose inputs are those of another, and whole numbers that are all small."""
    if not small:
        return
    configuration = small[-1].configuration
    kinds = dict.fromkeys((*(c.distribution for c in task.check_cases()), *task.timed))
    drawn = {kind: task.make_inputs(configuration, 1, kind) for kind in kinds}
    seen: list[str] = []
    for kind, inputs in drawn.items():
        twin = next((k for k in seen if all_equal(drawn[k], inputs)), None)
        if twin is not None:
            yield f"Inputs of the kind {kind!r} are the same as those of the kind {twin!r}."
        seen.append(kind)
    declared = task.outputs(configuration).values()
    if not any(dtypes.dtype(name).kind == "int" for _, name in declared):
        return
    first = drawn[small[-1].distribution]
    shapes = [*(shape for shape, _ in declared), *(t.shape for t in first.values())]
    longest = max((size for shape in shapes for size in shape), default=1)
    for name, tensor in first.items():
        dtype = dtypes.of(tensor)
        if dtype.kind != "int" or not tensor.numel():
            continue
        largest = max(int(inputs[name].long().abs().max()) for inputs in drawn.values())
        if largest <= longest:
            continue  # it may number rows or columns
        if largest < (1 << min(8 * dtype.bytes - 1, 32)) // 16:
            yield (
                f"No kind of inputs has values of {name} near the limits of {dtype.name} (the "
                f"largest is {largest}): a kernel whose sums overflow is not found."
            )


def recognised(task: Task) -> Iterator[str]:
    """One sentence for each thing that the check does because of what this task computes."""
    if task.families:
        kinds = dict.fromkeys(case.distribution for case in task.check_cases())
        yield f"made of {', '.join(task.families)}: kinds of inputs {', '.join(kinds)}"
    if task.jumping:
        yield jumping_text(task.jumping)


def _jumps(task: Task, small: list[CheckCase]) -> Iterator[str]:
    """Floating-point outputs that jump, though the task does not say so."""
    if not small:
        return
    configuration, kind = small[-1].configuration, small[-1].distribution
    start, end = (task.make_inputs(configuration, seed, kind) for seed in (1, 2))
    try:
        names = jumping(lambda moved: task.reference(configuration, moved), start, end)
    except Exception:  # a reference that does not take what lies between two draws
        return
    outputs = task.outputs(configuration)
    for name in names:
        if not may_jump(name, outputs[name][1], task.jumping):
            yield (
                f"{name} jumps where the reference chooses between nearly equal numbers: a correct"
                f" kernel is now and then refused (jumping = ({name!r},) has it judged where the"
                " reference is sure)."
            )


def _mistakes(
    task: Task, cases: tuple[CheckCase, ...], small: list[CheckCase], progress: CaseSink
) -> Iterator[str]:
    """Wrong outputs that no case finds."""
    for name, (_, kind) in task.outputs(cases[0].configuration).items():
        if task.tolerance_of(name).floor > WIDE and not dtypes.dtype(kind).exact:
            yield f"The tolerance of {name} allows errors beyond {WIDE:.0%} of a row's scale."
    if not small:
        yield f"No case is small enough to be looked at here ({SMALL_FLOPS:.0e} operations)."
        return
    # One of each distribution, the largest of the small ones: tiny shapes show little.
    chosen = list({c.distribution: c for c in small}.values())[:MOST_CASES]
    alive = {
        (name, mistake) for name in task.outputs(cases[0].configuration) for mistake in MISTAKES
    }
    for number, case in enumerate(chosen, 1):
        progress(number, len(chosen), case)
        inputs = task.make_inputs(case.configuration, 1, case.distribution)
        own = task.own(case.configuration, inputs)
        for name, expected in make_expected(task, case.configuration, inputs).items():
            if not judge(name, own[name], expected).ok:
                yield f"The library's own {name} fails on inputs of the kind {case.distribution!r}."
            for mistake, make in MISTAKES.items():
                wrong = make(own[name].contiguous().clone())
                if wrong is None or not judge(name, wrong, expected).ok:
                    alive.discard((name, mistake))
    for name, mistake in sorted(alive):
        yield f"No small case finds that {name} {mistake}."


def _zero(out: torch.Tensor) -> torch.Tensor | None:
    return out.zero_()


def _mean(out: torch.Tensor) -> torch.Tensor | None:
    if not out.is_floating_point() or not out.dim():
        return None
    return out.copy_(out.float().mean(-1, keepdim=True).expand_as(out))


def _one_value(out: torch.Tensor) -> torch.Tensor | None:
    if not out.is_floating_point() or not out.numel():
        return None
    flat = out.view(-1)
    index = int(flat.float().abs().argmax())
    flat[index] = flat[index] * 1.1
    return out


def _scaled(out: torch.Tensor) -> torch.Tensor | None:
    return out.mul_(1.02) if out.is_floating_point() else None


def _last_row(out: torch.Tensor) -> torch.Tensor | None:
    rows = out.reshape(-1, out.shape[-1]) if out.dim() > 1 else out
    if not out.dim() or len(rows) < 2:
        return None
    rows[-1] = rows[-2]
    return rows.reshape(out.shape)


def _turned(out: torch.Tensor) -> torch.Tensor | None:
    return out.flip(-1) if out.dim() and out.shape[-1] > 1 else None


def _three_digits(out: torch.Tensor) -> torch.Tensor | None:
    import torch

    if not out.is_floating_point() or out.element_size() < 2:
        return None
    narrow = torch.bfloat16 if out.element_size() > 2 else torch.float8_e4m3fn
    return out.to(narrow).to(out.dtype)


MISTAKES: dict[str, Mistake] = {
    "is zero": _zero,
    "is the mean of each row": _mean,
    "has one value that is 10% off": _one_value,
    "is 2% too large": _scaled,
    "has the row before in place of the last": _last_row,
    "has its rows turned around": _turned,
    "is kept in half as many bits": _three_digits,
}
"""Description of an error → function that applies it to a correct output."""
