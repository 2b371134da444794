"""Tools of CUDA's toolkit: Nsight Compute and compute-sanitizer over a run, nvdisasm over cubins.

The sanitizer runs a candidate's smallest configurations, whose buffers have no guard bands and no
poison then, so that it sees accesses beyond the end of memory and reads of what nobody wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import os
import re
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from avo_tui.domain.questions import ProfileWanted, Window
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Rejected, refused
from avo_tui.evaluation.backends.cpp.toolchain import read_untrusted
from avo_tui.evaluation.backends.cuda import toolkit
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.process import MODULE, child_environment
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.disassembly_view import Listing, shown, split_sass
from avo_tui.evaluation.sandbox.policy import MIB, Job, Limits
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.sandbox.tree import descendants


class WatchError(RuntimeError):
    """The tool could not do its work; the text is one sentence that says why."""


@dataclass(frozen=True)
class ToolRun:
    """The command for the tool to start, and the folder in which it may write."""

    folder: Path
    command: tuple[str, ...]
    """Command of the GPU process, to be appended to the tool and its options."""
    symbols: tuple[str, ...]
    """Names in the cubins of all kernels that are launched."""


@contextlib.contextmanager
def watched(
    task: CudaTask,
    compiled: CudaCompiled,
    configurations: Sequence[Configuration],
    *,
    bare: bool,
    kind: str = "normal",
) -> Iterator[ToolRun]:
    """Prepares one run on each configuration; `bare` without guard bands and poison.

    `kind`: of the inputs' values.
    """
    plans = [compiled.plans[c.name] for c in configurations]
    symbols = {
        compiled.unit.unit_of(plan.variant).symbols[stage.entry]
        for plan in plans
        for stage in plan.launches
    }
    size = 2 * max(sum(t.bytes for t in task.tensors(c) if t.output) for c in configurations)
    with tempfile.TemporaryDirectory(prefix="avo-watched-") as name:
        folder = Path(name)
        units = []
        for number, unit in enumerate(compiled.unit.units):
            path = folder / f"{number}.cubin"
            path.write_bytes(unit.code)
            units.append(unit.request(str(path)))
        requests: list[dict[str, object]] = [
            {"op": "open", "task": str(task.folder.resolve())},
            {"op": "load", "who": "candidate", "units": units},
        ]
        requests += [
            {
                "op": "run",
                "who": "candidate",
                **compiled.launch(configuration),
                "configuration": configuration.model_dump(),
                "seed": 1,
                "distribution": kind,
                "repeat": False,
                "perturb": False,
                "bare": bare,
            }
            for configuration in configurations
        ]
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        (folder / "requests").write_text(lines, encoding="utf-8")
        command = (sys.executable, "-m", MODULE, "-", "-", str(size))
        yield ToolRun(folder, command, tuple(sorted(symbols)))


async def run_tool(command: Sequence[str], prepared: ToolRun, seconds: float) -> tuple[int, str]:
    """(exit status, what was printed). Raises WatchError where it does not end in time.

    Everything that it started has ended then.
    """
    with (prepared.folder / "requests").open("rb") as requests:
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *command,
                *prepared.command,
                stdin=requests,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=child_environment(),
                cwd=prepared.folder,
                start_new_session=True,
            )
        )
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Cancelled itself, it would end the tool and leave what that has started.
            process = await starting
            _kill(process.pid)
            await process.wait()
            raise
    try:
        out, _ = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError as error:
        raise WatchError(f"{Path(command[0]).name} did not end within {seconds:.0f} s") from error
    finally:
        _kill(process.pid)
        await process.wait()
    return process.returncode or 0, out.decode(errors="replace")


def _kill(root: int) -> None:
    """Ends a tool with all that it started: tools give what they watch a group of its own."""
    below = descendants(root)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(root, signal.SIGKILL)
    for pid in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


SECONDS = 120.0
"""For one tool; kernels are tens of times slower below it."""
SECTIONS = (
    "SpeedOfLight",
    "ComputeWorkloadAnalysis",
    "MemoryWorkloadAnalysis",
    "SchedulerStats",
    "WarpStateStats",
    "Occupancy",
    "LaunchStats",
)
FIGURES = (
    "Duration",
    "SM Frequency",
    "Compute (SM) Throughput",
    "Memory Throughput",
    "DRAM Throughput",
    "L1/TEX Cache Throughput",
    "L2 Cache Throughput",
    "L2 Hit Rate",
    "Executed Ipc Active",
    "Issue Slots Busy",
    "No Eligible",
    "Eligible Warps Per Scheduler",
    "Warp Cycles Per Issued Instruction",
    "Registers Per Thread",
    "Dynamic Shared Memory Per Block",
    "Theoretical Occupancy",
    "Achieved Occupancy",
    "Waves Per SM",
)
TIMES = frozenset({"Duration", "SM Frequency"})
"""Figures from which it follows how long a launch takes."""
MAX_ADVICE = 6


async def profile(task: CudaTask, compiled: CudaCompiled, wanted: ProfileWanted) -> str:
    """Figures per launch and the profiler's own advice. Raises WatchError without any."""
    ncu = toolkit.tool("ncu")
    if ncu is None:
        raise WatchError("Nsight Compute (ncu) is not installed on this machine")
    configuration = next(c for c in task.configurations if c.name == wanted.configuration)
    stages = compiled.plans[configuration.name].stages
    with watched(task, compiled, [configuration], bare=False, kind=wanted.kind) as prepared:
        command = [
            ncu, "--clock-control", "none", "--target-processes", "all", "--csv",
            "--page", "details", "--kernel-name-base", "mangled",
            "--kernel-name", f"regex:^({'|'.join(map(re.escape, prepared.symbols))})$",
            "--launch-count", str(len(stages)),
            *(part for section in SECTIONS for part in ("--section", section)),
        ]  # fmt: skip
        _, text = await run_tool(command, prepared, SECONDS)
    about = f"{configuration.name}, inputs of the kind '{wanted.kind}'"
    return summarise(text, about, times=wanted.times)


def summarise(text: str, about: str, *, times: bool = True) -> str:
    """The figures of `ncu --csv --page details`, per launch, then the advice worth most.

    `about` says on which inputs. Without `times` what a launch takes is left out.
    """
    start = re.search(r'^"ID",', text, re.MULTILINE)
    table = csv.DictReader(io.StringIO(text[start.start() :])) if start else []
    # What the profiler and the process print may stand between and behind the rows.
    rows = [row for row in table if row["ID"].isdigit() and row.get("Kernel Name")]
    if not rows:
        errors = re.findall(r"^(?:==ERROR== |failed: )(.*)$", text, re.MULTILINE)
        last = text.strip().splitlines()
        reason = errors[0] if errors else last[-1][:300] if last else "it said nothing"
        raise WatchError(f"the profiler gave no figures: {reason}")
    lines: list[str] = []
    for number in dict.fromkeys(row["ID"] for row in rows):
        launch = [row for row in rows if row["ID"] == number]
        name = launch[0].get("Kernel Name", "kernel").split("(")[0]
        lines.append(f"{name} on {about}")
        known = {row["Metric Name"]: row for row in launch if row.get("Metric Name")}
        for figure in FIGURES:
            if figure in known and (times or figure not in TIMES):
                row = known[figure]
                lines.append(f"  {figure:<36}{row['Metric Value']:>14} {row['Metric Unit']}")
        advice = [row for row in launch if row.get("Rule Description")]
        for row in advice[:MAX_ADVICE]:
            lines.append(f"  · {' '.join(row['Rule Description'].split())[:400]}")
    return "\n".join(lines)


TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
SETTING = "AVO_SANITIZER"
"""Environment variable: the tools to run over candidates that are about to be committed."""
CONNECT_SECONDS = 60
MAX_FINDINGS = 3
MAX_LINES = 8
_NOISE = re.compile(r"^(COMPUTE-SANITIZER|(ERROR|LEAK|RACECHECK) SUMMARY|Saved host|\s*Host Frame)")
_SUMMARY = re.compile(r"^(?:ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard)")


def parse_tools(text: str) -> tuple[str, ...]:
    """Such as `memcheck,racecheck`; `all` is every tool, `off` or nothing is none.

    Raises ValueError that names the tools.
    """
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    if wanted in ([], ["off"]):
        return ()
    if wanted == ["all"]:
        return TOOLS
    unknown = [name for name in wanted if name not in TOOLS]
    if unknown:
        known = ", ".join(TOOLS)
        raise ValueError(f"there is no sanitizer {unknown[0]!r}; there are {known}, all and off")
    return tuple(dict.fromkeys(wanted))


def wanted() -> tuple[str, ...]:
    """The tools that the environment asks for. Raises ValueError where it asks for another."""
    try:
        return parse_tools(os.environ.get(SETTING, ""))
    except ValueError as error:
        raise ValueError(f"{SETTING}: {error}") from error


async def sanitize(task: CudaTask, compiled: CudaCompiled, tools: Sequence[str]) -> str:
    """A line for each tool. Raises Rejected for an access outside the candidate's memory.

    What the other tools find is told and decides nothing: they know neither every barrier that a
    kernel can build nor which of the values read are used.
    """
    program = toolkit.tool("compute-sanitizer")
    if program is None:
        return "compute-sanitizer is not installed on this machine; nothing was sanitized"
    configurations = smallest(task, compiled)
    names = ", ".join(c.name for c in configurations)
    lines = []
    for tool in tools:
        with watched(task, compiled, configurations, bare=True) as prepared:
            try:
                _, text = await run_tool(command(program, tool, prepared), prepared, SECONDS)
                reported = findings(text, prepared.symbols)
            except WatchError as error:
                lines.append(f"{tool}: no result on {names}: {error}")
                continue
        if not reported:
            lines.append(f"{tool}: nothing found on {names}")
            continue
        if tool == "memcheck":
            raise _outside(reported)
        lines += [
            f"{tool}: {len(reported)} findings on {names}, such as:",
            *reported[:MAX_FINDINGS],
        ]
    return "\n".join(lines)


def smallest(task: CudaTask, compiled: CudaCompiled) -> list[Configuration]:
    """The cheapest public configuration of each variant that the quick check runs."""
    chosen: dict[int | None, Configuration] = {}
    for case in sorted(task.quick_cases(), key=lambda case: task.flops(case.configuration)):
        if not case.hidden:
            variant = compiled.plans[case.configuration.name].variant
            chosen.setdefault(variant, case.configuration)
    return list(chosen.values())


def command(program: str, tool: str, prepared: ToolRun) -> list[str]:
    """The tool with its options; what it is to start comes behind them."""
    options = [
        program, "--tool", tool, "--target-processes", "application-only",
        "--launch-timeout", str(CONNECT_SECONDS), "--report-api-errors", "no",
        "--show-backtrace", "device", "--demangle", "simple", "--print-limit", "20",
    ]  # fmt: skip
    if tool == "initcheck":  # it must see also who writes the inputs
        return options
    return [*options, *(f"--kernel-name=kne={symbol}" for symbol in prepared.symbols)]


def findings(text: str, symbols: Sequence[str]) -> list[str]:
    """What the tool reports of the candidate's kernels, a few lines each.

    Raises WatchError where it could not do its work.
    """
    lines = [
        line[len("=========") :].removeprefix(" ").rstrip()
        for line in text.splitlines()
        if line.startswith("=========")
    ]
    if not any(_SUMMARY.match(line) for line in lines):
        errors = [line for line in lines if line.startswith("Error")]
        output = [line for line in text.splitlines() if line.strip()]
        raise WatchError(errors[0] if errors else output[-1][:300] if output else "it said nothing")
    blocks: list[list[str]] = [[]]
    for line in lines:
        if not line:
            blocks.append([])
        elif not _NOISE.match(line):
            blocks[-1].append(line)
    ours = re.compile("|".join(rf"\b{re.escape(symbol)}\b" for symbol in symbols))
    failed = [line for line in text.splitlines() if line.startswith("failed: ")]
    reported = ["\n".join(b[:MAX_LINES]) for b in blocks if b and ours.search("\n".join(b))]
    if not reported and failed:
        raise WatchError(f"the run {failed[0]}")
    return reported


def _outside(found: Sequence[str]) -> Rejected:
    return refused(
        Verdict.ILLEGAL_ACCESS,
        f"memcheck: {found[0].splitlines()[0]}",
        detail="\n\n".join(found[:MAX_FINDINGS]),
        hint="Reads count too. Check the indices at the ends of sequences and workspaces.",
    )


_LISTING = Limits(seconds=60, memory_bytes=2048 * MIB, address_bytes=None, processes=16)


async def disassemble(
    compiled: CudaCompiled, sandbox: Sandbox, function: str | None, window: Window
) -> str:
    """The SASS of a kernel; what the compiler says of registers and spills goes first."""
    tool = toolkit.nvdisasm()
    if tool is None:
        return "nvdisasm is not installed on this machine: pip install 'avo-tui[cuda]'."
    listings: list[Listing] = []
    for unit in (u for u in compiled.unit.units if not u.hidden):
        with sandbox.scratch() as scratch:
            (scratch / "unit.cubin").write_bytes(unit.code)
            command = f"{shlex.quote(tool)} -c -g unit.cubin > listing.txt"
            job = Job(
                command=("/bin/sh", "-c", command),
                scratch=scratch,
                limits=_LISTING,
                read=(str(Path(tool).parent),),
            )
            outcome = await sandbox.run(job)
            listing = scratch / "listing.txt"
            text = read_untrusted(listing).decode(errors="replace") if outcome.ok else ""
        variant = ", ".join(f"{name}={value}" for name, value in unit.macros.items())
        listings.extend(
            Listing(f"{one.name} [{variant}]" if variant else one.name, one.text)
            for one in split_sass(text)
        )
    facts = {"compiled for": compiled.facts.architecture}
    if summary := compiled.resources.summary():
        facts["resources"] = summary
    return shown(listings, function, facts, window)
