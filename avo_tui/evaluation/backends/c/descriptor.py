"""The descriptor of the C backend."""

from __future__ import annotations

from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.cpp.glue import DTYPES
from avo_tui.evaluation.backends.descriptor import BackendDescriptor, BackendOptions


def _make(options: BackendOptions) -> Backend:
    from avo_tui.evaluation.backends.c.driver import CDriver
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
