"""How sources of one language become the shared object that the runner loads.

C++, C and Rust differ in no more: check, benchmark, sandbox and runner are the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.cpp import flags, glue
from avo_tui.evaluation.backends.cpp.toolchain import Toolchain, find_toolchain
from avo_tui.evaluation.sandbox.policy import toolchain as prefixes_of
from avo_tui.evaluation.task import Task


class Driver(Protocol):
    """The compiler of one language."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What the names of files that are compiled end in."""

    async def toolchain(self) -> Toolchain:
        """The compiler on this machine. Raises EvaluatorError that says what to install."""

    def reads(self, compiler: str) -> tuple[str, ...]:
        """Folders that the compiler reads, beside those of the system."""

    def files(self, task: Task, roots: Sequence[str]) -> Mapping[str, str]:
        """Files put beside the candidate's `roots`: the entry point's declaration, say."""

    def options(self, candidate: Candidate) -> tuple[str, ...]:
        """The compiler's options, those of the candidate included. Raises FlagError."""

    def library(
        self, compiler: str, options: Sequence[str], roots: Sequence[str]
    ) -> tuple[str, ...]:
        """The command that makes `candidate.so` of the candidate's files."""

    def program(self, roots: Sequence[str]) -> tuple[str, ...]:
        """Arguments that make `program` of files with a `main`."""


class CppDriver:
    """g++ or clang++."""

    suffixes: tuple[str, ...] = (".cpp", ".cc", ".cxx")

    async def toolchain(self) -> Toolchain:
        """$CXX, else g++, else clang++."""
        return await find_toolchain()

    def reads(self, compiler: str) -> tuple[str, ...]:
        """The prefix of the compiler, where it is none of the system's."""
        return tuple(prefixes_of(compiler))

    def files(self, task: Task, roots: Sequence[str]) -> Mapping[str, str]:
        """`task.h`."""
        return {glue.HEADER: glue.header(task)}

    def options(self, candidate: Candidate) -> tuple[str, ...]:
        """The fixed ones and those of `// flags:` lines."""
        return (*flags.FIXED, *flags.declared_flags(candidate))

    def library(
        self, compiler: str, options: Sequence[str], roots: Sequence[str]
    ) -> tuple[str, ...]:
        """All files into one shared object."""
        return (compiler, *options, "-I.", *roots, "-o", "candidate.so")

    def program(self, roots: Sequence[str]) -> tuple[str, ...]:
        """With the warnings on."""
        options = ("-O3", "-march=native", "-fopenmp", "-std=gnu++17", "-Wall", "-Wextra")
        return (*options, "-I.", *roots, "-o", "program")
