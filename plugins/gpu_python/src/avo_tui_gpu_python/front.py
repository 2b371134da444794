"""Candidates in a GPU language inside Python → cubins and launch plans.

Two kinds of sandboxed processes. The first runs the candidate's Python, which says by PTX texts and
numbers what is to be launched; hidden configurations have such a process of their own, of which
nothing is told, so that no kernel can carry what it learnt there to where it is shown. The second
assembles PTX; what it says of registers and spills is the assembler's word, not the candidate's.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import SingleSource
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Rejected, refused
from avo_tui.evaluation.backends.cpp.toolchain import read_untrusted
from avo_tui.evaluation.backends.cuda import cubin
from avo_tui.evaluation.backends.cuda.compile_child import count_instructions
from avo_tui.evaluation.backends.cuda.compiled import hidden_refusal
from avo_tui.evaluation.backends.cuda.compiler import (
    CompiledCandidate,
    Unit,
    bounded,
    log_of,
    refuse_content,
    resources_of,
    write_sources,
)
from avo_tui.evaluation.backends.cuda.front import Plans
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts, LaunchPlan
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.backends.cuda.toolkit import ToolkitError, nvdisasm
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import MIB, Job, Limits, Outcome
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui_gpu_python import ptx
from avo_tui_gpu_python.language import TracedLanguage
from avo_tui_gpu_python.reply import (
    Launch,
    LaunchError,
    Reply,
    Run,
    Trouble,
    keys,
    plan_of,
    read,
)

CHILD = Path(__file__).with_name("recording.py")
LIMITS = Limits(seconds=180.0, memory_bytes=6144 * MIB, address_bytes=None, processes=64)
MOST_PTX = 16 << 20
"""Bytes of one PTX text."""
MOST_KERNELS = 128
Traced = tuple[Reply, Mapping[int, str]]
"""What the candidate's Python said: what is launched, and the PTX texts by their numbers."""
_INSTEAD = "--as torch makes a package of its cubins"


class TracedFrontEnd:
    """Compiles candidates of one language."""

    def __init__(self, language: TracedLanguage, sandbox: Sandbox) -> None:
        self._language, self._sandbox = language, sandbox

    def version(self) -> str:
        """Such as `Triton 3.9.0`; `Triton` alone where it is not installed."""
        try:
            number = importlib.metadata.version(self._language.package)
        except importlib.metadata.PackageNotFoundError:
            return self._language.title
        return f"{self._language.title} {number}"

    async def compile(
        self,
        task: CudaTask,
        candidate: Candidate,
        facts: DeviceFacts,
        configurations: Sequence[Configuration],
        hidden: Set[str],
    ) -> tuple[CompiledCandidate, Plans]:
        """Runs the candidate's `launch` for every configuration, then assembles its kernels."""
        compilation = _Compilation(self._language, self._sandbox, task, candidate, facts)
        try:
            return await compilation.run(configurations, hidden)
        except ToolkitError as error:
            raise refused(Verdict.HARNESS_ERROR, str(error)) from error

    def single_source(
        self,
        task: CudaTask,
        candidate: Candidate,
        configurations: Sequence[Configuration],
        facts: DeviceFacts,
        function: str,
    ) -> SingleSource:
        """A Python file with a function for torch's tensors; nothing is compiled here."""
        text = candidate.files[_main_file(candidate)]
        if len([name for name in candidate.files if name.endswith(".py")]) > 1:
            raise EvaluatorError(f"the kernel is in several Python files; {_INSTEAD}")
        write, title = self._language.write_source, self._language.title
        if write is None:
            raise EvaluatorError(f"a {title} kernel is not written as one file; {_INSTEAD}")
        return write(task, text, configurations, facts, function)


class _Compilation:
    """One candidate for one device."""

    def __init__(
        self,
        language: TracedLanguage,
        sandbox: Sandbox,
        task: CudaTask,
        candidate: Candidate,
        facts: DeviceFacts,
    ) -> None:
        self._language = language
        self._sandbox, self._task, self._candidate, self._facts = sandbox, task, candidate, facts
        self._file = _main_file(candidate)
        self._printed = ""
        self._units: list[Unit] = []
        self._numbers: dict[tuple[str, ...], int] = {}

    async def run(
        self, configurations: Sequence[Configuration], hidden: Set[str]
    ) -> tuple[CompiledCandidate, Plans]:
        """Raises Rejected and ToolkitError."""
        public = [c for c in configurations if c.name not in hidden]
        rest = [c for c in configurations if c.name in hidden]
        unseen = asyncio.ensure_future(self._traced(rest)) if rest else None
        try:
            plans = await self._plans(await self._traced(public), public, told=True)
            shown = len(self._units)
            if unseen is not None:
                try:
                    plans |= await self._plans(await unseen, rest, told=False)
                except Rejected:
                    raise hidden_refusal(self._file) from None
        finally:
            if unseen is not None:
                unseen.cancel()
                await asyncio.gather(unseen, return_exceptions=True)
        hidden_units = [u.model_copy(update={"hidden": True}) for u in self._units[shown:]]
        units = self._units[:shown]
        compiled = CompiledCandidate(
            architecture=self._facts.architecture,
            resources=resources_of(units),
            log=bounded("\n".join(filter(None, [self._printed, log_of(units)]))),
            manifest_file=self._file,
            units=(*units, *hidden_units),
            launch_saw_hidden=bool(rest),
        )
        return compiled, plans

    async def _plans(
        self, traced: Traced, configurations: Sequence[Configuration], *, told: bool
    ) -> dict[str, LaunchPlan]:
        """A plan for each, and their units added; without `told` nothing printed is kept."""
        reply, texts = traced
        if told:
            self._printed = reply.printed.strip()
        plans: dict[str, LaunchPlan] = {}
        for configuration in configurations:
            run = reply.configurations.get(configuration.name)
            if not isinstance(run, Run):
                trouble = run or reply.trouble
                raise _refusal(self._language, trouble, configuration.name, self._printed)
            try:
                tensors = self._task.tensors(configuration)
                most = self._task.most_launches
                plan = plan_of(run, self._file, tensors, self._facts, most)
                unit = await self._unit(run.launches, texts)
                self._fits(plan, self._units[unit])
            except LaunchError as error:
                raise refused(
                    Verdict.COMPILE_ERROR, str(error), configuration=configuration.name
                ) from error
            plans[configuration.name] = plan.model_copy(update={"variant": unit})
        return plans

    async def _traced(self, configurations: Sequence[Configuration]) -> Traced:
        """Runs the candidate's Python in the sandbox. Raises Rejected and ToolkitError."""
        sms: dict[str, int | float] = {"SMS": self._facts.sms}
        request = {
            "file": self._file,
            "architecture": self._facts.architecture,
            "configurations": [
                {
                    "name": configuration.name,
                    "tensors": [
                        t.model_dump(include={"name", "dtype", "shape"})
                        for t in self._task.tensors(configuration)
                    ],
                    "names": self._task.names(configuration) | sms,
                }
                for configuration in configurations
            ],
        }
        with self._sandbox.scratch() as scratch:
            write_sources(scratch / "src", self._candidate)
            (scratch / "request.json").write_text(json.dumps(request), encoding="utf-8")
            outcome = await self._sandbox.run(_python(self._language, scratch))
            if not outcome.ok or not (scratch / "reply.json").is_file():
                raise _ended(outcome)
            try:
                reply = read(read_untrusted(scratch / "reply.json").decode(errors="replace"))
                numbers = {
                    launch.kernel
                    for run in reply.configurations.values()
                    if isinstance(run, Run)
                    for launch in run.launches
                }
                if len(numbers) > MOST_KERNELS:
                    raise LaunchError(f"more than {MOST_KERNELS} kernels are compiled")
                texts = {
                    n: read_untrusted(scratch / f"kernel-{n}.ptx", MOST_PTX).decode("utf-8")
                    for n in sorted(numbers)
                }
            except (LaunchError, EvaluatorError, UnicodeDecodeError) as error:
                raise refused(Verdict.COMPILE_ERROR, str(error)) from error
        return reply, texts

    async def _unit(self, launches: Sequence[Launch], texts: Mapping[int, str]) -> int:
        """Number of the unit that holds the kernels of these launches; assembled where new."""
        numbers = list(dict.fromkeys(launch.kernel for launch in launches))
        identity = tuple(texts[number] for number in numbers)
        if identity in self._numbers:
            return self._numbers[identity]
        text, renamed = ptx.merged([texts[number] for number in numbers])
        code, log, listing = await self._assembled(text)
        image = cubin.read(code)
        refuse_content(image)
        names = dict(zip(numbers, renamed, strict=True))
        number = len(self._units)
        self._units.append(
            Unit(
                variants=(number,),
                macros={"specialisation": str(number)},
                code=code,
                symbols={
                    key: names[launch.kernel].get(launch.symbol, launch.symbol)
                    for key, launch in zip(keys(launches), launches, strict=True)
                },
                image=image,
                log=log,
                instructions=count_instructions(listing),
            )
        )
        self._numbers[identity] = number
        return number

    async def _assembled(self, text: str) -> tuple[bytes, str, str]:
        """(cubin, the assembler's log, disassembly). Raises Rejected and ToolkitError."""
        tool = self._language.assembler(self._facts.architecture)
        lister = nvdisasm()
        command = [*tool, "-v", f"--gpu-name={self._facts.architecture}", "-lineinfo"]
        command += ["unit.ptx", "-o", "unit.cubin"]
        script = f"set -e; {shlex.join(command)} 2>&1"
        if lister is not None:
            script += f"; {shlex.quote(lister)} -c unit.cubin >listing.txt 2>/dev/null || :"
        read_folders = [str(Path(t).parent) for t in (tool[0], lister) if t is not None]
        with self._sandbox.scratch() as scratch:
            (scratch / "unit.ptx").write_text(text, encoding="utf-8")
            job = Job(
                command=("/bin/sh", "-c", script), scratch=scratch, limits=LIMITS,
                read=tuple(map(os.path.realpath, read_folders)),
            )  # fmt: skip
            outcome = await self._sandbox.run(job)
            if not outcome.ok:
                if outcome.reason == "error":
                    raise ToolkitError(f"the assembler could not run: {outcome.error}")
                log = bounded(outcome.stdout + outcome.stderr)
                text = f"the assembler refuses the kernel: {_last(log)}"
                raise refused(Verdict.COMPILE_ERROR, text, log=log)
            code = read_untrusted(scratch / "unit.cubin")
            listing = scratch / "listing.txt"
            words = read_untrusted(listing).decode(errors="replace") if listing.exists() else ""
        return code, re.sub(r"^ptxas\S*", "ptxas", outcome.stdout, flags=re.M), words

    def _fits(self, plan: LaunchPlan, unit: Unit) -> None:
        """Raises LaunchError where a launch gives other parameters than its kernel takes."""
        for stage in plan.stages:
            kernel = unit.image.kernels.get(unit.symbols[stage.entry])
            if kernel is None:
                raise LaunchError(f"{stage.path}: there is no kernel {stage.entry}")
            given = tuple(p.bytes for p in stage.params)
            if given != kernel.params:
                raise LaunchError(
                    f"{stage.path}: {stage.entry} takes parameters of {kernel.params} bytes and "
                    f"is given {given}"
                )


def _main_file(candidate: Candidate) -> str:
    """The file with the function `launch`. Raises Rejected."""
    files = [
        name
        for name, text in candidate.files.items()
        if name.endswith(".py") and re.search(r"^def launch\b", text, re.MULTILINE)
    ]
    if len(files) != 1:
        have = ", ".join(files) or "none"
        text = f"one file ending in .py must define the function launch; it is in: {have}"
        raise refused(Verdict.COMPILE_ERROR, text)
    return files[0]


def _python(language: TracedLanguage, scratch: Path) -> Job:
    recorder = language.folder / "recorder.py"
    own = [str(CHILD), str(recorder), *(str(language.folder / part) for part in language.parts)]
    read = [*own, *(e for e in sys.path if e.endswith(("-packages", "/lib-dynload")))]
    files = (str(recorder), "request.json", "reply.json")
    return Job(
        command=(sys.executable, "-I", "-B", str(CHILD), *files),
        scratch=scratch,
        limits=LIMITS,
        read=tuple(dict.fromkeys(os.path.realpath(p) for p in read if not p.startswith("/usr/"))),
        environment=dict(language.environment),
    )


def _ended(outcome: Outcome) -> Exception:
    """Why the candidate's Python gave no reply."""
    if outcome.reason == "error":
        return ToolkitError(f"the compiler could not run: {outcome.error}")
    if outcome.reason == "time":
        text = f"compiling took longer than {LIMITS.seconds:.0f} s"
        return refused(Verdict.TIMEOUT, text)
    why = f"code {outcome.exit_code}" if outcome.reason == "exited" else outcome.reason
    log = bounded(outcome.stderr)
    text = f"the compiler ended with {why}: {_last(log)}" if log else f"the compiler ended: {why}"
    return refused(Verdict.COMPILE_ERROR, text[:300], log=log)


def _refusal(
    language: TracedLanguage, trouble: Trouble | None, configuration: str, printed: str
) -> Exception:
    if trouble is None:
        text = "launch was not run: it ended for an earlier configuration"
        return refused(Verdict.COMPILE_ERROR, text)
    if f"No module named '{language.module}'" in trouble.error:
        return ToolkitError(f"{language.title} is not installed: {language.extra}")
    first = next((line for line in trouble.error.splitlines() if line.strip()), "no reason")
    log = bounded("\n".join(filter(None, [trouble.log, printed])))
    return refused(Verdict.COMPILE_ERROR, first.strip()[:300], log=log, configuration=configuration)


def _last(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return (next((line for line in lines if "error" in line.lower()), "") or (lines or [""])[-1])[
        :200
    ]
