"""A task's arguments as a candidate's header, the runner's call, and files for other programs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from avo_tui.evaluation.input_files import DrawnInputs, InputFile
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import Argument, Task

NATIVE = Path(__file__).resolve().parent / "native"
HEADER = "task.h"

ELEMENTS = {
    "float64": "double",
    "float32": "float",
    "float16": "_Float16",
    "bfloat16": "uint16_t",  # its bits: the upper half of a float
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "uint32": "uint32_t",
    "uint64": "uint64_t",
    "bool": "bool",
    "float8_e4m3fn": "uint8_t",  # its bits
    "float8_e5m2": "uint8_t",
    "complex64": "float",  # real and imaginary parts in turn
    "complex128": "double",
}
"""torch's name → the type in C++."""
DTYPES = tuple(ELEMENTS)
"""Every element type that can be passed, by torch's name."""


def _type(argument: Argument) -> str:
    if argument.dtype not in ELEMENTS:
        known = ", ".join(ELEMENTS)
        raise EvaluatorError(
            f"argument {argument.name} is {argument.dtype}, which a C++ task cannot have; there "
            f"are: {known}"
        )
    element = ELEMENTS[argument.dtype]
    return {
        "input": f"const {element}*",
        "output": f"{element}*",
        "size": "int64_t",
        "flag": "bool",
        "real": "float",
    }[argument.kind]


def _value(argument: Argument, index: int) -> str:
    value = f"values[{index}]"
    return {
        "input": f"static_cast<{_type(argument)}>({value}.pointer)",
        "output": f"static_cast<{_type(argument)}>({value}.pointer)",
        "size": f"{value}.integer",
        "flag": f"{value}.integer != 0",
        "real": f"static_cast<float>({value}.real)",
    }[argument.kind]


def header(task: Task) -> str:
    """`task.h`: the entry point's declaration. A candidate may include it, or declare it itself."""
    return f"#pragma once\n#include <cstdint>\n\n{declaration(task)}\n"


PROTOTYPE = "avo_entry_point.h"
"""Included before every source: the entry point of a candidate has the task's types or does not
compile, whether or not it includes `task.h`."""

_BUILT_IN = re.compile(r"\b(u?)int(8|16|32|64)_t\b")


def declaration(task: Task) -> str:
    """The entry point's declaration, as in `task.h`."""
    parameters = ", ".join(f"{_type(a)} {a.name}" for a in task.arguments)
    return f'extern "C" void {task.entry}({parameters});'


def prototype(task: Task) -> str:
    """PROTOTYPE: the declaration for C and C++, without any header, so that a source may still
    choose what it defines before its own includes."""
    one = declaration(task).removeprefix('extern "C" ')
    own = _BUILT_IN.sub(lambda m: f"__{m[1].upper()}INT{m[2]}_TYPE__", one)
    in_c = own.replace("bool ", "_Bool ").replace("bool*", "_Bool*")
    return f'#ifdef __cplusplus\nextern "C" {own}\n#else\n{in_c}\n#endif\n'


def glue(task: Task) -> str:
    """`glue.h` of the runner: how the entry point is called with bound values."""
    types = ", ".join(_type(a) for a in task.arguments)
    values = ",\n        ".join(_value(a, i) for i, a in enumerate(task.arguments))
    return (
        f"constexpr int ARGUMENTS = {len(task.arguments)};\n"
        f"using Entry = void (*)({types});\n\n"
        "inline void invoke(void* entry, const Value* values) {\n"
        f"    reinterpret_cast<Entry>(entry)(\n        {values});\n}}\n"
    )


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


INPUTS_HEADER = "inputs.h"
"""Its name, beside the files."""


def c_header(drawn: DrawnInputs, files: tuple[InputFile, ...]) -> str:
    """A header for C and C++ that reads the files: `inputs_NAME()` for each, and the sizes.

    Arrays begin at addresses that are multiples of 64 bytes and may be written to. What the
    configuration gives (sizes, flags) are constants `INPUTS_NAME`.
    """
    lines = [
        f"// {drawn.about}: as the harness draws them.",
        "// inputs_NAME() gives the elements of NAME.bin; INPUTS_NAME is a size or a flag.",
        "#ifndef INPUTS_H",
        "#define INPUTS_H",
        "#include <stdbool.h>",
        "#include <stdint.h>",
        "#include <stdio.h>",
        "#include <stdlib.h>",
        _READ,
    ]
    for name, value in drawn.configuration.parameters.items():
        if isinstance(value, str):
            continue
        text = str(value).lower() if isinstance(value, bool) else repr(value)
        lines.append(f"#define INPUTS_{name} {text}")
    for file in files:
        shape = " x ".join(str(size) for size in file.shape) or "one element"
        kind = ELEMENTS[file.dtype]
        lines += [
            f"// {file.name}: {shape}, {file.dtype}",
            f"static inline {kind}* inputs_{file.name}(void) {{",
            f"    static {kind}* data;",
            f'    if (data == NULL) data = ({kind}*)inputs_read("{file.file}", {file.bytes});',
            "    return data;",
            "}",
        ]
    return "\n".join([*lines, "#endif", ""])


_READ = """\
static inline void* inputs_read(const char* name, size_t bytes) {
    void* data = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    FILE* file = fopen(name, "rb");
    if (data == NULL || file == NULL || fread(data, 1, bytes, file) != bytes) {
        fprintf(stderr, "%s cannot be read\\n", name);
        exit(1);
    }
    fclose(file);
    return data;
}"""
