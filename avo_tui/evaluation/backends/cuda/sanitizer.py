"""Runs compute-sanitizer on a candidate's smallest configurations, to find invalid accesses.

The buffers have no guard bands and no poison in these runs, so that the tool can detect accesses
beyond the end of memory and reads of memory that was never written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda import toolkit
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.backends.cuda.tool_run import ToolRun, WatchError, run_tool, watched

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
SETTING = "AVO_SANITIZER"
"""Environment variable: the tools to run over candidates that are about to be committed."""
SECONDS = 120.0
"""For one tool; kernels are tens of times slower below it."""
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


async def sanitize(
    task: CudaTask, compiled: CudaCompiled, device: int, tools: Sequence[str]
) -> str:
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
                _, text = await run_tool(
                    command(program, tool, prepared), prepared, device, SECONDS
                )
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
    return Rejected(
        Verdict.ILLEGAL_ACCESS,
        Feedback(
            summary=f"memcheck: {found[0].splitlines()[0]}",
            detail="\n\n".join(found[:MAX_FINDINGS]),
            hint="Reads count too. Check the indices at the ends of sequences and workspaces.",
        ),
    )
