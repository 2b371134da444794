"""Compiles candidates, experiments and the runner, all inside the sandbox."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from avo_tui.domain.candidate import Candidate, check_file_name
from avo_tui.domain.verdict import Feedback, Resources, Verdict
from avo_tui.evaluation.backends.base import Compiled, Rejected
from avo_tui.evaluation.backends.cpp import allowed_symbols, disassembly, flags, glue
from avo_tui.evaluation.backends.cpp.driver import CppDriver, Driver
from avo_tui.evaluation.backends.cpp.elf import ElfError, read_shared_object
from avo_tui.evaluation.backends.cpp.toolchain import CompileCache, Toolchain, read_untrusted
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import COMPILE_DATE, MIB, Job, Limits, Outcome
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task

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
    'set -e; "$@"; if command -v objdump >/dev/null; then '
    "objdump -d --no-show-raw-insn candidate.so >listing.txt 2>/dev/null || :; fi"
)
_KEPT = "2"
"""Version of what the cache keeps of a compilation."""
_WARNING = re.compile(r"^.*\bwarning: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class CompiledCpp(Compiled):
    """A compiled shared object in the cache."""

    library: Path


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        try:
            path = folder / check_file_name(name)
        except ValueError as error:
            raise EvaluatorError(str(error)) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, (COMPILE_DATE, COMPILE_DATE))  # what __TIMESTAMP__ tells


def _log(outcome: Outcome, folder: Path) -> str:
    return (outcome.stderr + outcome.stdout).replace(f"{folder}/", "").replace("/scratch/", "")


def sources(files: Mapping[str, str], suffixes: tuple[str, ...]) -> list[str]:
    """The files to compile, written so that the compiler takes each for a path, never an option."""
    return [f"./{name}" for name in files if name.endswith(suffixes)]


def _failure(outcome: Outcome, log: str) -> Rejected:
    if outcome.reason == "error":
        raise EvaluatorError(f"the sandbox failed: {outcome.error}")
    if outcome.reason == "time":
        text = f"compiling took longer than {LIMITS.seconds:.0f} s"
        return Rejected(Verdict.TIMEOUT, Feedback(summary=text, log=log))
    if outcome.reason in ("memory", "scratch", "output"):
        text = f"compiling used too much {outcome.reason}"
        return Rejected(Verdict.OUT_OF_MEMORY, Feedback(summary=text, log=log))
    first = next((line for line in log.splitlines() if "error" in line), "")
    return Rejected(
        Verdict.COMPILE_ERROR,
        Feedback(
            summary="the candidate does not compile"
            + (f": {first.strip()[:200]}" if first else ""),
            hint="the log names file and line",
            log=log,
        ),
    )


class Compiler:
    """Compiles with one toolchain; uses a cache of earlier results."""

    def __init__(self, toolchain: Toolchain, driver: Driver | None = None) -> None:
        """`driver` is how candidates are compiled; without it they are in C++."""
        self.toolchain = toolchain
        self.driver: Driver = driver or CppDriver()
        self._candidates = CompileCache("candidates")
        self._runners = CompileCache("runners")

    async def candidate(self, task: Task, candidate: Candidate, sandbox: Sandbox) -> CompiledCpp:
        """The candidate's shared object; raises Rejected."""
        try:
            options = self.driver.options(candidate)
        except flags.FlagError as error:
            raise Rejected(Verdict.COMPILE_ERROR, Feedback(summary=str(error))) from error
        roots = sources(candidate.files, self.driver.suffixes)
        if not roots:
            text = f"the candidate has no source file ({', '.join(self.driver.suffixes)})"
            raise Rejected(Verdict.COMPILE_ERROR, Feedback(summary=text))
        beside = self.driver.files(task, roots)
        key = self.toolchain.key(_KEPT, candidate.id, *beside.values(), *options)
        folder = self._candidates.get(key)
        if folder is None:
            command = self.driver.library(self.toolchain.compiler, options, roots)
            folder = await self._compile(key, {**beside, **candidate.files}, command, sandbox)
        return self._finished(task, candidate, folder)

    async def _compile(
        self, key: str, files: dict[str, str], command: tuple[str, ...], sandbox: Sandbox
    ) -> Path:
        with sandbox.scratch() as scratch:
            _write(scratch, files)
            outcome = await sandbox.run(
                Job(
                    command=("/bin/sh", "-c", _COMPILE_AND_LIST, "compile", *command),
                    scratch=scratch,
                    limits=LIMITS,
                    read=self._reads(),
                )
            )
            log = _log(outcome, scratch)
            if not outcome.ok:
                raise _failure(outcome, log)
            library = read_untrusted(scratch / "candidate.so")
            listing = scratch / "listing.txt"
            text = read_untrusted(listing).decode(errors="replace") if listing.exists() else ""
        try:
            code_bytes = read_shared_object(library).code_bytes
        except ElfError as error:
            text = f"the compiled candidate is not a shared object: {error}"
            raise Rejected(Verdict.COMPILE_ERROR, Feedback(summary=text, log=log)) from error
        warnings = tuple(dict.fromkeys(_WARNING.findall(log)))[:20]
        facts = disassembly.resources(text, code_bytes, warnings)
        flush = disassembly.cache_flush(text)
        about = json.dumps(
            {"log": log, "resources": facts.model_dump(mode="json"), "cache_flush": flush}
        )
        return self._candidates.put(key, {"candidate.so": library, "about.json": about.encode()})

    def _finished(self, task: Task, candidate: Candidate, folder: Path) -> CompiledCpp:
        about = json.loads((folder / "about.json").read_text())
        facts = Resources.model_validate(about["resources"])
        library = folder / "candidate.so"
        reason = allowed_symbols.objection(read_shared_object(library.read_bytes()), task.entry)
        if reason is not None:
            missing = f"function {task.entry}" in reason
            verdict = Verdict.COMPILE_ERROR if missing else Verdict.SUSPICIOUS
            feedback = Feedback(summary=reason, log=about["log"])
            raise Rejected(verdict, feedback, resources=facts)
        if flush := about["cache_flush"]:
            text = (
                f"the candidate takes memory out of the caches ({flush}), which is not allowed: "
                "it slows what is timed beside it"
            )
            raise Rejected(
                Verdict.SUSPICIOUS, Feedback(summary=text, log=about["log"]), resources=facts
            )
        return CompiledCpp(candidate, facts, about["log"], library)

    def _reads(self) -> tuple[str, ...]:
        return self.driver.reads(self.toolchain.compiler)

    async def runner(self, task: Task, sandbox: Sandbox) -> Path:
        """The runner for a task's entry point."""
        names = ("runner.cpp", "confine.h")
        files = {name: (glue.NATIVE / name).read_text() for name in names}
        files["glue.h"] = glue.glue(task)
        options = ["-O2", "-std=gnu++17", "-fno-exceptions", "-fno-rtti", "-Wl,-z,relro,-z,now"]
        # The one function of the runner that a candidate may call is marked as visible.
        options += ["-fvisibility=hidden", "-rdynamic"]
        key = self.toolchain.key(*files.values(), *options)
        folder = self._runners.get(key)
        if folder is not None:
            return folder / "runner"
        with sandbox.scratch() as scratch:
            _write(scratch, files)
            outcome = await sandbox.run(
                Job(
                    command=(
                        self.toolchain.compiler, *options, "-I.", "runner.cpp",
                        "-o", "runner", "-ldl",
                    ),
                    scratch=scratch,
                    limits=LIMITS,
                    read=self._reads(),
                )
            )  # fmt: skip
            if not outcome.ok:
                why = outcome.error or _log(outcome, scratch).strip()[:2000]
                raise EvaluatorError(f"the runner of {task.name} does not compile: {why}")
            data = read_untrusted(scratch / "runner")
        return self._runners.put(key, {"runner": data}) / "runner"

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
