"""Shows the machine code of a candidate: one listing per function, limited in length."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from avo_tui.domain.questions import Window

CHARACTERS = 13_000
"""Characters of one listing that are given unless a number of lines is asked for: what fits into
one answer of a tool."""

_SASS_SECTION = re.compile(r"^\s*\.section\s+\.text\.([^,\s]+)|^//-+ \.text\.(\S+)", re.MULTILINE)
_OBJDUMP_SYMBOL = re.compile(r"^[0-9a-f]+ <(.+)>:$", re.MULTILINE)

_ADDRESS = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,16}")
_LINES_BEFORE = 40
"""Lines that are shown before an address that was asked for."""


@dataclass(frozen=True)
class Listing:
    """The instructions of one function."""

    name: str
    text: str

    @property
    def lines(self) -> int:
        return self.text.count("\n") + 1


def split_sass(text: str) -> list[Listing]:
    """The kernels of nvdisasm's output."""
    return _split(text, _SASS_SECTION)


def split_objdump(text: str) -> list[Listing]:
    """The functions of objdump's output."""
    return _split(text, _OBJDUMP_SYMBOL)


def _split(text: str, heading: re.Pattern[str]) -> list[Listing]:
    starts = list(heading.finditer(text))
    bodies: dict[str, str] = {}
    for index, match in enumerate(starts):
        end = starts[index + 1].start() if index + 1 < len(starts) else len(text)
        name = next(group for group in match.groups() if group)
        body = text[match.end() : end].strip("\n")
        if len(body) > len(bodies.get(name, "")):
            bodies[name] = body
    return [Listing(name, body) for name, body in bodies.items() if body.strip()]


def shown(
    listings: list[Listing],
    wanted: str | None,
    facts: Mapping[str, object],
    window: Window | None = None,
) -> str:
    """One function's listing, after the list of all with their lengths.

    `wanted` is a part of a name, or the address of an instruction, around which lines are shown;
    the longest function without one. `facts` go first. Where the lines of `window` are not all
    there are, the text says which they are and how to read on.
    """
    if not listings:
        return "The listing is empty."
    window = window or Window()
    by_length = sorted(listings, key=lambda item: -item.lines)
    chosen = by_length[0]
    if wanted:
        matching = [item for item in by_length if wanted in item.name]
        if matching:
            chosen = next((item for item in matching if item.name == wanted), matching[0])
        elif addressed := _at_address(by_length, wanted):
            chosen, line = addressed
            if window.first_line is None:
                window = window.replaced(first_line=max(1, line - _LINES_BEFORE))
        else:
            names = ", ".join(item.name for item in by_length[:30])
            return f"There is no function {wanted!r}. There are: {names}."
    parts = [f"{name}: {value}" for name, value in facts.items()]
    parts += [f"functions: {', '.join(f'{i.name} ({i.lines} lines)' for i in by_length[:30])}"]
    return "\n".join([*parts, *_window(chosen, window)])


def _at_address(listings: list[Listing], wanted: str) -> tuple[Listing, int] | None:
    """(the function with an instruction at this hexadecimal address, or one that it lies in, its
    line from 1)."""
    if not _ADDRESS.fullmatch(wanted):
        return None
    address = int(wanted, 16)
    for listing in listings:
        before: int | None = None
        for number, line in enumerate(listing.text.splitlines(), start=1):
            instruction = _SASS_LINE.search(line) or _X86_LINE.match(line)
            if instruction is None:
                continue
            begins = int(instruction[1], 16)
            if begins == address:
                return listing, number
            if before is not None and begins > address:
                return listing, before
            before = number if begins < address else None
    return None


def _window(listing: Listing, window: Window) -> list[str]:
    """A heading that says which lines these are, the lines, and how to read on."""
    lines = [_COLUMNS.sub("  ", line.strip()) for line in listing.text.splitlines()]
    if window.first_line is not None:
        first = window.first_line - 1
        if first >= len(lines):
            return [f"{listing.name} has {len(lines)} lines; there is no line {first + 1}."]
    else:
        fits = window.lines is not None or _fitting(lines) == len(lines)
        first = 0 if fits else hottest_loop(listing.text.splitlines())
    count = _fitting(lines[first:]) if window.lines is None else window.lines
    part = lines[first : first + count]
    if len(part) == len(lines):
        return [f"{listing.name}, {len(lines)} lines", *part]
    heading = f"{listing.name}, lines {first + 1} to {first + len(part)} of {len(lines)}"
    if window.first_line is None and first:
        heading += (
            ", around the longest backward branch, which is the hottest loop more often than not"
        )
    end = first + len(part)
    rest = [f"(go on with first_line={end + 1})"] if end < len(lines) else []
    return [heading, *part, *rest]


def _fitting(lines: list[str]) -> int:
    """How many of the first lines fit into one answer, at least one."""
    size = 0
    for number, line in enumerate(lines):
        size += len(line) + 1
        if size > CHARACTERS:
            return max(1, number)
    return len(lines)


_SASS_LINE = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(.*)")
_SASS_JUMP = re.compile(r"\bBRA\b.*?(?:`\((\.L_\w+)\)|0x([0-9a-f]+))")
_SASS_LABEL = re.compile(r"^\s*(\.L_\w+):")
_COLUMNS = re.compile(r"\s{3,}|\t")
_X86_LINE = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(?:([0-9a-f]+) <)?")


def hottest_loop(lines: list[str]) -> int:
    """Index of the line where the loop with the longest body begins; 0 without a loop."""
    place_of: dict[str, int] = {}
    best, start = 0, 0
    for number, line in enumerate(lines):
        if label := _SASS_LABEL.match(line):
            place_of[label[1]] = number
        elif address := (_SASS_LINE.search(line) or _X86_LINE.match(line)):
            place_of[f"{int(address[1], 16):x}"] = number
        target = None
        if jump := _SASS_JUMP.search(line):
            target = jump[1] or f"{int(jump[2], 16):x}"
        elif (branch := _X86_LINE.match(line)) and branch[3] and branch[2].startswith(("j", "b")):
            target = f"{int(branch[3], 16):x}"
        begin = place_of.get(target) if target else None
        if begin is not None and begin < number and number - begin > best:
            best, start = number - begin, begin
    return max(0, start - 5)
