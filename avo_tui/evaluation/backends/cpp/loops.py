"""Finds the innermost loops of a candidate in objdump's listing and counts their instructions.

Programs in a container can rarely read the processor's counters. The content of the loops answers
most questions: is the code vectorised, do accumulators stay in registers or go through memory,
which functions are called. Depth is counted through calls: a loop of a function that is called
from within two loops is three deep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

from avo_tui.domain.report import Resources

_LINE = re.compile(r"^\s+[0-9a-f]+:\t(?:[0-9a-f]{2} )*\s*([a-z][\w.]*)\s*(.*)$", re.MULTILINE)
_WIDTHS = (("zmm", "512-bit"), ("ymm", "256-bit"), ("xmm", "128-bit"))
TILE_PRODUCTS = "tile products"
"""Instructions of AMX that multiply matrices, as `count` names them."""
_ARM_VECTOR = re.compile(r"\bv\d+\.(4s|2d|8h|16b)")
_STACK = re.compile(r"-?(?:0x[0-9a-f]+)?\(%r[sb]p")
_FLUSHES = re.compile(r"clflush(opt)?|clwb|cldemote|wb(no)?invd|invd")
_FLUSHES_ON_ARM = re.compile(r"(c|ci|i)va[cpu]\w*")
"""Operands of `dc`, which a program may use on AArch64."""


def _width(operands: str) -> str:
    for register, name in _WIDTHS:
        if register in operands:
            return name
    if _ARM_VECTOR.search(operands):
        return "128-bit"
    return "scalar"


def count(listing: str) -> dict[str, int]:
    """Class of instruction → how many: fused multiply-adds by width, vector spills, divisions."""
    counts: dict[str, int] = {}

    def add(name: str) -> None:
        counts[name] = counts.get(name, 0) + 1

    for mnemonic, operands in _LINE.findall(listing):
        add("instructions")
        single = mnemonic.endswith(("ss", "sd"))
        width = "scalar" if single else _width(operands)
        if mnemonic.startswith(("vfmadd", "vfnmadd", "vfmsub", "vfnmsub", "fmla", "fmadd")):
            add(f"fma {width}")
        elif mnemonic.startswith(("vmul", "mulp", "muls", "fmul")):
            add(f"multiply {width}")
        elif mnemonic.startswith(("vdiv", "divp", "divs", "fdiv", "vsqrt", "fsqrt")):
            add("divisions")
        elif mnemonic.startswith("tdp"):
            add(TILE_PRODUCTS)
        elif mnemonic.startswith(("vgather", "vpgather")):
            add("gathers")
        elif mnemonic.startswith(("call", "bl")) and not mnemonic.startswith("blend"):
            add("calls")
        if width not in ("scalar",) and "mov" in mnemonic and _STACK.search(operands):
            add("vector stack moves")
    return counts


def cache_flush(listing: str) -> str:
    """The first instruction that takes memory out of the caches; empty if there is none.

    A kernel has no use for one. The code of the C library is in memory that all processes share:
    a candidate that flushes it slows the one that is timed after it, at next to no cost of its own.
    """
    for mnemonic, operands in _LINE.findall(listing):
        word = operands.partition(",")[0].strip()
        if _FLUSHES.fullmatch(mnemonic):
            return str(mnemonic)
        if mnemonic == "dc" and _FLUSHES_ON_ARM.fullmatch(word):
            return f"dc {word}"
    return ""


def resources(listing: str, code_bytes: int, warnings: tuple[str, ...]) -> Resources:
    """The static facts of a compiled candidate; counts are over all of its code."""
    return Resources(code_bytes=code_bytes, instructions=count(listing), warnings=warnings)


_ROOT = -1
"""Stands for whatever enters the function, before block 0."""


def natural_loops(following: Sequence[Sequence[int]]) -> dict[int, frozenset[int]]:
    """Header → the blocks of its loop, the header included.

    `following[i]` are the blocks that can run after block `i`; block 0 is entered first. What
    cannot be reached from there is in no loop.
    """
    if not following:
        return {}
    before: dict[int, list[int]] = {i: [] for i in range(len(following))}
    order = _order(following)
    for block, targets in enumerate(following):
        for target in targets if block in order else ():
            before[target].append(block)
    parent = _dominators(order, before)
    loops: dict[int, set[int]] = {}
    for block, targets in enumerate(following):
        for header in targets:
            if _dominates(header, block, parent, order):
                loops.setdefault(header, {header}).update(_body(header, block, before))
    return {header: frozenset(body) for header, body in loops.items()}


def depths(loops: Mapping[int, frozenset[int]], blocks: int) -> list[int]:
    """Block → how many loops contain it."""
    depth = [0] * blocks
    for body in loops.values():
        for block in body:
            depth[block] += 1
    return depth


def innermost(loops: Mapping[int, frozenset[int]]) -> list[int]:
    """Headers of the loops that contain no other loop."""
    return [
        header
        for header, body in loops.items()
        if not any(other in body for other in loops if other != header)
    ]


def _order(following: Sequence[Sequence[int]]) -> dict[int, int]:
    """Block that can be reached → its number in reverse postorder, in which a block follows its
    dominators."""
    done: list[int] = []
    seen = {0}
    stack = [(0, iter(following[0]))]
    while stack:
        block, targets = stack[-1]
        target = next((t for t in targets if t not in seen), None)
        if target is None:
            done.append(block)
            stack.pop()
        else:
            seen.add(target)
            stack.append((target, iter(following[target])))
    return {_ROOT: 0} | {block: i for i, block in enumerate(reversed(done), start=1)}


def _dominators(order: Mapping[int, int], before: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Block → its immediate dominator (Cooper, Harvey and Kennedy, "A simple, fast dominance
    algorithm")."""
    parent = {_ROOT: _ROOT}
    changed = True
    while changed:
        changed = False
        for block in order:
            if block == _ROOT:
                continue
            known = [_ROOT] if block == 0 else [p for p in before[block] if p in parent]
            new = known[0]
            for other in known[1:]:
                new = _common(new, other, parent, order)
            if parent.get(block) != new:
                parent[block] = new
                changed = True
    return parent


def _common(one: int, other: int, parent: Mapping[int, int], order: Mapping[int, int]) -> int:
    while one != other:
        while order[one] > order[other]:
            one = parent[one]
        while order[other] > order[one]:
            other = parent[other]
    return one


def _dominates(
    header: int, block: int, parent: Mapping[int, int], order: Mapping[int, int]
) -> bool:
    if block not in parent:
        return False  # nothing leads there
    while order[block] > order[header]:
        block = parent[block]
    return block == header


def _body(header: int, latch: int, before: Mapping[int, Sequence[int]]) -> set[int]:
    """The blocks that reach `latch` without passing the header."""
    body = {header}
    stack = [latch]
    while stack:
        block = stack.pop()
        if block not in body:
            body.add(block)
            stack += before[block]
    return body


MOST = 16
"""Largest number of loops reported."""
SHORTEST = 3
"""Smallest number of instructions of a reported loop."""
CHAIN = 8
"""Largest number of calls in a row that are followed to find the loops around a function."""

_FUNCTION = re.compile(r"^([0-9a-f]+) <(.+)>:$")
_INSTRUCTION = re.compile(r"^\s+([0-9a-f]+):\t(\S+)\s*(.*)$")
_TARGET = re.compile(r"^([0-9a-f]+)\b")
_ON_STACK = re.compile(r"\(%r[sb]p")
_ADDRESS_ONLY = ("lea", "nop", "prefetch", "call", "j")
"""Beginnings of mnemonics whose memory operand is not read or written by the instruction."""
_PREFIXES = frozenset({"notrack", "bnd"})
"""Prefixes of jumps and calls that objdump writes as words of their own."""
_READS_ONLY = ("cmp", "test", "vucomi", "vcomi", "ucomi", "comi", "vptest", "push", "bt")
"""Beginnings of mnemonics that only read, even if the last operand is memory."""
_MOVE = re.compile(r"^%[xyz]mm\d+,\s*%[xyz]mm\d+$")


@dataclass(frozen=True)
class Loop:
    """An innermost loop: one that contains no other."""

    function: str
    first: int
    """Address of its first instruction."""
    lines: tuple[str, ...] = field(repr=False)
    depth: int = 1
    """Nesting depth, including the loop itself and the loops around the calls of its function: a
    loop in a loop in a loop has 3."""

    @cached_property
    def _read(self) -> list[re.Match[str]]:
        """Address, mnemonic and operands of each instruction."""
        return [match for match in map(_INSTRUCTION.match, self.lines) if match is not None]

    @property
    def addresses(self) -> tuple[int, ...]:
        """Address of each instruction, as in `lines`."""
        return tuple(int(match[1], 16) for match in self._read)

    @property
    def parts(self) -> dict[str, int]:
        """Class of instruction → how many in one pass."""
        return count("\n".join(self.lines) + "\n")

    @property
    def stack(self) -> int:
        """Instructions that read or write the stack."""
        return sum(bool(_ON_STACK.search(line)) for line in self.lines)

    @property
    def moves(self) -> int:
        """Copies from one vector register to another."""
        return sum("mov" in m[2] and bool(_MOVE.match(m[3].strip())) for m in self._read)

    @property
    def memory(self) -> tuple[int, int]:
        """(instructions that read memory, instructions that write memory), the stack included.

        An accumulator that does not stay in a register shows as one write for each multiply-add.
        """
        touches = [_touches(match[2], match[3]) for match in self._read]
        return sum(read for read, _ in touches), sum(written for _, written in touches)

    @property
    def multiplies(self) -> int:
        """Number of multiplications and fused multiply-adds; shows how important a loop is."""
        return sum(n for name, n in self.parts.items() if name.startswith(("fma", "multiply")))

    def line(self) -> str:
        """The loop in a line of text."""
        parts = self.parts
        size = parts.pop("instructions", 0)
        kinds = [f"{n} {name}" for name, n in parts.items() if name != "vector stack moves"]
        reads, writes = self.memory
        kinds += [f"{reads} loads", f"{writes} stores", f"{self.stack} stack accesses"]
        kinds.append(f"{self.moves} register moves")
        return (
            f"{self.function} at {self.first:x}: {self.depth} deep, {size} instructions:"
            f" {', '.join(kinds)}"
        )


class _Function:
    """A function of the listing."""

    def __init__(self, name: str, start: int) -> None:
        self.name, self.start = name, start
        self.body: list[tuple[int, str, str]] = []
        """Per instruction: address, mnemonic, operands."""
        self.lines: list[str] = []

    def target(self, i: int) -> int | None:
        """The address that instruction `i` jumps to or calls; None if it is computed."""
        match = _TARGET.match(self.body[i][2])
        return int(match[1], 16) if match is not None else None

    @cached_property
    def blocks(self) -> list[range]:
        """Indices of the instructions of each block: those that run one after the other."""
        index = {address: i for i, (address, _, _) in enumerate(self.body)}
        starts = {0}
        for i, (_, name, _) in enumerate(self.body):
            if name.startswith(("j", "ret", "ud2", "hlt")):
                starts.add(i + 1)
                target = self.target(i) if name.startswith("j") else None
                if target in index:
                    starts.add(index[target])
        bounds = sorted({*starts, len(self.body)})
        return [range(a, b) for a, b in pairwise(bounds) if b <= len(self.body)]

    @cached_property
    def loops(self) -> dict[int, frozenset[int]]:
        """The loops, as numbers of blocks."""
        number = {self.body[block[0]][0]: n for n, block in enumerate(self.blocks)}
        following: list[list[int]] = []
        for n, block in enumerate(self.blocks):
            name = self.body[block[-1]][1]
            target = self.target(block[-1]) if name.startswith("j") else None
            after = [number[target]] if target in number else []
            if not name.startswith(("jmp", "ret", "ud2", "hlt")) and n + 1 < len(self.blocks):
                after.append(n + 1)
            following.append(after)
        dead = {n for n, block in enumerate(self.blocks) if self._padding(block)}
        orphans = set(range(1, len(following))).difference(dead, *following)
        for n, block in enumerate(self.blocks):
            if "*" in self.body[block[-1]][2] and self.body[block[-1]][1].startswith("jmp"):
                following[n] += orphans  # a table of jumps leads to what nothing else leads to
        return natural_loops(following)

    def _padding(self, block: range) -> bool:
        """Whether a block only fills the space before a loop that begins at a round address."""
        fillers = ("nop", "data16", "cs", "xchg")
        return all(self.body[i][1].startswith(fillers) for i in block)

    @cached_property
    def depth(self) -> list[int]:
        """Block → number of loops that contain it."""
        return depths(self.loops, len(self.blocks))

    def calls(self) -> Iterator[tuple[int, int]]:
        """(address that is called or jumped to outside the function, number of loops around)."""
        inside = {address for address, _, _ in self.body}
        for n, block in enumerate(self.blocks):
            for i in block:
                target = self.target(i) if self.body[i][1].startswith(("call", "j")) else None
                if target is not None and target not in inside:
                    yield target, self.depth[n]


def innermost_loops(listing: str) -> list[Loop]:
    """The innermost loops of a listing, those that are likely to run most often first.

    By how many loops they are nested in, those around the calls of their function included, then by
    multiplications: what is nested deeply runs once for each pass of all loops around it, whereas
    tails and special cases are nested less.
    """
    functions = list(_functions(listing))
    around = _loops_around(functions)
    loops = [
        replace(loop, depth=loop.depth + around[function.start])
        for function in functions
        for loop in _loops(function)
    ]
    return sorted(loops, key=lambda loop: (-loop.depth, -loop.multiplies))


def function_ranges(listing: str) -> list[tuple[str, range]]:
    """(name, addresses) of each function of a listing."""
    return [
        (function.name, range(function.start, function.body[-1][0] + 1))
        for function in _functions(listing)
        if function.body
    ]


def _functions(listing: str) -> Iterator[_Function]:
    function: _Function | None = None
    for line in listing.splitlines():
        if match := _FUNCTION.match(line):
            if function is not None:
                yield function
            function = _Function(match[2], int(match[1], 16))
        elif function is not None and (match := _INSTRUCTION.match(line)):
            name, operands = match[2], match[3]
            if name in _PREFIXES:
                name, _, operands = operands.partition(" ")
            function.body.append((int(match[1], 16), name, operands.strip()))
            function.lines.append(line)
    if function is not None:
        yield function


def _loops_around(functions: Sequence[_Function]) -> Mapping[int, int]:
    """Start of a function → the largest number of loops around any chain of calls to it.

    Chains of up to `CHAIN` calls are followed, which also bounds what functions that call each
    other count.
    """
    starts = {function.start for function in functions}
    calls: set[tuple[int, int, int]] = set()
    for function in functions:
        calls |= {
            (function.start, target, depth)
            for target, depth in function.calls()
            if target in starts and target != function.start
        }
    around = dict.fromkeys(starts, 0)
    for _ in range(CHAIN):
        before = dict(around)
        for caller, target, depth in calls:
            around[target] = max(around[target], before[caller] + depth)
        if around == before:
            break
    return around


def _touches(name: str, operands: str) -> tuple[bool, bool]:
    """Whether an instruction reads memory, and whether it writes it.

    In AT&T's order the last operand is the one that is written.
    """
    if "(" not in operands or name.startswith(_ADDRESS_ONLY):
        return False, False
    comment_free = operands.partition("#")[0].partition("<")[0].strip()
    last_is_memory = comment_free.endswith(")") or comment_free.endswith("}")
    if comment_free.endswith("}"):  # a mask: what it belongs to stands before
        last_is_memory = comment_free.partition("{")[0].endswith(")")
    if not last_is_memory or name.startswith(_READS_ONLY):
        return True, False
    return "mov" not in name and not name.startswith(("vextract", "set")), True


def _loops(function: _Function) -> Iterator[Loop]:
    for header in innermost(function.loops):
        blocks = sorted(function.loops[header])
        inside = [i for block in blocks for i in function.blocks[block]]
        if len(inside) >= SHORTEST:
            first = function.body[inside[0]][0]
            lines = tuple(function.lines[i] for i in inside)
            yield Loop(function.name, first, lines, depth=function.depth[header])


def _shown(loops: Sequence[Loop]) -> list[Loop]:
    """The first `MOST` loops, but at least the first one of each function as far as that goes."""
    first = {loop.function: loop for loop in reversed(loops)}
    kept = [loop for loop in loops if first[loop.function] is loop][:MOST]
    kept += [loop for loop in loops if loop not in kept][: MOST - len(kept)]
    return [loop for loop in loops if loop in kept]


def loops_text(listing: str) -> str:
    """The loops as text of several lines; one sentence if there are none."""
    loops = innermost_loops(listing)
    if not loops:
        return "There is no loop in the machine code: it is unrolled or calls a library."
    lines = [
        f"{len(loops)} innermost loops, counted in the machine code, not sampled: how often each"
        " runs is not known. Those nested in the most loops first, the loops around calls of their"
        " function included, among them those with the most multiplications. Loads and stores count"
        " all instructions that read and write memory: as many stores as multiply-adds mean that"
        " accumulators go through memory instead of staying in registers. Stack accesses are"
        " accumulators or indices that did not fit the registers."
    ]
    shown = _shown(loops)
    lines += [f"- {loop.line()}" for loop in shown]
    if len(shown) < len(loops):
        lines.append(
            f"{len(loops) - len(shown)} more are left out; disassemble(function=…) shows any"
            " function around its hottest loop."
        )
    return "\n".join(lines)
