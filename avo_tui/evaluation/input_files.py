"""The inputs of timed calls as files, for programs that experiment on them.

A kernel's author can then time or test parts of it on exactly what the harness feeds it: the same
function draws the values, from a configuration, a kind of inputs and a seed. A harness uses a fresh
seed for every call, so that knowing these values tells nothing about a later call's.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.domain.questions import InputsWanted
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import Task

if TYPE_CHECKING:
    import torch

MOST_BYTES = 1 << 30
"""Largest size of all files together."""


@dataclass(frozen=True)
class DrawnInputs:
    """One set of inputs: a configuration, the kind of its values, and the seed they come from."""

    configuration: Configuration
    kind: str
    seed: int

    @property
    def about(self) -> str:
        """What the inputs are, as part of a sentence."""
        return f"{self.configuration.name}, inputs of the kind '{self.kind}', seed {self.seed}"


def drawn_inputs(task: Task, wanted: InputsWanted) -> DrawnInputs:
    """What is meant by a configuration's name and a kind of inputs.

    Only what is public: scored configurations, and kinds of inputs that are timed or used in a
    public case of the check. Raises EvaluatorError that lists them.
    """
    scored = {c.name: c for c in task.configurations}
    name = wanted.configuration or next(iter(scored))
    if name not in scored:
        raise EvaluatorError(
            f"there is no scored configuration {name!r}; there are: {', '.join(scored)}"
        )
    kinds = [*task.timed, *(c.distribution for c in task.check_cases() if not c.hidden)]
    kinds = list(dict.fromkeys(kinds))
    kind = wanted.kind or kinds[0]
    if kind not in kinds:
        raise EvaluatorError(f"there are no inputs of the kind {kind!r}; kinds: {', '.join(kinds)}")
    return DrawnInputs(scored[name], kind, wanted.seed)


@dataclass(frozen=True)
class InputFile:
    """The elements of one tensor, one after the other as in memory."""

    name: str
    file: str
    shape: tuple[int, ...]
    dtype: str
    """Element type, by torch's name."""
    bytes: int


def write_input_files(task: Task, drawn: DrawnInputs, folder: Path) -> tuple[InputFile, ...]:
    """Draw the inputs and write each to `NAME.bin`.

    Returns the files in the order of the inputs. Raises EvaluatorError where they are larger than
    `MOST_BYTES` or cannot be written.
    """
    inputs = task.make_inputs(drawn.configuration, drawn.seed, drawn.kind)
    size = sum(tensor.numel() * tensor.element_size() for tensor in inputs.values())
    if size > MOST_BYTES:
        raise EvaluatorError(
            f"the inputs of {drawn.configuration.name} are {size >> 20} MiB, more than the"
            f" {MOST_BYTES >> 20} MiB that are written; take a smaller configuration"
        )
    files = []
    for name, tensor in inputs.items():
        data = _raw(tensor)
        file = f"{name}.bin"
        try:
            (folder / file).write_bytes(data)
        except OSError as error:
            raise EvaluatorError(f"{folder / file} cannot be written: {error.strerror}") from error
        dtype = str(tensor.dtype).removeprefix("torch.")
        files.append(InputFile(name, file, tuple(tensor.shape), dtype, len(data)))
    return tuple(files)


def _raw(tensor: torch.Tensor) -> bytes:
    """The elements of a tensor as they lie in memory, row by row; without numpy, which torch does
    not bring along."""
    flat = tensor.detach().cpu().contiguous()
    if flat.numel() == 0:
        return b""
    return ctypes.string_at(flat.data_ptr(), flat.numel() * flat.element_size())
