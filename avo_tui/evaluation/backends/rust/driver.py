"""Rust candidates: one crate without the standard library, as a shared object with C's linkage.

The standard library brings threads, files and clocks along, which no candidate may use; `core`,
and the C library's mathematics and memory, are what there is.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.compiler_flags import FLAGS_LINE
from avo_tui.domain.deployment import Build
from avo_tui.evaluation.backends.cpp.flags import FlagError
from avo_tui.evaluation.backends.cpp.single_source import Standalone, file_name, library_name
from avo_tui.evaluation.backends.cpp.toolchain import Toolchain, cpu_features, cpu_model
from avo_tui.evaluation.backends.rust.modules import inlined
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
_START = """#![no_std]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    extern "C" {
        fn abort() -> !;
    }
    unsafe { abort() }
}

"""


async def _output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    text, _ = await process.communicate()
    if process.returncode != 0:
        raise EvaluatorError(f"{' '.join(command)} fails; set RUSTC to a working compiler of Rust")
    return text.decode(errors="replace").strip()


class RustDriver:
    """rustc; the one that rustup stands for, where it is rustup's."""

    label = "Rust"
    suffixes = (".rs",)

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
        real = Path(await _output(path, "--print", "sysroot")) / "bin" / "rustc"
        compiler = str(real) if real.is_file() else path
        cpu = f"{cpu_model()} {' '.join(sorted(cpu_features()))}"
        return Toolchain(compiler, await _output(compiler, "--version"), cpu)

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

    def options(self, candidate: Candidate) -> tuple[str, ...]:
        """The fixed ones and those of `// flags:` lines. Raises FlagError."""
        wanted = []
        for name, text in candidate.files.items():
            for flag in " ".join(FLAGS_LINE.findall(text)).split():
                if not _ALLOWED.fullmatch(flag):
                    raise FlagError(
                        f"{name} asks for the compiler flag {flag}, which is not allowed"
                    )
                wanted.append(flag)
        return (*FIXED, *dict.fromkeys(wanted))

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

    def standalone(self, task: Task, one: Candidate, compiler: str) -> Standalone:
        """A crate of one file, with its panic handler."""
        (name, text), *_ = one.files.items()
        command = (compiler, *self.options(one), *_SHARED, name, "-o", library_name(task))
        return Standalone(f"{_START}pub mod candidate {{\n{text}\n}}\n", command)

    def build(self, task: Task, candidate: Candidate, roots: Sequence[str]) -> Build:
        """By rustc, which setuptools does not know."""
        command = ("rustc", *self.options(candidate), *_SHARED, ROOT, "-o", "OUTPUT")
        return Build(
            entry=task.entry,
            files={ROOT: self.files(task, roots)[ROOT]},
            command=command,
            compiler_variable="RUSTC",
        )
