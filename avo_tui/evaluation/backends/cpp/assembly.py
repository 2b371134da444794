"""The machine code of a C++ candidate, as objdump lists it."""

from __future__ import annotations

import re
import shutil

from avo_tui.domain.questions import Window
from avo_tui.evaluation.backends.cpp.compiler import LIMITS, CompiledCpp, Compiler, copy_into
from avo_tui.evaluation.backends.cpp.loop_profile import reached_text, sampled_text
from avo_tui.evaluation.backends.cpp.loops import innermost_loops, loops_text
from avo_tui.evaluation.backends.cpp.sampled import NotSampledError, sample
from avo_tui.evaluation.backends.cpp.toolchain import read_untrusted
from avo_tui.evaluation.disassembly_view import shown, split_objdump
from avo_tui.evaluation.input_files import DrawnInputs
from avo_tui.evaluation.sandbox.policy import Job
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task

_FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$", re.MULTILINE)
_MISSING = "objdump is not installed on this machine: install binutils."


async def disassemble(
    compiled: CompiledCpp, sandbox: Sandbox, function: str | None, window: Window
) -> str:
    """The assembly of a function; counts of instructions by kind go first."""
    text = await _listing(compiled, sandbox)
    if text is None:
        return _MISSING
    facts = {}
    if summary := compiled.resources.summary():
        facts["resources"] = summary
    wanted = function or deepest(text)
    return shown(split_objdump(text), wanted, facts, window)


def deepest(listing: str) -> str | None:
    """The function with the loop nested deepest, loops around its calls included; None without a
    loop."""
    loops = innermost_loops(listing)
    return loops[0].function if loops else None


async def profile(
    task: Task,
    compiled: CompiledCpp,
    drawn: DrawnInputs,
    tools: Compiler,
    sandbox: Sandbox,
    ceiling: float | None = 0.0,
) -> str:
    """Where the time goes on these inputs, and what the innermost loops consist of.

    `ceiling`: operations per second that one core reaches; 0 where it is not known; None for
    shares only, without what a call takes.
    """
    text = await _listing(compiled, sandbox)
    if text is None:
        return _MISSING
    try:
        samples = await sample(task, compiled, drawn, tools, sandbox)
        if ceiling is None:
            return sampled_text(text, samples, times=False)
        reached = reached_text(samples, task.work(drawn.configuration), ceiling)
        return sampled_text(text, samples, reached)
    except NotSampledError as error:
        return f"Not sampled on {drawn.about}: {error}.\n{loops_text(text)}"


async def _listing(compiled: CompiledCpp, sandbox: Sandbox) -> str | None:
    """objdump's listing of the candidate's code; None where there is no objdump."""
    if shutil.which("objdump") is None:
        return None
    own = compiled.own_object
    with sandbox.scratch() as scratch:
        copy_into(scratch, compiled.library, *([] if own is None else [own]))
        command = "objdump -d -C --no-show-raw-insn -j .text candidate.so > listing.txt"
        if own is not None:
            command += f" && objdump -d -C {own.name} > own.txt"
        outcome = await sandbox.run(
            Job(command=("/bin/sh", "-c", command), scratch=scratch, limits=LIMITS)
        )
        if not outcome.ok:
            return ""
        listing = read_untrusted(scratch / "listing.txt").decode(errors="replace")
        if own is None:
            return listing
        return _only(
            _functions(read_untrusted(scratch / "own.txt").decode(errors="replace")), listing
        )


def _functions(listing: str) -> frozenset[str]:
    return frozenset(_FUNCTION.findall(listing))


def _only(functions: frozenset[str], listing: str) -> str:
    """The listing without those functions that a linked runtime library brought."""
    head, *blocks = re.split(r"(?m)^(?=[0-9a-f]+ <)", listing)
    kept = [b for b in blocks if (name := _FUNCTION.match(b)) and name[1] in functions]
    return "".join([head, *kept])
