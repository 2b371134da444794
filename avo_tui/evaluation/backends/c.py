"""C candidates: the same compiler family, flags, header and runner as C++ in another dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.cpp import driver, glue
from avo_tui.evaluation.backends.cpp.glue import DTYPES
from avo_tui.evaluation.backends.cpp.toolchain import Toolchain, find_toolchain
from avo_tui.evaluation.backends.descriptor import BackendDescriptor, BackendOptions
from avo_tui.evaluation.task import Task

DIALECT = "-std=gnu17"


def header(task: Task) -> str:
    """`task.h`: the entry point's declaration in C."""
    return (
        glue.header(task)
        .replace("#include <cstdint>", "#include <stdbool.h>\n#include <stdint.h>")
        .replace('extern "C" ', "")
    )


def _in_c(options: Sequence[str]) -> tuple[str, ...]:
    return tuple(DIALECT if o.startswith("-std=") else o for o in options)


class CDriver(driver.Driver):
    """gcc or clang."""

    label = "C"
    suffixes = (".c",)
    link = ("-lm",)

    async def toolchain(self) -> Toolchain:
        """$CC, else gcc, else clang."""
        return await find_toolchain("CC", ("gcc", "clang"), "C")

    def files(self, task: Task, roots: Sequence[str]) -> Mapping[str, str]:
        """`task.h` in C, and the entry point's types."""
        return {**super().files(task, roots), glue.HEADER: header(task)}

    def declared(self, task: Task) -> str:
        """As `task.h` has it."""
        return super().declared(task).removeprefix('extern "C" ')

    def options(self, candidate: Candidate) -> tuple[str, ...]:
        """Those of C++, in C's dialect."""
        return _in_c(super().options(candidate))

    def program(self, roots: Sequence[str]) -> tuple[str, ...]:
        """As for C++."""
        return (*_in_c(super().program(roots)), *self.link)


def _make(options: BackendOptions) -> Backend:
    from avo_tui.evaluation.backends.cpp.backend import CppBackend

    return CppBackend(CDriver())


def _describe(description: str) -> str:
    return (
        "**Candidates are in C** (gnu17): what follows was written for C++; the entry point is the "
        'same function without `extern "C"`, declared in `task.h`, and the C library\'s '
        f"mathematics, memory and OpenMP may be used.\n\n{description}"
    )


DESCRIPTOR = BackendDescriptor(
    language="c",
    label="C compiled with gcc or clang, run on this machine's processor",
    make=_make,
    suffixes=(".c", ".h"),
    dtypes=DTYPES,
    describe=_describe,
)
