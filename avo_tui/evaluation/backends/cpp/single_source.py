"""A candidate as one file for its own compiler: its entry point is what C can call already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import SingleSource
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cpp import glue
from avo_tui.evaluation.flatten import FlattenError, c_name, flatten
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import Task


@dataclass(frozen=True)
class Standalone:
    """One file that needs nothing of the harness, and what compiles it."""

    text: str
    command: tuple[str, ...]
    """Makes a shared object of the file, run in its folder."""


def file_name(task: Task, suffix: str) -> str:
    """What the one file is called: after the entry point, such as `attention.cpp`."""
    return f"{c_name(task.entry)}{suffix}"


def library_name(task: Task) -> str:
    """The shared object that its command makes, such as `libattention.so`."""
    return f"lib{c_name(task.entry)}.so"


def with_includes_in_place(files: Mapping[str, str], roots: Sequence[str], name: str) -> Candidate:
    """Files of C or C++ as the one file `name`; `roots` are compiled. Raises EvaluatorError."""
    try:
        flat = flatten(files, roots)
    except FlattenError as error:
        raise EvaluatorError(str(error)) from error
    headers = "\n".join(f"#include <{header}>" for header in flat.headers)
    return Candidate(files={name: f"{headers}\n\n{flat.text}\n"})


def single_source(
    task: Task, name: str, standalone: Standalone, configurations: Sequence[Configuration]
) -> SingleSource:
    """The file as it is exported, with its C header and where it holds."""
    stem = name.rpartition(".")[0]
    about = f"// {stem}: compile it with\n//     {' '.join(standalone.command)}\n\n"
    return SingleSource(
        name=name,
        text=about + standalone.text,
        header=_header(task, stem),
        command=standalone.command,
        usage=_usage(task, configurations),
    )


def _prototype(task: Task) -> str:
    declared = glue.header(task).split('extern "C" ', 1)[1].strip().rstrip(";")
    return declared.replace("_Float16", "uint16_t")  # its bits: C compilers differ in the name


def _header(task: Task, stem: str) -> str:
    guard = f"{stem.upper()}_H"
    return (
        f"#ifndef {guard}\n#define {guard}\n\n#include <stdbool.h>\n#include <stdint.h>\n\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
        "/* Tensors are contiguous, begin at multiples of 64 bytes and do not overlap. */\n"
        f"{_prototype(task)};\n\n#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {guard} */\n"
    )


def _usage(task: Task, configurations: Sequence[Configuration]) -> str:
    shapes = "\n".join(
        f"- {c.name}: " + ", ".join(f"{n}={v}" for n, v in c.parameters.items())
        for c in configurations
    )
    return (
        f"```c\n{_prototype(task)};\n```\n\nTensors are contiguous, begin at multiples of 64 bytes "
        f"and do not overlap. The kernel was checked on these shapes among others:\n\n{shapes}"
    )
