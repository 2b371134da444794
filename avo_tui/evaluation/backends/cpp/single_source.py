"""A C++ candidate as one file that g++ compiles: its entry point is what C can call already."""

from __future__ import annotations

from collections.abc import Sequence

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import SingleSource
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cpp import flags, glue
from avo_tui.evaluation.c_names import c_name
from avo_tui.evaluation.flatten import FlattenError, flatten
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import Task


def merged(task: Task, candidate: Candidate, roots: Sequence[str]) -> Candidate:
    """The candidate as one file; `roots` are the files that are compiled. Raises EvaluatorError."""
    files = {**candidate.files, glue.HEADER: glue.header(task)}
    try:
        flat = flatten(files, roots)
    except FlattenError as error:
        raise EvaluatorError(str(error)) from error
    headers = "\n".join(f"#include <{header}>" for header in flat.headers)
    return Candidate(files={f"{c_name(task.entry)}.cpp": f"{headers}\n\n{flat.text}\n"})


def single_source(
    task: Task, one: Candidate, configurations: Sequence[Configuration], compiler: str
) -> SingleSource:
    """`one` is the merged candidate, known to compile; `compiler` is named in the command."""
    (name, text), *_ = one.files.items()
    stem = name.rpartition(".")[0]
    options = [*flags.FIXED, *flags.declared_flags(one)]
    command = (compiler, *options, name, "-o", f"lib{stem}.so")
    about = f"// {stem}: compile it with\n//     {' '.join(command)}\n\n"
    return SingleSource(
        name=name,
        text=about + text,
        header=_header(task, stem),
        command=command,
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
