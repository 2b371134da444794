"""How sources of one language become the shared object that the runner loads, or are exported.

Languages differ in this alone: check, benchmark, sandbox and runner are the same for all.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.compiler_flags import FLAGS_LINE
from avo_tui.domain.deployment import Build, Deployment, Domain, SingleSource
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cpp import glue
from avo_tui.evaluation.backends.cpp.toolchain import Toolchain, find_toolchain
from avo_tui.evaluation.flatten import FlattenError, c_name, flatten
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import toolchain as prefixes_of
from avo_tui.evaluation.shapes import SEED, shape_of
from avo_tui.evaluation.task import Task

FIXED = ("-O3", "-march=native", "-fopenmp", "-std=gnu++17", "-fPIC", "-shared", "-Wall", "-Wextra")

_ALLOWED = re.compile(
    r"-O[123]|-Ofast|-std=(c|gnu)\+\+(17|20|23)"
    r"|-m(no-)?(fma|avx2?|avx512[a-z0-9]+|amx-[a-z0-9]+|sse[a-z0-9.]*|bmi2?|prefer-vector-width=\d+)"
    r"|-mtune=[a-z0-9-]+|-mcpu=native"
    r"|-f(no-)?(fast-math|finite-math-only|math-errno|trapping-math|signed-zeros|rounding-math"
    r"|associative-math|reciprocal-math|unsafe-math-optimizations|strict-aliasing|omit-frame-pointer"
    r"|unroll-loops|unroll-all-loops|peel-loops|split-loops|unswitch-loops|tree-[a-z-]+|slp-vectorize"
    r"|vectorize|inline|inline-functions|ipa-[a-z-]+|gcse|gcse-las|schedule-insns2?|sched-[a-z-]+"
    r"|rename-registers|prefetch-loop-arrays|modulo-sched|align-loops|align-functions|web|split-paths"
    r"|exceptions|rtti|stack-protector|threadsafe-statics|lto|graphite-identity|loop-nest-optimize)"
    r"|-falign-(loops|functions|jumps)=\d+|-finline-limit=\d+|-ffp-contract=(fast|on|off)"
    r"|-fvect-cost-model=(unlimited|dynamic|cheap)|-fsimd-cost-model=(unlimited|dynamic|cheap)"
    r"|-ffp-model=(fast|precise|strict)|-W(no-)?[a-z0-9-]+(=\d+)?"
    r"|--param=[a-z0-9-]+=\d+|-D[A-Z][A-Z0-9_]*(=[A-Za-z0-9_]+)?"
)
_MOST = 24


class FlagError(ValueError):
    """A flag that a candidate may not use."""


def file_name(task: Task, suffix: str) -> str:
    """What the one file is called: after the entry point, such as `attention.cpp`."""
    return f"{c_name(task.entry)}{suffix}"


def library_name(task: Task) -> str:
    """The shared object that its command makes, such as `libattention.so`."""
    return f"lib{c_name(task.entry)}.so"


def with_includes_in_place(files: Mapping[str, str], roots: Sequence[str], name: str) -> Candidate:
    """Files of C or C++ as the one file `name`; `roots` are compiled. Raises EvaluatorError."""
    try:
        flat = flatten(files, roots)
    except FlattenError as error:
        raise EvaluatorError(str(error)) from error
    headers = "\n".join(f"#include <{header}>" for header in flat.headers)
    return Candidate(files={name: f"{headers}\n\n{flat.text}\n"})


def single_source(
    task: Task,
    name: str,
    text: str,
    command: tuple[str, ...],
    configurations: Sequence[Configuration],
) -> SingleSource:
    """The file as it is exported, with its C header and where it holds."""
    stem = name.rpartition(".")[0]
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


LAUNCHER = Path(__file__).with_name("package_launch.py")
"""The launcher of packages; a part of them, not of avo-tui."""


def deployment(
    task: Task,
    configurations: Sequence[Configuration],
    domain: Domain | None,
    build: Build,
    needs: str,
) -> Deployment:
    """For a candidate that is known to compile; `needs` says what the installation has to have."""
    arguments = [{"kind": a.kind, "name": a.name} for a in task.arguments]
    shapes = []
    for configuration in configurations:
        try:
            example = task.make_inputs(configuration, SEED, task.timed[0])
        except (RuntimeError, ValueError, MemoryError) as error:  # such as too large for the memory
            asked = ", ".join(f"{n}={v}" for n, v in configuration.parameters.items())
            why = " ".join(str(error).split())[:300]
            raise EvaluatorError(f"no inputs can be drawn for the shape {asked}: {why}") from error
        inputs = {
            name: (tuple(t.shape), str(t.dtype).removeprefix("torch."))
            for name, t in example.items()
        }
        shapes.append(shape_of(task, configuration, inputs, {"arguments": arguments}))
    return Deployment(
        language=task.language,
        launcher=LAUNCHER.read_text(encoding="utf-8"),
        function=task.name,
        shapes=tuple(shapes),
        domain=domain,
        build=build,
        needs=f"{needs} on installation; the kernel is compiled for the processor there",
    )


OWN_OBJECT = "own.o"
"""The candidate's code without any library's."""
_TYPED = ("-include", glue.PROTOTYPE)
"""A source whose entry point has other types than the task's does not compile."""
_MADE_BY_SETUPTOOLS = frozenset({"-fPIC", "-shared"})


class Driver:
    """The compiler of one language: g++ or clang++, unless a subclass says otherwise."""

    label = "C++"
    """The language's name in sentences."""
    suffixes: tuple[str, ...] = (".cpp", ".cc", ".cxx")
    """Of the files to compile."""
    link: tuple[str, ...] = ()
    """Further libraries, behind the files."""
    fixed: tuple[str, ...] = FIXED
    allowed: re.Pattern[str] = _ALLOWED
    """Flags that a `// flags:` line may ask for; `allowed_are` says which those are."""
    allowed_are = "; optimisation, floating-point and -D flags are"

    async def toolchain(self) -> Toolchain:
        """$CXX, else g++, else clang++. Raises EvaluatorError that says what to install."""
        return await find_toolchain()

    def reads(self, compiler: str) -> tuple[str, ...]:
        """Folders that the compiler reads, beside those of the system."""
        return tuple(prefixes_of(compiler))

    def files(self, task: Task, roots: Sequence[str]) -> Mapping[str, str]:
        """Files to put beside the candidate's `roots`: `task.h`, and the entry point's types, which
        hold without it, too."""
        return {glue.HEADER: glue.header(task), glue.PROTOTYPE: glue.prototype(task)}

    def declared(self, task: Task) -> str:
        """How the language declares the entry point, for messages."""
        return glue.declaration(task).rstrip(";")

    def options(self, candidate: Candidate) -> tuple[str, ...]:
        """The fixed ones and those of `// flags:` lines. Raises FlagError."""
        flags: dict[str, None] = {}
        for name, text in candidate.files.items():
            for flag in " ".join(FLAGS_LINE.findall(text)).split():
                if not self.allowed.fullmatch(flag):
                    raise FlagError(
                        f"{name} asks for the compiler flag {flag}, which is not allowed"
                        f"{self.allowed_are}"
                    )
                flags[flag] = None
        if len(flags) > _MOST:
            raise FlagError(f"a candidate may ask for at most {_MOST} compiler flags")
        return (*self.fixed, *flags)

    def library(
        self, compiler: str, options: Sequence[str], roots: Sequence[str]
    ) -> tuple[str, ...]:
        """The command that makes `candidate.so` of the candidate's files."""
        return (compiler, *options, *_TYPED, "-I.", *roots, "-o", "candidate.so", *self.link)

    def library_by_object(
        self, compiler: str, options: Sequence[str], roots: Sequence[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Two commands that together do what `library` does: one that makes OWN_OBJECT, in which
        only the candidate's own code is, and one that links it to `candidate.so`. Names of linked
        libraries stay hidden, so that no candidate uses the copy of another, or the runner's. None
        if the language has no runtime library that could be linked into a candidate."""
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
        """Arguments that make `program` of files with a `main`."""
        options = ("-O3", "-march=native", "-fopenmp", "-std=gnu++17", "-Wall", "-Wextra")
        return (*options, "-I.", *roots, "-o", "program")

    def merged(self, task: Task, candidate: Candidate, roots: Sequence[str]) -> Candidate:
        """The candidate as one file, which compiles as the candidate did; `roots` are the files
        that are compiled. Raises EvaluatorError."""
        files = {**candidate.files, **self.files(task, roots)}
        return with_includes_in_place(files, roots, file_name(task, self.suffixes[0]))

    def standalone(self, task: Task, one: Candidate, compiler: str) -> tuple[str, tuple[str, ...]]:
        """(text of the merged candidate without any file of the harness, the command that makes a
        shared object of it in its folder); `compiler` is its name."""
        (name, text), *_ = one.files.items()
        command = (compiler, *self.options(one), name, "-o", library_name(task))
        return text, (*command, *self.link)

    def build(self, task: Task, candidate: Candidate, roots: Sequence[str]) -> Build:
        """How the installation of a package compiles the candidate's files: by setuptools, which
        knows the compilers of C and C++."""
        options = [f for f in self.options(candidate) if f not in _MADE_BY_SETUPTOOLS]
        return Build(
            flags=tuple(options),
            link=self.link,
            files={glue.HEADER: self.files(task, roots)[glue.HEADER]},
            sources=tuple(name.removeprefix("./") for name in roots),
            language=self.label.lower(),
            entry=task.entry,
        )
