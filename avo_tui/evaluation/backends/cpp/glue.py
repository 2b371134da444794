"""Generates, from a task's arguments, the header a candidate includes and the runner's call."""

from __future__ import annotations

import re
from pathlib import Path

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
