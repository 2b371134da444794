"""The lines of a part of the journal: one event each, in groups that are whole or not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from avo_tui.domain.events import Event, parse_event
from avo_tui.store.packed_parts import LostBlock, part_chunks

LOST = "a compressed block of {} bytes that cannot be unpacked"

NO_INDEX = "the end of a compressed part whose index is damaged"

UNFINISHED = "part of an append that was not finished"

_SEQ = re.compile(rb'^\{"seq":(\d+),')
_STEP = re.compile(rb'^\{"seq":\d+,"at":"[^"]*","step":(\d+),')
_GROUP = b'"group_end":'


@dataclass(frozen=True)
class JournalLine:
    """One whole line of a part."""

    event: Event | None
    """None where the line is not an event, or where the caller did not ask for its number."""
    end: int
    """Offset of the end of the line in the lines of its part, bytes."""
    seq: int = 0
    """Number of the event; 0 where the line is none."""
    problem: str = ""
    """Why the line is not an event; empty where it is one."""

    @property
    def event_group(self) -> int | None:
        """Number of the last event of this one's group; None where it stands alone."""
        return self.event.group_end if self.event is not None else None


def read_lines(
    path: Path, offset: int = 0, after: int = 0, step: int | None = None
) -> Iterator[JournalLine]:
    """Whole lines from `offset` on; what follows the last newline is still being written.

    Events that were appended together come together: of a group that is not whole at the end of
    the file nothing is given, for it may still be being written; one that another line follows
    was never finished, and its lines are given as problems. Events up to number `after` are not
    built, nor, where it costs nothing to tell, those of another step than `step`. Raises OSError
    where the part cannot be read.
    """
    group: list[JournalLine] = []
    for line in _all_lines(path, offset, after, step):
        if group and (line.event is None or line.event.group_end != group[0].event_group):
            yield from (JournalLine(None, early.end, problem=UNFINISHED) for early in group)
            group = []
        if line.event_group is None:
            yield line
            continue
        group.append(line)
        if line.seq == line.event_group:
            yield from group
            group = []


def _all_lines(path: Path, offset: int, after: int, step: int | None) -> Iterator[JournalLine]:
    rest = b""
    for chunk in part_chunks(path, offset):
        if isinstance(chunk, LostBlock):  # of whole lines
            offset += chunk.size
            yield JournalLine(
                None, offset, problem=LOST.format(chunk.size) if chunk.size else NO_INDEX
            )
            continue
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            offset += len(line) + 1
            yield parse_line(line, offset, after, step)


def parse_line(line: bytes, end: int, after: int, step: int | None = None) -> JournalLine:
    """Read one line of a part, given without its newline; `end` is its end in the file, bytes.

    The event is left out where its number is not above `after`, and where the line can be told
    from its beginning to be of another step than `step`. Never raises: what is not an event comes
    back as a line with a problem.
    """
    number = _SEQ.match(line)
    if number is not None and int(number[1]) <= after and line.endswith(b"}"):
        return JournalLine(None, end, int(number[1]))
    if number is not None and step is not None and _is_of_another(line, step):
        return JournalLine(None, end, int(number[1]))
    try:
        event = parse_event(line)
    except ValidationError as error:
        return JournalLine(None, end, problem=_no_event(error))
    except (ValueError, RecursionError) as error:
        return JournalLine(None, end, problem=f"not an event: {str(error).splitlines()[0]}")
    if event.seq < 1:
        return JournalLine(None, end, problem="an event without a number")
    return JournalLine(event if event.seq > after else None, end, event.seq)


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
    """One line of JSON, without its newline.

    Text that is not valid Unicode, such as half of a surrogate pair, is replaced by "?".
    """
    exclude = {"group_end"} if event.group_end is None else None
    try:
        return event.model_dump_json(fallback=str, exclude=exclude).encode()
    except (PydanticSerializationError, UnicodeError):
        plain = _valid_unicode(event.model_dump(exclude=exclude))
        return to_json(plain, inf_nan_mode="constants", fallback=str)


def _valid_unicode(value: object) -> object:
    """A copy of JSON-like data in which characters that UTF-8 cannot encode are replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_valid_unicode(key): _valid_unicode(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_valid_unicode(inner) for inner in value]
    return value
