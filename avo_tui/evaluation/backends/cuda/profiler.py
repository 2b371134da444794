"""Runs Nsight Compute on one run of a candidate and extracts the figures that show its limits."""

from __future__ import annotations

import csv
import io
import re

from avo_tui.domain.questions import ProfileWanted
from avo_tui.evaluation.backends.cuda import toolkit
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.backends.cuda.tool_run import WatchError, run_tool, watched

SECONDS = 120.0
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


async def profile(
    task: CudaTask, compiled: CudaCompiled, wanted: ProfileWanted, device: int
) -> str:
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
        _, text = await run_tool(command, prepared, device, SECONDS)
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
