"""A look at what a candidate compiled to: listings per function, bounded for a reader."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LINES = 350
"""Lines of one listing that are given; what limits a kernel is in its loops, not in its length."""

_SASS_SECTION = re.compile(r"^\s*\.section\s+\.text\.([^,\s]+)|^//-+ \.text\.(\S+)", re.MULTILINE)
_OBJDUMP_SYMBOL = re.compile(r"^[0-9a-f]+ <(.+)>:$", re.MULTILINE)


@dataclass(frozen=True)
class Listing:
    """The instructions of one function."""

    name: str
    text: str

    @property
    def lines(self) -> int:
        """Lines of the listing."""
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


def shown(listings: list[Listing], wanted: str | None, facts: Mapping[str, object]) -> str:
    """One function's listing, after the list of all with their lengths.

    `wanted` is a part of a name; the longest function without one. `facts` go first.
    """
    if not listings:
        return "The listing is empty."
    by_length = sorted(listings, key=lambda item: -item.lines)
    chosen = by_length[0]
    if wanted:
        matching = [item for item in by_length if wanted in item.name]
        if not matching:
            names = ", ".join(item.name for item in by_length[:30])
            return f"There is no function {wanted!r}. There are: {names}."
        chosen = matching[0]
    parts = [f"{name}: {value}" for name, value in facts.items()]
    parts += [f"functions: {', '.join(f'{i.name} ({i.lines} lines)' for i in by_length[:30])}"]
    lines = chosen.text.splitlines()
    if len(lines) > LINES:
        hot = hottest_loop(lines)
        parts.append(
            f"{chosen.name}, {LINES} of {len(lines)} lines, from line {hot + 1} on: around the"
            " longest backward branch, which is the hottest loop more often than not"
        )
        lines = lines[hot : hot + LINES]
    else:
        parts.append(f"{chosen.name}, {len(lines)} lines")
    return "\n".join([*parts, *(_COLUMNS.sub("  ", line.strip()) for line in lines)])


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
