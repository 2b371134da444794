"""The descriptor of the Rust backend."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.cpp.glue import DTYPES
from avo_tui.evaluation.backends.descriptor import BackendDescriptor, BackendOptions
from avo_tui.evaluation.finding import Finding
from avo_tui.evaluation.ports import EvaluatorError


def _make(options: BackendOptions) -> Backend:
    from avo_tui.evaluation.backends.cpp.backend import CppBackend
    from avo_tui.evaluation.backends.rust.driver import RustDriver

    return CppBackend(RustDriver())


def _examine() -> Sequence[Finding]:
    from avo_tui.evaluation.backends.rust.driver import RustDriver

    try:
        toolchain = asyncio.run(RustDriver().toolchain())
    except EvaluatorError as error:
        return [Finding(name="rust", state="warn", text=f"{error}; for tasks in Rust")]
    return [Finding(name="rust", state="ok", text=f"{toolchain.version} at {toolchain.compiler}")]


def _describe(description: str) -> str:
    return (
        "**Candidates are in Rust** (edition 2021, `no_std`): what follows was written for C++. "
        "One file ending in `.rs`, or `lib.rs` with modules, exports the entry point as "
        '`#[no_mangle] pub unsafe extern "C" fn`, with `*const f32` for an input, `*mut f32` for '
        "an output, `i64` for a size and `bool` for a flag. `core` is there with `core::arch`; "
        '`exp`, `malloc` and their kind are declared in an `extern "C"` block. The crate\'s root '
        "and its panic handler are the harness's. A line `// flags: -Ctarget-feature=+avx2` asks "
        f"for further options.\n\n{description}"
    )


DESCRIPTOR = BackendDescriptor(
    language="rust",
    label="Rust compiled with rustc, run on this machine's processor",
    make=_make,
    suffixes=(".rs",),
    dtypes=DTYPES,
    examine=_examine,
    describe=_describe,
)
