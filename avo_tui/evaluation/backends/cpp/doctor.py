"""The check of `avo doctor` whether this machine's compiler is fit for candidates: it tries one."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cpp.compiler import OPENMP_ARCHIVE, CompiledCpp, Compiler
from avo_tui.evaluation.backends.cpp.toolchain import Toolchain, find_toolchain, output_of
from avo_tui.evaluation.finding import Finding
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import SandboxError
from avo_tui.evaluation.sandbox.run import Sandbox

_RUNTIME, _OPENMP = "libstdc++.so", "libgomp.so"


async def examine_compiler() -> Finding:
    """Compiles a small honest candidate in the sandbox, and judges what it uses."""
    try:
        toolchain = await find_toolchain()
        tried = await _try(toolchain)
    except (EvaluatorError, SandboxError) as error:
        return Finding(name="compiler", state="fail", text=str(error))
    text = f"{toolchain.version} at {toolchain.compiler}"
    usual = shutil.which("g++")
    other = "to another" if usual in (None, toolchain.compiler) else f"to {usual}"
    if isinstance(tried, Rejected):
        text += f"; it makes no trial candidate that can be accepted: {_what(tried)}"
        return Finding(name="compiler", state="fail", text=f"{text}; set CXX {other}")
    compiled, refused = tried
    remarks = ["a trial candidate compiles and is accepted"]
    if refused is not None:
        why = await _why_not_shared(toolchain.compiler, _OPENMP)
        why = why if OPENMP_ARCHIVE in refused.feedback.log else _what(refused)
        remarks.append(f"one that uses OpenMP does not compile: {why}; or set CXX {other}")
    if compiled.own_object is not None:
        why = await _why_not_shared(toolchain.compiler, _RUNTIME)
        remarks.append(f"the C++ runtime library is linked into each candidate, because {why}")
    if not shutil.which("objdump"):
        remarks.append("without objdump there are no instruction counts: install binutils")
    return Finding(
        name="compiler",
        state="ok" if len(remarks) == 1 else "warn",
        text="; ".join([text, *remarks]),
    )


async def _try(toolchain: Toolchain) -> tuple[CompiledCpp, Rejected | None] | Rejected:
    """(a compiled trial candidate, why one with OpenMP is refused), or why each is."""
    # Where candidates are refused for a weak sandbox, the check of the sandbox says so.
    compiler, sandbox = Compiler(toolchain), Sandbox(allow_weak=True)
    try:
        return await compiler.trial(sandbox, openmp=True), None
    except Rejected as rejected:
        first = rejected
    try:
        return await compiler.trial(sandbox, openmp=False), first
    except Rejected as rejected:
        return rejected


def _what(rejected: Rejected) -> str:
    log = rejected.feedback.log.strip().splitlines()[:3]
    return " ".join([rejected.feedback.summary, *log])


async def _why_not_shared(compiler: str, library: str) -> str:
    """Why the sandboxed compiler does not link the shared `library`, and what helps."""
    answer = await output_of(compiler, f"-print-file-name={library}", trouble="set CXX to another")
    return _why_not_read(Path(answer))


def _why_not_read(named: Path) -> str:
    """`named`: where the compiler says its shared runtime library is."""
    path = named.resolve()
    if not named.is_absolute() or not path.exists():
        return (
            f"the compiler finds no {named.name}: install it (Debian and Ubuntu: the packages "
            "libstdc++6 and libgomp1, and libstdc++-dev of the compiler's version)"
        )
    for part in (path, *path.parents):
        needed = stat.S_IROTH if part == path else stat.S_IXOTH
        if not part.stat().st_mode & needed:
            right = "r" if part == path else "x"
            return (
                f"other users, as whom a sandbox runs, cannot read {part}: chmod o+{right} {part}"
            )
    return f"the compiler prefers an archive to {path}"
