"""The descriptor of the C++ backend."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence

from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.cpp.glue import DTYPES
from avo_tui.evaluation.backends.descriptor import BackendDescriptor, BackendOptions
from avo_tui.evaluation.finding import Finding, State
from avo_tui.evaluation.ports import EvaluatorError


def _make(options: BackendOptions) -> Backend:
    from avo_tui.evaluation.backends.cpp.backend import CppBackend

    return CppBackend()


def _examine() -> Sequence[Finding]:
    return [asyncio.run(_compiler())]


async def _compiler() -> Finding:
    from avo_tui.evaluation.backends.cpp.toolchain import find_toolchain

    try:
        toolchain = await find_toolchain()
    except EvaluatorError as error:
        return Finding(name="compiler", state="fail", text=str(error))
    tools = "" if shutil.which("objdump") else "; without objdump there are no instruction counts"
    state: State = "ok" if not tools else "warn"
    return Finding(
        name="compiler", state=state, text=f"{toolchain.version} at {toolchain.compiler}{tools}"
    )


DESCRIPTOR = BackendDescriptor(
    language="cpp",
    label="C++ compiled with g++ or clang++, run on this machine's processor",
    make=_make,
    suffixes=(".cpp", ".cc", ".cxx", ".h", ".hpp"),
    dtypes=DTYPES,
    examine=_examine,
)
