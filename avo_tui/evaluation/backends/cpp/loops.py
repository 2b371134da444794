"""Finds the innermost loops of a candidate in objdump's listing and counts their instructions.

Programs in a container can rarely read the processor's counters. The content of the loops answers
most questions: is the code vectorised, are accumulators on the stack, which functions are called.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from avo_tui.evaluation.backends.cpp.disassembly import count

MOST = 12
"""Largest number of loops reported."""
SHORTEST = 3
"""Smallest number of instructions of a reported loop."""

_FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
_INSTRUCTION = re.compile(r"^\s+([0-9a-f]+):\t(\S+)\s*(.*)$")
_TARGET = re.compile(r"^([0-9a-f]+)\b")
_STACK = re.compile(r"\(%r[sb]p")
_MOVE = re.compile(r"^%[xyz]mm\d+,\s*%[xyz]mm\d+$")


@dataclass(frozen=True)
class Loop:
    """An innermost loop: a backward jump that contains no other one."""

    function: str
    first: int
    """Address of its first instruction."""
    lines: tuple[str, ...] = field(repr=False)
    depth: int = 1
    """Nesting depth, including the loop itself: a loop in a loop in a loop has 3."""

    @property
    def parts(self) -> dict[str, int]:
        """Class of instruction → how many in one pass."""
        return count("\n".join(self.lines) + "\n")

    @property
    def stack(self) -> int:
        """Instructions that read or write the stack."""
        return sum(bool(_STACK.search(line)) for line in self.lines)

    @property
    def moves(self) -> int:
        """Copies from one vector register to another."""
        operands = [(m[2], m[3]) for line in self.lines if (m := _INSTRUCTION.match(line))]
        return sum("mov" in name and bool(_MOVE.match(rest.strip())) for name, rest in operands)

    @property
    def multiplies(self) -> int:
        """Number of multiplications and fused multiply-adds; shows how important a loop is."""
        return sum(n for name, n in self.parts.items() if name.startswith(("fma", "multiply")))

    def line(self) -> str:
        """The loop in a line of text."""
        parts = self.parts
        size = parts.pop("instructions", 0)
        kinds = [f"{n} {name}" for name, n in parts.items() if name != "vector stack moves"]
        kinds += [f"{self.stack} stack accesses", f"{self.moves} register moves"]
        return (
            f"{self.function} at {self.first:x}: {self.depth} deep, {size} instructions:"
            f" {', '.join(kinds)}"
        )


def innermost_loops(listing: str) -> list[Loop]:
    """The innermost loops of a listing, those that are likely to run most often first.

    By how many loops they are nested in, then by multiplications: what is nested deeply runs once
    for each pass of all loops around it, whereas tails and special cases are nested less.
    """
    loops: list[Loop] = []
    function, body = "", list[tuple[int, str]]()
    for line in [*listing.splitlines(), "0 <end>:"]:
        if match := _FUNCTION.match(line):
            loops += _loops(function, body)
            function, body = match[1], []
        elif match := _INSTRUCTION.match(line):
            body.append((int(match[1], 16), line))
    return sorted(loops, key=lambda loop: (-loop.depth, -loop.multiplies))


def _loops(function: str, body: list[tuple[int, str]]) -> list[Loop]:
    index = {address: i for i, (address, _) in enumerate(body)}
    jumps: list[tuple[int, int]] = []
    for i, (_, line) in enumerate(body):
        match = _INSTRUCTION.match(line)
        assert match is not None
        target = _TARGET.match(match[3]) if match[2].startswith("j") else None
        begin = index.get(int(target[1], 16)) if target is not None else None
        if begin is not None and begin <= i:
            jumps.append((begin, i))
    inner = [
        (begin, end)
        for begin, end in jumps
        if not any(begin <= b and e <= end and (b, e) != (begin, end) for b, e in jumps)
    ]
    return [
        Loop(
            function,
            body[begin][0],
            tuple(line for _, line in body[begin : end + 1]),
            depth=len({b for b, e in jumps if b <= begin and end <= e}),
        )
        for begin, end in inner
        if end - begin + 1 >= SHORTEST
    ]


def loops_text(listing: str) -> str:
    """The loops as text of several lines; one sentence if there are none."""
    loops = innermost_loops(listing)
    if not loops:
        return "There is no loop in the machine code: it is unrolled or calls a library."
    lines = [
        f"{len(loops)} innermost loops, counted in the machine code, not sampled: how often each"
        " runs is not known. Those nested in the most loops first, among them those with the most"
        " multiplications. Stack accesses inside are accumulators or indices that did not fit the"
        " registers."
    ]
    return "\n".join([*lines, *(f"- {loop.line()}" for loop in loops[:MOST])])
