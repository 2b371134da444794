"""The compiler's log: resources per kernel, and the warnings that cost speed."""

from __future__ import annotations

import re

from avo_tui.domain.base import Value


class KernelUse(Value):
    """What ptxas says of one kernel."""

    registers: int = 0
    barriers: int = 0
    stack_bytes: int = 0
    spill_stores: int = 0
    spill_loads: int = 0
    static_shared: int = 0


_ENTRY = re.compile(r"Compiling entry function '([^']+)'")
_PROPERTIES = re.compile(r"Function properties for (\S+)")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_BARRIERS = re.compile(r"used (\d+) barriers")
_SHARED = re.compile(r"(\d+) bytes smem")

ADVICE = {
    "C7504": "setmaxnreg was ignored (the code came through PTX); it has no effect here",
    "C7506": "setmaxnreg was ignored: the kernel's register count is not known at entry",
    "C7508": "setmaxnreg was ignored: the kernel needs a register cap at entry; write "
    "__launch_bounds__(threads, 1) and choose the roles in one if/else",
    "C7510": "wgmma was serialised: its accumulators are touched, or cross a call, between the "
    "matrix instructions; this costs most of the speed",
    "C7514": "wgmma was serialised: its accumulators are used without a wait before; this costs "
    "most of the speed",
}
_CODE = re.compile(r"\b(C75\d\d)\b")
_WARNING = re.compile(r"^.*\bwarning\b.*$", re.IGNORECASE | re.MULTILINE)


def kernels(log: str) -> dict[str, KernelUse]:
    """Resources per kernel, by its symbol."""
    uses: dict[str, KernelUse] = {}
    name = ""
    for line in log.splitlines():
        if match := _ENTRY.search(line):
            name = match[1]
            uses.setdefault(name, KernelUse())
        if match := _PROPERTIES.search(line):
            name = match[1]
        if name not in uses:
            continue
        update: dict[str, int] = {}
        if match := _STACK.search(line):
            update = {
                "stack_bytes": int(match[1]),
                "spill_stores": int(match[2]),
                "spill_loads": int(match[3]),
            }
        if match := _USED.search(line):
            update["registers"] = int(match[1])
            if match := _BARRIERS.search(line):
                update["barriers"] = int(match[1])
            if match := _SHARED.search(line):
                update["static_shared"] = int(match[1])
        if update:
            uses[name] = uses[name].model_copy(update=update)
    return uses


def warnings(log: str) -> tuple[str, ...]:
    """Warnings worth an agent's attention, each once: those that cost speed first."""
    texts: list[str] = []
    for line in log.splitlines():
        code = _CODE.search(line)
        if code and code[1] in ADVICE:
            texts.append(f"{code[1]}: {ADVICE[code[1]]}")
        elif code:
            texts.append(line.strip())
    for match in _WARNING.finditer(log):
        if not _CODE.search(match[0]):
            texts.append(match[0].strip()[:300])
    return tuple(dict.fromkeys(texts))[:20]


def tidy(log: str) -> str:
    """The log without the lines that say nothing: compile times and empty ones."""
    kept = [
        line.rstrip() for line in log.splitlines() if line.strip() and "Compile time =" not in line
    ]
    return "\n".join(kept)
