"""Rust candidates: one crate without the standard library, as a shared object with C's linkage.

The standard library brings threads, files and clocks along, which no candidate may use; `core`,
and the C library's mathematics and memory, are what there is.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Build
from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.cpp.driver import Driver, file_name, library_name
from avo_tui.evaluation.backends.cpp.glue import DTYPES
from avo_tui.evaluation.backends.cpp.toolchain import Toolchain, cpu_of, output_of
from avo_tui.evaluation.backends.descriptor import BackendDescriptor, BackendOptions
from avo_tui.evaluation.finding import Finding
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import Task

ROOT = "avo_candidate_root.rs"
"""The generated root of the crate; the candidate's file is a module of it."""
ARCHIVE = "libcandidate.a"
EXPORTS = "exports.map"
_LINK = (
    f'"$@" && cc -shared -o candidate.so -Wl,--whole-archive {ARCHIVE} -Wl,--no-whole-archive '
    f"-Wl,--gc-sections -Wl,--version-script={EXPORTS} -Wl,-z,defs -lm -lc"
)
_ALLOWED = re.compile(
    r"-Copt-level=[123]|-Ccodegen-units=\d{1,3}|-Clto=(fat|thin|off)|-Cno-vectorize-(loops|slp)"
    r"|-Ctarget-feature=[+-][a-z0-9.]+(,[+-][a-z0-9.]+)*|-Cinline-threshold=\d{1,5}"
)
FIXED = (
    "--edition=2021", "-Copt-level=3", "-Ctarget-cpu=native", "-Cpanic=abort", "-Ccodegen-units=1",
)  # fmt: skip
_ARCHIVE = ("--crate-type=staticlib", "--crate-name=candidate")
_SHARED = ("--crate-type=cdylib", "-Clink-arg=-lm", "-Clink-arg=-lc")
"""How rustc itself makes a shared object, outside the sandbox."""
_TROUBLE = "set RUSTC to a working compiler of Rust"
_START = """#![no_std]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    extern "C" {
        fn abort() -> !;
    }
    unsafe { abort() }
}

"""


class RustDriver(Driver):
    """rustc; the one that rustup stands for, where it is rustup's."""

    label = "Rust"
    suffixes = (".rs",)
    fixed = FIXED
    allowed = _ALLOWED
    allowed_are = ""

    async def toolchain(self) -> Toolchain:
        """$RUSTC, else rustc of the PATH, else cargo's own folder."""
        wanted = os.environ.get("RUSTC", "rustc")
        own = Path.home() / ".cargo" / "bin" / wanted
        path = shutil.which(wanted) or shutil.which(str(own))
        if path is None:
            raise EvaluatorError(
                "there is no compiler of Rust; install rustc (or rustup), or set RUSTC"
            )
        if shutil.which("cc") is None:
            raise EvaluatorError("rustc links with cc, which is not there; install gcc")
        real = Path(await output_of(path, "--print", "sysroot", trouble=_TROUBLE)) / "bin" / "rustc"
        compiler = str(real) if real.is_file() else path
        version = await output_of(compiler, "--version", trouble=_TROUBLE)
        return Toolchain(compiler, version, cpu_of())

    def reads(self, compiler: str) -> tuple[str, ...]:
        """The compiler's sysroot."""
        return (str(Path(compiler).resolve().parent.parent),)

    def files(self, task: Task, roots: Sequence[str]) -> Mapping[str, str]:
        """The root of the crate, and the one name that the shared object shows."""
        module = roots[0] if len(roots) == 1 else "./lib.rs"
        return {
            EXPORTS: f"{{ global: {task.entry}; local: *; }};\n",
            ROOT: f'{_START}#[path = "{module.removeprefix("./")}"]\npub mod candidate;\n',
        }

    def declared(self, task: Task) -> str:
        """Without its parameters: the description says their types."""
        return f'#[no_mangle] pub unsafe extern "C" fn {task.entry}(…)'

    def library(
        self, compiler: str, options: Sequence[str], roots: Sequence[str]
    ) -> tuple[str, ...]:
        """The whole crate; other files are modules of the candidate's.

        Linked by us: the sandbox refuses the way in which rustc starts a linker.
        """
        return ("/bin/sh", "-c", _LINK, "rust", compiler, *_ARCHIVE, *options, ROOT, "-o", ARCHIVE)

    def library_by_object(
        self, compiler: str, options: Sequence[str], roots: Sequence[str]
    ) -> None:
        """None: `core` is part of each candidate, and calls nothing that is not allowed."""

    def program(self, roots: Sequence[str]) -> tuple[str, ...]:
        """The first file, with the standard library."""
        return ("--edition=2021", "-Copt-level=3", "-Ctarget-cpu=native", roots[0], "-o", "program")

    def merged(self, task: Task, candidate: Candidate, roots: Sequence[str]) -> Candidate:
        """The modules of the candidate's crate put in place."""
        root = roots[0] if len(roots) == 1 else "lib.rs"
        return Candidate(files={file_name(task, ".rs"): inlined(candidate.files, root)})

    def standalone(self, task: Task, one: Candidate, compiler: str) -> tuple[str, tuple[str, ...]]:
        """A crate of one file, with its panic handler."""
        (name, text), *_ = one.files.items()
        command = (compiler, *self.options(one), *_SHARED, name, "-o", library_name(task))
        return f"{_START}pub mod candidate {{\n{text}\n}}\n", command

    def build(self, task: Task, candidate: Candidate, roots: Sequence[str]) -> Build:
        """By rustc, which setuptools does not know."""
        command = ("rustc", *self.options(candidate), *_SHARED, ROOT, "-o", "OUTPUT")
        return Build(
            entry=task.entry,
            files={ROOT: self.files(task, roots)[ROOT]},
            command=command,
            compiler_variable="RUSTC",
        )


_MODULE = re.compile(
    r"^(?P<before>[ \t]*(?:pub(?:\([^)\n]*\))?[ \t]+)?mod[ \t]+(?P<name>\w+)[ \t]*);", re.MULTILINE
)
_MOST_DEPTH = 32


def inlined(files: Mapping[str, str], root: str) -> str:
    """The text of `root` with its modules in place; files are looked for as rustc does.

    Raises EvaluatorError where `root` is not there, or modules go in a circle.
    """
    if root not in files:
        raise EvaluatorError(f"of several files, one has to be {root}, with the others as modules")
    return _inlined(files, root, posixpath.dirname(root), 0)


def _inlined(files: Mapping[str, str], name: str, folder: str, depth: int) -> str:
    """The text of the file `name`, whose modules are in `folder`."""
    if depth > _MOST_DEPTH:
        raise EvaluatorError(f"{name} has itself as a module")

    def in_place(match: re.Match[str]) -> str:
        inner = posixpath.join(folder, match["name"])
        for path in (f"{inner}.rs", f"{inner}/mod.rs"):
            if path in files:
                return f"{match['before']} {{\n{_inlined(files, path, inner, depth + 1)}\n}}"
        return match[0]  # in a comment, or elsewhere: compiling the result tells

    return _MODULE.sub(in_place, files[name])


def _make(options: BackendOptions) -> Backend:
    from avo_tui.evaluation.backends.cpp.backend import CppBackend

    return CppBackend(RustDriver())


def _examine() -> Sequence[Finding]:
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
