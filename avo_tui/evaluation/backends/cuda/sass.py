"""The machine code of a CUDA candidate, as nvdisasm lists it."""

from __future__ import annotations

import shlex
from pathlib import Path

from avo_tui.domain.questions import Window
from avo_tui.evaluation.backends.cpp.toolchain import read_untrusted
from avo_tui.evaluation.backends.cuda import toolkit
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.disassembly_view import Listing, shown, split_sass
from avo_tui.evaluation.sandbox.policy import MIB, Job, Limits
from avo_tui.evaluation.sandbox.run import Sandbox

LIMITS = Limits(
    seconds=60,
    memory_bytes=2048 * MIB,
    address_bytes=None,
    processes=16,
)


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
                limits=LIMITS,
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
