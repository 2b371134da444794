"""The descriptor of the C++ backend."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.cpp.glue import DTYPES
from avo_tui.evaluation.backends.descriptor import BackendDescriptor, BackendOptions
from avo_tui.evaluation.finding import Finding


def _make(options: BackendOptions) -> Backend:
    from avo_tui.evaluation.backends.cpp.backend import CppBackend

    return CppBackend()


def _examine() -> Sequence[Finding]:
    from avo_tui.evaluation.backends.cpp.doctor import examine_compiler

    return [asyncio.run(examine_compiler())]


DESCRIPTOR = BackendDescriptor(
    language="cpp",
    label="C++ compiled with g++ or clang++, run on this machine's processor",
    make=_make,
    suffixes=(".cpp", ".cc", ".cxx", ".h", ".hpp"),
    dtypes=DTYPES,
    examine=_examine,
)
