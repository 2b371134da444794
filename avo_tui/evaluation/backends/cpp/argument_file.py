"""The file that tells a program of the harness what to call a candidate with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from avo_tui.evaluation.input_files import DrawnInputs, InputFile
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.task import Task


def argument_file(task: Task, drawn: DrawnInputs, files: Sequence[InputFile]) -> str:
    """The lines of `arguments.txt`, one an argument: see native/sampler.cpp."""
    inputs = {file.name: file for file in files}
    outputs = task.outputs(drawn.configuration)
    lines = []
    for argument in task.arguments:
        if argument.kind == "input":
            file = inputs[argument.name]
            lines.append(f"i {file.file} {file.bytes}")
        elif argument.kind == "output":
            shape, dtype = outputs[argument.name]
            lines.append(f"o {math.prod(shape) * dtypes.dtype(dtype).bytes}")
        else:
            value = drawn.configuration.parameters[argument.name]
            real = argument.kind == "real"
            lines.append(f"r {float(value)!r}" if real else f"v {int(value)}")
    return "\n".join([*lines, ""])
