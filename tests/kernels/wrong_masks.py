"""Masks that a kernel with dropout might use by mistake, and what a task's judge says of them."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.judge import Expected, Judgement, expect, judge
from avo_tui.evaluation.problems import dropout, dropout_mask
from avo_tui.evaluation.problems.dropout import DropoutTask
from avo_tui.evaluation.tasks import load_task

Tensors = dict[str, torch.Tensor]
Mask = Callable[[torch.Tensor, int, int, int, int], torch.Tensor]

SMALL = dropout.shape("small", 2, 256, 192, 4, 2)
REAL = dropout_mask.keep_mask
HEADS = int(SMALL.parameters["heads"])


def one_wrong_bit(seed: torch.Tensor, head: int, start: int, stop: int, keys: int) -> torch.Tensor:
    mask = REAL(seed, head, start, stop, keys)
    if head == 5:
        mask[130 - start, 77] ^= True
    return mask


def eight_bits_for_an_element(
    seed: torch.Tensor, head: int, start: int, stop: int, keys: int
) -> torch.Tensor:
    """A byte of each word, as FlashAttention draws: 26 of 256 dropped instead of a tenth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dropout_mask, "DROP_BELOW", 26 << 24)
        return REAL(seed, head, start, stop, keys)


MUTANTS = {
    "no dropout": lambda s, h, a, b, n: torch.ones(b - a, n, dtype=torch.bool),
    "the same mask in every head": lambda s, h, a, b, n: REAL(s, h // HEADS * HEADS, a, b, n),
    "the same mask in the heads of a group": lambda s, h, a, b, n: REAL(s, h // 2 * 2, a, b, n),
    "the same mask in every batch": lambda s, h, a, b, n: REAL(s, h % HEADS, a, b, n),
    "the same mask in every row": lambda s, h, a, b, n: REAL(s, h, 0, 16, n)[:1].expand(b - a, n),
    "rows repeat after 128": lambda s, h, a, b, n: torch.cat([REAL(s, h, 0, 128, n)] * 2)[a:b],
    "keys repeat after 128": lambda s, h, a, b, n: REAL(s, h, a, b, 128).repeat(1, n // 128),
    "rows and keys exchanged": lambda s, h, a, b, n: REAL(s, h, 0, n, n).T[a:b],
    "halves of 16 rows exchanged": lambda s, h, a, b, n: (
        REAL(s, h, a, b, n).view(-1, 2, 8, n).flip(1).reshape(b - a, n)
    ),
    "neighbouring keys exchanged": lambda s, h, a, b, n: (
        REAL(s, h, a, b, n).view(b - a, -1, 2).flip(2).reshape(b - a, n)
    ),
    "a fixed seed": lambda s, h, a, b, n: REAL(torch.zeros_like(s), h, a, b, n),
    "words of the seed exchanged": lambda s, h, a, b, n: REAL(s.flip(0), h, a, b, n),
    "kept and dropped exchanged": lambda s, h, a, b, n: ~REAL(s, h, a, b, n),
    "one wrong bit of 524,288": one_wrong_bit,
    "a byte for each element": eight_bits_for_an_element,
}


def shipped(name: str) -> DropoutTask:
    """A task of the checkout's folder `kernels`."""
    task = load_task(Path(__file__).parents[2] / "kernels" / name)
    assert isinstance(task, DropoutTask)
    return task


def run(
    task: DropoutTask,
    configuration: Configuration,
    inputs: Tensors,
    mask: Mask | None = None,
    **changes: object,
) -> torch.Tensor:
    """The task's own bf16 attention with another mask or constants: what a candidate might do."""
    with pytest.MonkeyPatch.context() as patch:
        if mask is not None:
            patch.setattr(dropout, "keep_mask", mask)
        for name, value in changes.items():
            patch.setattr(dropout, name, value)
        return task.own(configuration, inputs)["o"]


@functools.cache
def expected(task: DropoutTask, distribution: str) -> tuple[Tensors, Expected]:
    """Inputs of the configuration SMALL, and what the judge expects there; computed once."""
    inputs = task.make_inputs(SMALL, 11, distribution)
    reference, own = task.reference(SMALL, inputs), task.own(SMALL, inputs)
    return inputs, expect(reference["o"], own["o"], task.tolerance)


def judged(
    task: DropoutTask, distribution: str, mask: Mask | None = None, **changes: object
) -> Judgement:
    """What the judge says of `run` on the inputs of `expected`."""
    inputs, expectation = expected(task, distribution)
    return judge("o", run(task, SMALL, inputs, mask, **changes), expectation)
