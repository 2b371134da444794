"""How sources of one language become the shared object that the runner loads.

Languages differ in this alone: check, benchmark, sandbox and runner are the same for all.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Build
from avo_tui.evaluation.backends.cpp import flags, glue
from avo_tui.evaluation.backends.cpp.single_source import (
    Standalone,
    file_name,
    library_name,
    with_includes_in_place,
)
from avo_tui.evaluation.backends.cpp.toolchain import Toolchain, find_toolchain
from avo_tui.evaluation.sandbox.policy import toolchain as prefixes_of
from avo_tui.evaluation.task import Task


class Driver(Protocol):
    """The compiler of one language."""

    @property
    def label(self) -> str:
        """The language's name in sentences, such as `C++`."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the files to compile."""

    async def toolchain(self) -> Toolchain:
        """The compiler on this machine. Raises EvaluatorError that says what to install."""

    def reads(self, compiler: str) -> tuple[str, ...]:
        """Folders that the compiler reads, beside those of the system."""

    def files(self, task: Task, roots: Sequence[str]) -> Mapping[str, str]:
        """Files to put beside the candidate's `roots`, such as one that declares the entry
        point."""

    def declared(self, task: Task) -> str:
        """How the language declares the entry point, for messages."""

    def options(self, candidate: Candidate) -> tuple[str, ...]:
        """The compiler's options, those of the candidate included. Raises FlagError."""

    def library(
        self, compiler: str, options: Sequence[str], roots: Sequence[str]
    ) -> tuple[str, ...]:
        """The command that makes `candidate.so` of the candidate's files."""

    def library_by_object(
        self, compiler: str, options: Sequence[str], roots: Sequence[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Two commands that together do what `library` does: one that makes OWN_OBJECT, in which
        only the candidate's own code is, and one that links it to `candidate.so`. None if the
        language has no runtime library that could be linked into a candidate."""

    def program(self, roots: Sequence[str]) -> tuple[str, ...]:
        """Arguments that make `program` of files with a `main`."""

    def merged(self, task: Task, candidate: Candidate, roots: Sequence[str]) -> Candidate:
        """The candidate as one file, which compiles as the candidate did.

        `roots` are the files that are compiled. Raises EvaluatorError.
        """

    def standalone(self, task: Task, one: Candidate, compiler: str) -> Standalone:
        """The merged candidate without any file of the harness; `compiler` is its name."""

    def build(self, task: Task, candidate: Candidate, roots: Sequence[str]) -> Build:
        """How the installation of a package compiles the candidate's files."""


OWN_OBJECT = "own.o"
"""The candidate's code without any library's."""
_TYPED = ("-include", glue.PROTOTYPE)
"""A source whose entry point has other types than the task's does not compile."""
_MADE_BY_SETUPTOOLS = frozenset({"-fPIC", "-shared"})


class CppDriver:
    """g++ or clang++."""

    label = "C++"
    suffixes: tuple[str, ...] = (".cpp", ".cc", ".cxx")
    link: tuple[str, ...] = ()
    """Further libraries, behind the files."""

    async def toolchain(self) -> Toolchain:
        """$CXX, else g++, else clang++."""
        return await find_toolchain()

    def reads(self, compiler: str) -> tuple[str, ...]:
        """The prefix of the compiler, where it is none of the system's."""
        return tuple(prefixes_of(compiler))

    def files(self, task: Task, roots: Sequence[str]) -> Mapping[str, str]:
        """`task.h`, and the entry point's types, which hold without it, too."""
        return {glue.HEADER: glue.header(task), glue.PROTOTYPE: glue.prototype(task)}

    def declared(self, task: Task) -> str:
        """As `task.h` has it."""
        return glue.declaration(task).rstrip(";")

    def options(self, candidate: Candidate) -> tuple[str, ...]:
        """The fixed ones and those of `// flags:` lines."""
        return (*flags.FIXED, *flags.declared_flags(candidate))

    def library(
        self, compiler: str, options: Sequence[str], roots: Sequence[str]
    ) -> tuple[str, ...]:
        """All files into one shared object."""
        return (compiler, *options, *_TYPED, "-I.", *roots, "-o", "candidate.so", *self.link)

    def library_by_object(
        self, compiler: str, options: Sequence[str], roots: Sequence[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Each file compiled, a partial link of them, then the rest. Names of linked libraries
        stay hidden, so that no candidate uses the copy of another, or the runner's."""
        objects = [f"{number}-{OWN_OBJECT}" for number in range(len(roots))]
        steps = [
            (compiler, *options, *_TYPED, "-I.", "-c", root, "-o", file)
            for root, file in zip(roots, objects, strict=True)
        ]
        # Without -fopenmp, whose library would be linked even here.
        partial = [option for option in options if option not in ("-shared", "-fopenmp")]
        if "-flto" in options and "clang" not in Path(compiler).name:
            partial.append("-flinker-output=nolto-rel")  # machine code, not GCC's own language
        steps.append((compiler, *partial, "-r", "-nostdlib", *objects, "-o", OWN_OBJECT))
        own = ("/bin/sh", "-c", " && ".join(shlex.join(step) for step in steps))
        hidden = "-Wl,--exclude-libs,ALL"
        linked = (compiler, *options, hidden, OWN_OBJECT, "-o", "candidate.so", *self.link)
        return own, linked

    def program(self, roots: Sequence[str]) -> tuple[str, ...]:
        """The arguments, with warnings switched on."""
        options = ("-O3", "-march=native", "-fopenmp", "-std=gnu++17", "-Wall", "-Wextra")
        return (*options, "-I.", *roots, "-o", "program")

    def merged(self, task: Task, candidate: Candidate, roots: Sequence[str]) -> Candidate:
        """Its own includes put in place, and `task.h`."""
        files = {**candidate.files, **self.files(task, roots)}
        return with_includes_in_place(files, roots, file_name(task, self.suffixes[0]))

    def standalone(self, task: Task, one: Candidate, compiler: str) -> Standalone:
        """The merged file as it is, with the options of the measurement."""
        (name, text), *_ = one.files.items()
        command = (compiler, *self.options(one), name, "-o", library_name(task))
        return Standalone(text, (*command, *self.link))

    def build(self, task: Task, candidate: Candidate, roots: Sequence[str]) -> Build:
        """By setuptools, which knows the compilers of C and C++."""
        options = [f for f in self.options(candidate) if f not in _MADE_BY_SETUPTOOLS]
        return Build(
            flags=tuple(options),
            link=self.link,
            files={glue.HEADER: self.files(task, roots)[glue.HEADER]},
            sources=tuple(name.removeprefix("./") for name in roots),
            language=self.label.lower(),
            entry=task.entry,
        )
