"""The lines of a part of the journal: one event each, in groups that are whole or not there.

A line ends with a checksum of what is before it. Those that an older avo-tui wrote have none: of
them a number is believed that the lines around it do not contradict.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from avo_tui.domain.events import Event, parse_event
from avo_tui.store.packed_parts import LostBlock, part_chunks

LOST = "a stretch of {} bytes that cannot be read"

NO_INDEX = "the end of a compressed part whose index is damaged"

UNFINISHED = "part of an append that was not finished"

OTHER_CHECKSUM = "damaged: its checksum is another"

LEAPS = "numbered {}, which the lines around it contradict"

TOO_LONG = "longer than any line"

LONGEST_LINE = 64 << 20
"""Most bytes of a line that are kept in memory: the file may be anything."""

AHEAD = 64
"""Most lines after one among which the next sound one is looked for, to ask whether its number
can be right."""

# Python refuses to make a number of more than 4300 digits
_SEQ = re.compile(rb'^\{"seq":(\d{1,18}),')
_STEP = re.compile(rb'^\{"seq":\d{1,18},"at":"[^"]*","step":(\d{1,18}),')
_GROUP = b'"group_end":'
_CHECKSUM = re.compile(rb',"crc":"([0-9a-f]{8})"\}')
_CHECKSUM_BYTES = len(',"crc":"00000000"}')


class JournalLine(NamedTuple):
    event: Event | None
    """None where the line is not an event, or where the caller did not ask for its number."""
    end: int
    """Offset of the end of the line in the lines of its part, bytes."""
    seq: int = 0
    """Number of the event; 0 where the line is none."""
    problem: str = ""
    """Why the line is not an event; empty where it is one."""
    text: bytes | None = None
    """The line without its newline; None where it cannot be read."""
    checked: bool = False
    """Whether the line has a checksum, and the right one."""

    @property
    def event_group(self) -> int | None:
        """Number of the last event of this one's group; None where it stands alone."""
        return self.event.group_end if self.event is not None else None


def read_lines(
    path: Path, offset: int = 0, after: int = 0, step: int | None = None
) -> Iterator[JournalLine]:
    """Whole lines from `offset` on; what follows the last newline is still being written.

    Events that were appended together come together: of a group that is not whole at the end of
    the file nothing is given, for it may still be being written; one that was never finished is
    given as problems, and so is a line whose number the lines around it contradict. Events up to
    number `after` are not built, nor, where it costs nothing to tell, those of another step than
    `step`. Raises OSError where the part cannot be read.
    """
    lines = _all_lines(path, offset, after, step)
    return _whole_groups(_without_leaps(lines, after if offset else None))


def _without_leaps(lines: Iterator[JournalLine], last: int | None) -> Iterator[JournalLine]:
    """The lines, those whose number leaps as problems where the next lines say that it is wrong.

    One flipped bit makes a number so large that all sound lines behind it would be taken for
    doubles. A line with a checksum says the truth. `last` is the number before these lines.
    """
    ahead: deque[JournalLine] = deque()
    lost = last is None
    """Whether lines that cannot be read may explain a leap."""
    last = last or 0
    while (line := ahead.popleft() if ahead else next(lines, None)) is not None:
        if not line.problem and not line.checked and line.seq > last + 1:
            ahead.extend(islice(lines, AHEAD - len(ahead)))
            later = [other.seq for other in ahead if not other.problem and other.seq > last]
            # at the beginning of a part there is nothing to say which of two is wrong
            asked = later[: 1 if last else 3]
            if not (2 * sum(n > line.seq for n in asked) > len(asked) if asked else lost):
                line = line._replace(event=None, problem=LEAPS.format(line.seq))
        lost = bool(line.problem)
        last = max(last, line.seq) if not line.problem else last
        yield line


def _whole_groups(lines: Iterator[JournalLine]) -> Iterator[JournalLine]:
    """The lines, those of groups that were never finished as problems.

    A group that lacks its end was finished where a higher number than the end's comes next: it is
    damaged, and its other events count.
    """
    group: list[JournalLine] = []
    for line in lines:
        end = group[0].event_group if group else None
        if end is not None and not line.problem and line.event_group != end:
            yield from group if line.seq > end else map(_unfinished, group)
            group = []
        if line.event_group is None and not (group and line.problem):
            yield line
            continue
        group.append(line)
        if not line.problem and line.seq == line.event_group:
            yield from group
            group = []
    if any(line.problem for line in group):  # it is not being written any more
        yield from map(_unfinished, group)


def _unfinished(line: JournalLine) -> JournalLine:
    return line if line.problem else line._replace(event=None, problem=UNFINISHED)


def _all_lines(path: Path, offset: int, after: int, step: int | None) -> Iterator[JournalLine]:
    rest: list[bytes] = []
    size = 0
    """Bytes of `rest`, and of what of the line was not kept."""
    for chunk in part_chunks(path, offset):
        if isinstance(chunk, LostBlock):  # of whole lines
            offset += chunk.size
            yield JournalLine(
                None, offset, problem=LOST.format(chunk.size) if chunk.size else NO_INDEX
            )
            continue
        first, newline, others = chunk.partition(b"\n")
        size += len(first)
        if size <= LONGEST_LINE:
            rest.append(first)
        else:
            rest.clear()
        if not newline:
            continue
        offset += size + 1
        if size <= LONGEST_LINE:
            yield parse_line(b"".join(rest), offset, after, step)
        else:
            yield JournalLine(None, offset, problem=TOO_LONG)
        *whole, last = others.split(b"\n")
        for line in whole:
            offset += len(line) + 1
            yield parse_line(line, offset, after, step)
        rest, size = [last], len(last)


def parse_line(line: bytes, end: int, after: int, step: int | None = None) -> JournalLine:
    """Read one line of a part, given without its newline; `end` is its end in the file, bytes.

    The event is left out where its number is not above `after`, and where the line can be told
    from its beginning to be of another step than `step`. Never raises: what is not an event comes
    back as a line with a problem.
    """
    body, checksum = apart(line)
    if checksum is not None and checksum != crc32(body):
        return JournalLine(None, end, problem=OTHER_CHECKSUM, text=line)
    checked = checksum is not None
    number = _SEQ.match(line)
    if number is not None and int(number[1]) <= after and line.endswith(b"}"):
        return JournalLine(None, end, int(number[1]), text=line, checked=checked)
    if number is not None and step is not None and _is_of_another(line, step):
        return JournalLine(None, end, int(number[1]), text=line, checked=checked)
    if number is None and not line.startswith(b'{"seq":'):
        return JournalLine(None, end, problem="not an event", text=line)
    try:
        event = parse_event(line)
    except ValidationError as error:
        return JournalLine(None, end, problem=_no_event(error), text=line)
    except (ValueError, RecursionError) as error:
        problem = f"not an event: {str(error).splitlines()[0]}"
        return JournalLine(None, end, problem=problem, text=line)
    if event.seq < 1:
        return JournalLine(None, end, problem="an event without a number", text=line)
    return JournalLine(event if event.seq > after else None, end, event.seq, "", line, checked)


def _is_of_another(line: bytes, step: int) -> bool:
    """True for a line that stands alone and says that it is of another step."""
    match = _STEP.match(line)
    # members of a group are needed to tell whether the group is whole
    return match is not None and int(match[1]) != step and _GROUP not in line


def _no_event(error: ValidationError) -> str:
    """Why a line is not an event, in a few words.

    Pydantic's own message lists every kind of event.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "union_tag_not_found":
        return "not an event: it says no kind"
    where = ".".join(str(part) for part in first["loc"])
    return f"not an event: {where + ': ' if where else ''}{first['msg']}"[:200]


def event_line(event: Event) -> bytes:
    """One line of JSON, without its newline, with a checksum of all before it as its last member.

    Text that is not valid Unicode, such as half of a surrogate pair, is replaced by "?".
    """
    exclude = {"group_end"} if event.group_end is None else None
    try:
        line = event.model_dump_json(fallback=str, exclude=exclude).encode()
    except (PydanticSerializationError, UnicodeError):
        plain = _valid_unicode(event.model_dump(exclude=exclude))
        line = to_json(plain, inf_nan_mode="constants", fallback=str)
    return with_checksum(line)


def with_checksum(line: bytes) -> bytes:
    """A line that has no checksum, with one."""
    body = line[:-1]
    return body + b',"crc":"%08x"}' % crc32(body)


def apart(line: bytes) -> tuple[bytes, int | None]:
    """(what the checksum of a line is of, the checksum that it says); None where it has none."""
    checksum = _CHECKSUM.fullmatch(line[-_CHECKSUM_BYTES:])
    return (line[:-_CHECKSUM_BYTES], int(checksum[1], 16)) if checksum else (line[:-1], None)


def _valid_unicode(value: object) -> object:
    """A copy of JSON-like data in which characters that UTF-8 cannot encode are replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_valid_unicode(key): _valid_unicode(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_valid_unicode(inner) for inner in value]
    return value
