"""The machine code of a C++ candidate, as objdump lists it."""

from __future__ import annotations

import re
import shutil

from avo_tui.domain.verdict import Window
from avo_tui.evaluation.backends.cpp.compiler import LIMITS, CompiledCpp
from avo_tui.evaluation.backends.cpp.loops import loops_text
from avo_tui.evaluation.backends.cpp.toolchain import read_untrusted
from avo_tui.evaluation.disassembly_view import shown, split_objdump
from avo_tui.evaluation.sandbox.policy import Job
from avo_tui.evaluation.sandbox.run import Sandbox

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
    return shown(split_objdump(text), function, facts, window)


async def profile(compiled: CompiledCpp, sandbox: Sandbox) -> str:
    """What the innermost loops consist of."""
    text = await _listing(compiled, sandbox)
    return _MISSING if text is None else loops_text(text)


async def _listing(compiled: CompiledCpp, sandbox: Sandbox) -> str | None:
    """objdump's listing of the candidate's code; None where there is no objdump."""
    if shutil.which("objdump") is None:
        return None
    own = compiled.own_object
    with sandbox.scratch() as scratch:
        (scratch / "candidate.so").write_bytes(compiled.library.read_bytes())
        command = "objdump -d -C --no-show-raw-insn -j .text candidate.so > listing.txt"
        if own is not None:
            (scratch / own.name).write_bytes(own.read_bytes())
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
