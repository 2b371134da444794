"""Compiles candidates, experiments and the runner, all inside the sandbox."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from avo_tui.domain.candidate import Candidate, check_file_name
from avo_tui.domain.report import Resources
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Compiled, Rejected, refused
from avo_tui.evaluation.backends.cpp import allowed_symbols, driver, elf, glue, loops
from avo_tui.evaluation.backends.cpp.driver import OWN_OBJECT, Driver
from avo_tui.evaluation.backends.cpp.toolchain import CompileCache, Toolchain, read_untrusted
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import COMPILE_DATE, MIB, Job, Limits, Outcome
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task

_LOCATED = re.compile(r"(?P<path>\S[^:\n]*):\d+:(?:\d+:)? (?P<kind>warning|note): ")
_OF_INTRINSICS = re.compile(r"/\S*intrin\.h:\d+:.* warning: .*\[-W(?:maybe-)?uninitialized\]$")
_FLAG = re.compile(r"\[(-W[^\]\s]+)\]$")
_CALLER = re.compile(r"inlined from .* at (?:\./)?([^/\s:][^\s:]*:\d+)")
_CONTEXT = re.compile(r"In file included from |\s+from \S|\s+inlined from |In .*function|/\S+: In ")
_QUOTED = re.compile(r"\s*\d* +\|")
"""A line of the source that a diagnostic quotes, or the marks below it."""


def without_header_warnings(log: str) -> str:
    """The log without warnings inside headers of the compiler, the system or a library, which have
    absolute paths; a last line counts them by flag, with the lines of the candidate's that they
    come from. Every other line stays, in its order."""
    kept: list[str] = []
    before: list[str] = []
    """Lines that say where the next diagnostic is, such as "In function"."""
    dropped: dict[str, tuple[int, list[str]]] = {}
    dropping = False
    for line in log.splitlines():
        located = _LOCATED.match(line)
        if located and located["kind"] == "warning":
            dropping = located["path"].startswith("/")
            if dropping:
                flag = "" if _OF_INTRINSICS.match(line) else _flag(line)
                count, callers = dropped.get(flag, (0, []))
                callers += [m[1] for text in before if (m := _CALLER.search(text))] if flag else []
                dropped[flag] = count + 1, callers
        elif located:  # a note belongs to what stands before it
            dropping = dropping and located["path"].startswith("/")
        elif _CONTEXT.match(line):
            before.append(line)
            continue
        else:
            dropping = dropping and not before and bool(_QUOTED.match(line))
        kept += [] if dropping else [*before, line]
        before = []
    if not dropped:
        return log
    return "\n".join([*kept, *before, _left_out(dropped)]) + "\n"


def _flag(line: str) -> str:
    flag = _FLAG.search(line)
    return flag[1] if flag else "without a flag"


def _left_out(dropped: Mapping[str, tuple[int, list[str]]]) -> str:
    """One line on the warnings of headers; those of intrinsics, which mean nothing, are counted."""
    total = sum(count for count, _ in dropped.values())
    named = []
    for flag, (count, callers) in dropped.items():
        if flag:
            lines = ", ".join([*dict.fromkeys(callers)][:4])
            named.append(f"{count} {flag}" + (f" from {lines}" if lines else ""))
    which = f": {'; '.join(named)}" if named else ""
    return f"({total} warning{'s' if total > 1 else ''} inside headers left out{which})"


_ADDED = re.compile(r"(?:(?:#define |// flags:).*\n)+#line 1\n")
"""What a sweep puts in front of a source."""
_PLACE = re.compile(r"(?:\./)?([^\s:][^:\n]*):\d+:\d+: ")
_QUOTE = re.compile(r"( *(\d+) \| )")


def _with_own_quotes(log: str, folder: Path) -> str:
    """The log, each quoted line the one that its number means: the compilers number lines by
    `#line` and quote the file's line of that number, which differ behind what a sweep added."""
    own: dict[str, list[str]] = {}
    for path in folder.glob("**/*.c*"):
        text = path.read_text("utf-8", "replace")
        if added := _ADDED.match(text):
            own[str(path.relative_to(folder))] = text[added.end() :].split("\n")
    if not own:
        return log
    kept, lines = [], None
    for line in log.split("\n"):
        if located := _PLACE.match(line):
            lines = own.get(located[1])
        elif lines and (quote := _QUOTE.match(line)) and 0 < int(quote[2]) <= len(lines):
            line = quote[1] + lines[int(quote[2]) - 1]
        kept.append(line)
    return "\n".join(kept)


LIMITS = Limits(
    seconds=60,
    memory_bytes=2048 * MIB,
    address_bytes=4096 * MIB,
    file_bytes=64 * MIB,
    scratch_bytes=256 * MIB,
    output_bytes=64 * MIB,
    keep_bytes=64 * 1024,
)
# The compiler and the disassembler of its output share one sandbox.
_COMPILE_AND_LIST = (
    'set -e; made=$1; shift; "$@"; if command -v objdump >/dev/null; then '
    'objdump -d --no-show-raw-insn "$made" >listing.txt 2>/dev/null || :; fi'
)
OPENMP_ARCHIVE = "libgomp.a("
"""In the linker's message where the shared OpenMP library cannot be had: the archive of that name
does not fit into a shared object."""
_LIBRARY = "candidate.so"
_TRIAL = """
#include <stdexcept>
#include <vector>

extern "C" float trial(int n) {
    if (n < 1) throw std::invalid_argument("there is nothing to add");
    std::vector<float> values(n, 1.0f);
    float sum = 0;
#pragma omp parallel for reduction(+ : sum)
    for (int i = 0; i < n; i++) sum += values[i];
    return sum;
}
"""
_KEPT = "4"
"""Version of what the cache keeps of a compilation."""
_DECLARED_OTHERWISE = re.compile(
    "conflicting (declaration|types)|ambiguating new declaration|different exception spec"
    "|does not match previous declaration|differ only in their return type"
)
"""In the compilers' errors where a function was declared before in another way."""
_ERROR = re.compile(r"\berror(\[\w+\])?: ")
"""In the line that says what is wrong, rather than in a trace of the compiler's own calls."""
_NO_MEMORY = re.compile(
    r"memory allocation of \d+ bytes failed|virtual memory exhausted|out of memory allocating"
    r"|LLVM ERROR: out of memory"
)
"""In the last words of a compiler whose allocation was refused."""
_MADE = frozenset({_LIBRARY, OWN_OBJECT, "listing.txt"})
"""Files that compiling makes."""
_WARNING = re.compile(r"^.*\bwarning: (.*)$", re.MULTILINE)


_Read = TypeVar("_Read")


@dataclass(frozen=True)
class CompiledCpp(Compiled):
    """A compiled shared object in the cache."""

    library: Path

    @property
    def own_object(self) -> Path | None:
        """The candidate's own code, where the shared object contains a runtime library's too."""
        path = self.library.with_name(OWN_OBJECT)
        return path if path.exists() else None


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        try:
            path = folder / check_file_name(name)
        except ValueError as error:
            raise EvaluatorError(str(error)) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, (COMPILE_DATE, COMPILE_DATE))  # what __TIMESTAMP__ tells


def log_of(outcome: Outcome, folder: Path) -> str:
    """What a compiler wrote, without this machine's folders and warnings inside headers."""
    log = (outcome.stderr + outcome.stdout).replace(f"{folder}/", "").replace("/scratch/", "")
    return _with_own_quotes(without_header_warnings(log), folder)


def sources(files: Mapping[str, str], suffixes: tuple[str, ...]) -> list[str]:
    """The files to compile, written so that the compiler takes each for a path, never an option."""
    return [f"./{name}" for name in files if name.endswith(suffixes)]


def _failure(outcome: Outcome, log: str) -> Rejected:
    if outcome.reason == "error":
        raise EvaluatorError(f"the sandbox failed: {outcome.error}")
    if outcome.reason == "time":
        text = f"compiling took longer than {LIMITS.seconds:.0f} s"
        return refused(Verdict.TIMEOUT, text, log=log)
    reason = "memory" if _NO_MEMORY.search(log) else outcome.reason
    if reason in ("memory", "scratch", "output"):
        text = f"compiling used too much {reason}"
        return refused(Verdict.OUT_OF_MEMORY, text, log=log)
    hint = "the log names file and line"
    if OPENMP_ARCHIVE in log:
        hint = "OpenMP cannot be used on this machine until its shared library is readable: run "
        hint += "`avo doctor`"
    lines = [line for line in log.splitlines() if "error" in line]
    first = next(filter(_ERROR.search, lines), next(iter(lines), ""))
    text = "the candidate does not compile" + (f": {first.strip()[:200]}" if first else "")
    return refused(Verdict.COMPILE_ERROR, text, hint=hint, log=log)


def _read_elf(path: Path, read: Callable[[bytes], _Read], log: str) -> _Read:
    """What `read` finds in a file that the compiler made; raises Rejected if it is none."""
    try:
        return read(read_untrusted(path))
    except elf.ElfError as error:
        text = f"the compiled candidate is not a file that a compiler makes: {error}"
        raise refused(Verdict.COMPILE_ERROR, text, log=log) from error


def _judged(candidate: Candidate, folder: Path, entry: str, declared: str) -> CompiledCpp:
    """A compilation of the cache; raises Rejected if it uses what no candidate may.

    `declared` is how the entry point must be declared, for who has none of that name.
    """
    about = json.loads((folder / "about.json").read_text())
    facts = Resources.model_validate(about["resources"])
    library = folder / _LIBRARY
    shared = elf.read_shared_object(library.read_bytes())
    compiled = CompiledCpp(candidate, facts, about["log"], library)
    own = compiled.own_object
    references = elf.read_object(own.read_bytes()).undefined if own else None
    reason = allowed_symbols.objection(shared, entry, references)
    if reason is not None:
        missing = f"function {entry}" in reason
        verdict = Verdict.COMPILE_ERROR if missing else Verdict.SUSPICIOUS
        reason = f"{reason}; it must be: {declared}" if missing else reason
        raise refused(verdict, reason, facts, log=about["log"])
    if flush := about["cache_flush"]:
        text = (
            f"the candidate takes memory out of the caches ({flush}), which is not allowed: "
            "it slows what is timed beside it"
        )
        raise refused(Verdict.SUSPICIOUS, text, facts, log=about["log"])
    return compiled


def _refuse_names_of_ours(candidate: Candidate, beside: Mapping[str, str]) -> None:
    """Raises Rejected for a candidate's file in the place of one that the harness writes `beside`
    it or that compiling makes. A `task.h` of its own is as good as declaring the entry point."""
    ours = sorted(((_MADE | beside.keys()) - {glue.HEADER}) & candidate.files.keys())
    if ours:
        text = f"{ours[0]} is the name of a file that the harness writes; give yours another name"
        raise refused(Verdict.COMPILE_ERROR, text)


class Compiler:
    """Compiles with one toolchain; uses a cache of earlier results."""

    def __init__(self, toolchain: Toolchain, driver: Driver | None = None) -> None:
        """`driver` is how candidates are compiled; without it they are in C++."""
        self.toolchain = toolchain
        self.driver = driver or Driver()
        self._candidates = CompileCache("candidates")
        self._runners = CompileCache("runners")

    async def candidate(self, task: Task, candidate: Candidate, sandbox: Sandbox) -> CompiledCpp:
        """The candidate's shared object; raises Rejected."""
        try:
            options = self.driver.options(candidate)
        except driver.FlagError as error:
            raise refused(Verdict.COMPILE_ERROR, str(error)) from error
        roots = sources(candidate.files, self.driver.suffixes)
        if not roots:
            text = f"the candidate has no source file ({', '.join(self.driver.suffixes)})"
            raise refused(Verdict.COMPILE_ERROR, text)
        beside = self.driver.files(task, roots)
        _refuse_names_of_ours(candidate, beside)
        key = self.toolchain.key(_KEPT, candidate.id, *beside.values(), *options)
        folder = self._candidates.get(key)
        if folder is None:
            files = {**beside, **candidate.files}
            with sandbox.scratch() as scratch:
                _write(scratch, files)
                try:
                    folder = await self._compile(key, options, roots, scratch, sandbox)
                except Rejected as rejection:
                    raise self._of_entry(task, rejection) from rejection
        return _judged(candidate, folder, task.entry, self.driver.declared(task))

    def _of_entry(self, task: Task, rejection: Rejected) -> Rejected:
        """The same rejection; where the compiler found the entry point declared otherwise than the
        task does, one that says how it must be declared."""
        feedback = rejection.feedback
        errors = (line for line in feedback.log.splitlines() if "error:" in line)
        other = next((e for e in errors if _DECLARED_OTHERWISE.search(e) and task.entry in e), None)
        if rejection.verdict is not Verdict.COMPILE_ERROR or other is None:
            return rejection
        text = (
            f"the entry point {task.entry} has other types than the task's; it must be: "
            f"{self.driver.declared(task)}"
        )
        return Rejected(Verdict.COMPILE_ERROR, feedback.replaced(summary=text))

    async def trial(self, sandbox: Sandbox, openmp: bool) -> CompiledCpp:
        """A small honest candidate, compiled and judged as all are; raises Rejected where this
        machine's compiler is not fit for candidates."""
        text = _TRIAL if openmp else _TRIAL.replace("#pragma omp", "// ")
        candidate = Candidate(files={"trial.cpp": text})
        with sandbox.scratch() as scratch:
            # It has no task, and so no declaration of an entry point.
            _write(scratch, {glue.PROTOTYPE: "", **candidate.files})
            key = self.toolchain.key(_KEPT, candidate.id, "trial")
            folder = await self._compile(key, driver.FIXED, ["./trial.cpp"], scratch, sandbox)
        return _judged(candidate, folder, "trial", 'extern "C" float trial(int n)')

    async def _compile(
        self,
        key: str,
        options: tuple[str, ...],
        roots: Sequence[str],
        scratch: Path,
        sandbox: Sandbox,
    ) -> Path:
        """Compiles what lies in `scratch`; the folder in the cache."""
        compiler = self.toolchain.compiler
        command = self.driver.library(compiler, options, roots)
        log, listing = await self._step(command, _LIBRARY, scratch, sandbox)
        shared = _read_elf(scratch / _LIBRARY, elf.read_shared_object, log)
        kept, code_bytes = [_LIBRARY], shared.code_bytes
        steps = self.driver.library_by_object(compiler, options, roots)
        if steps and allowed_symbols.imports_refused(shared):
            # Where the compiler has no shared runtime library, a candidate contains the code of
            # one, with calls of its own: the candidate's own code is judged and counted then.
            make_object, link = steps
            log, listing = await self._step(make_object, OWN_OBJECT, scratch, sandbox)
            code_bytes = _read_elf(scratch / OWN_OBJECT, elf.read_object, log).code_bytes
            await self._step(link, _LIBRARY, scratch, sandbox)
            _read_elf(scratch / _LIBRARY, elf.read_shared_object, log)
            kept.append(OWN_OBJECT)
        warnings = tuple(dict.fromkeys(_WARNING.findall(log)))[:20]
        facts = loops.resources(listing, code_bytes, warnings)
        about = {
            "log": log,
            "resources": facts.model_dump(mode="json"),
            "cache_flush": loops.cache_flush(listing),
        }
        files = {name: read_untrusted(scratch / name) for name in kept}
        return self._candidates.put(key, {**files, "about.json": json.dumps(about).encode()})

    async def _step(
        self, command: Sequence[str], name: str, scratch: Path, sandbox: Sandbox
    ) -> tuple[str, str]:
        """Runs a command that makes the file `name`: (what it wrote, the file's disassembly).

        Raises Rejected if it fails.
        """
        job = Job(
            command=("/bin/sh", "-c", _COMPILE_AND_LIST, "compile", name, *command),
            scratch=scratch,
            limits=LIMITS,
            read=self._reads(),
        )
        outcome = await sandbox.run(job)
        log = log_of(outcome, scratch)
        if not outcome.ok:
            raise _failure(outcome, log)
        listing = scratch / "listing.txt"
        text = read_untrusted(listing).decode(errors="replace") if listing.exists() else ""
        return log, text

    def _reads(self) -> tuple[str, ...]:
        return self.driver.reads(self.toolchain.compiler)

    async def runner(self, task: Task, sandbox: Sandbox) -> Path:
        """The runner for a task's entry point."""
        options = ["-O2", "-std=gnu++17", "-fno-exceptions", "-fno-rtti", "-Wl,-z,relro,-z,now"]
        # The one function of the runner that a candidate may call is marked as visible; those of
        # a runtime library that is linked into the runner are none.
        options += ["-fvisibility=hidden", "-rdynamic", "-Wl,--exclude-libs,ALL"]
        return await self._native(task, "runner", ("runner.cpp", "confine.h"), options, sandbox)

    async def sampler(self, task: Task, sandbox: Sandbox) -> Path:
        """The program that samples where a candidate of a task spends its time."""
        options = ["-O1", "-std=gnu++17"]
        return await self._native(task, "sampler", ("sampler.cpp",), options, sandbox)

    async def _native(
        self, task: Task, program: str, names: Sequence[str], options: list[str], sandbox: Sandbox
    ) -> Path:
        """A program of the harness, compiled for a task's entry point; `names` are its sources."""
        files = {name: (glue.NATIVE / name).read_text() for name in names}
        files["glue.h"] = glue.glue(task)
        key = self.toolchain.key(*files.values(), *options)
        folder = self._runners.get(key)
        if folder is not None:
            return folder / program
        with sandbox.scratch() as scratch:
            _write(scratch, files)
            outcome = await sandbox.run(
                Job(
                    command=(
                        self.toolchain.compiler, *options, "-I.", names[0], "-o", program, "-ldl",
                    ),
                    scratch=scratch,
                    limits=LIMITS,
                    read=self._reads(),
                )
            )  # fmt: skip
            if not outcome.ok:
                why = outcome.error or log_of(outcome, scratch).strip()[:2000]
                raise EvaluatorError(f"the {program} of {task.name} does not compile: {why}")
            data = read_untrusted(scratch / program)
        return self._runners.put(key, {program: data}) / program

    async def experiment(self, files: dict[str, str], scratch: Path, sandbox: Sandbox) -> Outcome:
        """Compiles a small program of the agent's to `program` in a scratch folder."""
        _write(scratch, files)
        roots = sources(files, self.driver.suffixes)
        return await sandbox.run(
            Job(
                command=(self.toolchain.compiler, *self.driver.program(roots)),
                scratch=scratch,
                limits=LIMITS,
                read=self._reads(),
            )
        )


def copy_into(scratch: Path, *sources: Path) -> None:
    """Copies prepared programs into a scratch folder, to be run there."""
    for source in sources:
        shutil.copyfile(source, scratch / source.name)
        (scratch / source.name).chmod(0o755)
