"""Nsight Compute on one run of a candidate: the handful of figures that say what limits it."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda import toolkit
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.process import MODULE, child_environment
from avo_tui.evaluation.backends.cuda.task import CudaTask

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
MAX_ADVICE = 6


class ProfilerError(RuntimeError):
    """There is no profile; the text is one sentence that says why."""


async def profile(
    task: CudaTask, compiled: CudaCompiled, configuration: Configuration, device: int
) -> str:
    """Figures per launch and the profiler's own advice. Raises ProfilerError without any."""
    ncu = toolkit.tool("ncu")
    if ncu is None:
        raise ProfilerError("Nsight Compute (ncu) is not installed on this machine")
    plan = compiled.plans[configuration.name]
    unit = compiled.unit.unit_of(plan.variant)
    symbols = sorted({unit.symbols[stage.entry] for stage in plan.stages})
    with tempfile.TemporaryDirectory(prefix="avo-profile-") as folder:
        requests = _requests(task, compiled, configuration, folder)
        script = Path(folder, "requests")
        await asyncio.to_thread(script.write_text, requests, encoding="utf-8")
        command = [
            ncu, "--clock-control", "none", "--target-processes", "all", "--csv",
            "--page", "details", "--kernel-name-base", "mangled",
            "--kernel-name", f"regex:^({'|'.join(map(re.escape, symbols))})$",
            "--launch-count", str(len(plan.stages)),
            *(part for section in SECTIONS for part in ("--section", section)),
            sys.executable, "-m", MODULE, "-", "-", str(_output_bytes(task, configuration)),
        ]  # fmt: skip
        text = await _run(command, script, device)
    return summarise(text, configuration.name)


def _requests(
    task: CudaTask, compiled: CudaCompiled, configuration: Configuration, folder: str
) -> str:
    units = []
    for number, unit in enumerate(compiled.unit.units):
        path = Path(folder, f"{number}.cubin")
        path.write_bytes(unit.code)
        units.append({"path": str(path), "symbols": unit.symbols})
    requests = [
        {"op": "open", "task": str(task.folder.resolve())},
        {"op": "load", "who": "candidate", "units": units},
        {
            "op": "run",
            "who": "candidate",
            **compiled.launch(configuration),
            "configuration": configuration.model_dump(),
            "seed": 1,
            "distribution": "normal",
            "repeat": False,
            "perturb": False,
        },
    ]
    return "".join(json.dumps(request) + "\n" for request in requests)


async def _run(command: Sequence[str], script: Path, device: int) -> str:
    with script.open("rb") as requests:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=requests,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=child_environment(device),
            cwd=script.parent,
            start_new_session=True,
        )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    except TimeoutError as error:
        raise ProfilerError(f"the profiler did not end within {SECONDS:.0f} s") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return out.decode(errors="replace")


def summarise(text: str, configuration: str) -> str:
    """The figures of `ncu --csv --page details`, per launch, then the advice worth most."""
    start = re.search(r'^"ID",', text, re.MULTILINE)
    rows = list(csv.DictReader(io.StringIO(text[start.start() :]))) if start else []
    if not rows:
        errors = re.findall(r"^==ERROR== (.*)$", text, re.MULTILINE)
        last = text.strip().splitlines()
        reason = errors[0] if errors else last[-1][:300] if last else "it said nothing"
        raise ProfilerError(f"the profiler gave no figures: {reason}")
    lines: list[str] = []
    for number in dict.fromkeys(row["ID"] for row in rows):
        launch = [row for row in rows if row["ID"] == number]
        name = launch[0].get("Kernel Name", "kernel").split("(")[0]
        lines.append(f"{name} on {configuration}")
        known = {row["Metric Name"]: row for row in launch if row.get("Metric Name")}
        for figure in FIGURES:
            if figure in known:
                row = known[figure]
                lines.append(f"  {figure:<36}{row['Metric Value']:>14} {row['Metric Unit']}")
        advice = [row for row in launch if row.get("Rule Description")]
        for row in advice[:MAX_ADVICE]:
            lines.append(f"  · {' '.join(row['Rule Description'].split())[:400]}")
    return "\n".join(lines)


def _output_bytes(task: CudaTask, configuration: Configuration) -> int:
    return 2 * sum(t.bytes for t in task.tensors(configuration) if t.output)
