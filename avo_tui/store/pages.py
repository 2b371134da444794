"""records.pages: the older attempts, versions and steps of a session, packed.

The newest records change often and are rows of session.json. Older ones are moved here, a page of
`PAGE` records of one table at a time, so that a session opens, and is written, without reading or
writing all of them. Pages are only appended; of several records with the same key the last one is
valid. session.json says how many bytes of the file are part of it, with their checksum: what
follows them was written by a process that was killed before it wrote session.json.

A page in the file is a line with the checksum of the rest, the lengths of its two parts, and the
parts: the columns as JSON and the records, compressed. Like session.json, the file is derived from
the journal and can be rebuilt from it.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from avo_tui.domain.state import SessionState
from avo_tui.domain.tables import RecordTable
from avo_tui.store.appending import AppendFile
from avo_tui.store.errors import DamagedSession, clear_errors, unreadable
from avo_tui.store.files import read_regular, replace_file
from avo_tui.store.stored_records import KINDS, Page

PAGE = 128
"""Records in a page, and fewest of each table that stay whole: they are the ones that change."""


@dataclass(frozen=True)
class Extent:
    """The part of the file that belongs to session.json."""

    size: int = 0
    """Bytes."""
    checksum: int = 0
    """CRC-32 of these bytes."""

    @classmethod
    def of_row(cls, row: object) -> Extent:
        """What session.json says. Raises ValueError where it is not what we write."""
        if row is None:
            return cls()
        if not isinstance(row, Mapping):
            raise ValueError("the extent of records.pages is no object")
        size, checksum = row.get("size"), row.get("checksum")
        if not (isinstance(size, int) and isinstance(checksum, int)) or size < 0:
            raise ValueError("the extent of records.pages is not two numbers")
        return cls(size, checksum)

    def row(self) -> dict[str, int]:
        """What session.json is to say."""
        return {"size": self.size, "checksum": self.checksum}

    def and_then(self, data: bytes) -> Extent:
        """The extent with `data` appended."""
        return Extent(self.size + len(data), zlib.crc32(data, self.checksum))


@dataclass
class PagesRead:
    """What was read of the file."""

    extent: Extent
    pages: list[Page] = field(default_factory=list)
    problem: str = ""
    """What is wrong; empty where the file holds all that session.json says. The pages are then
    those that are sound."""


def read_pages(path: Path, extent: Extent) -> PagesRead:
    """Read that part of the file. Raises UnreadableNow, or DamagedSession where nothing can be."""
    read = PagesRead(extent)
    if not extent.size:
        return read
    try:
        with contextlib.suppress(FileNotFoundError):
            data = memoryview(read_regular(path))[: extent.size]
            sound = len(data) == extent.size and zlib.crc32(data) == extent.checksum
            _take_apart(bytes(data), read, checked=sound)
            if sound:
                return read
    except OSError as error:
        raise unreadable(error, path, path.name) from error
    read.problem = read.problem or f"{path.name} is not what session.json says"
    return read


def _checked(path: Path, extent: Extent) -> bytes:
    """The extent's bytes. Raises OSError, or DamagedSession where they are others."""
    data = read_regular(path)[: extent.size]
    if len(data) != extent.size or zlib.crc32(data) != extent.checksum:
        raise DamagedSession(f"{path.name} changed while it was opened")
    return data


def _take_apart(data: bytes, read: PagesRead, checked: bool) -> None:
    """Add the pages in `data`; `checked` where their checksums need not be looked at."""
    offset = 0
    while offset < len(data):
        end = data.find(b"\n", offset)
        try:
            checksum, header, blob = map(int, data[offset:end].split(b" "))
            body = data[end + 1 : end + 1 + header + blob]
            if end < 0 or min(header, blob) < 0 or len(body) != header + blob:
                raise ValueError("lengths")
            if not checked and zlib.crc32(body) != checksum:
                raise ValueError("checksum")
            read.pages.append(Page.read(body[:header], body[header:]))
        except (ValueError, KeyError, TypeError, OverflowError):
            read.problem = f"records.pages is damaged at byte {offset}"
            return
        offset = end + 1 + header + blob


def _frame(page: Page) -> bytes:
    body = page.header()
    parts = len(body), len(page.blob)
    body += page.blob
    return b"%d %d %d\n" % (zlib.crc32(body), *parts) + body


def unpack_into(state: SessionState, pages: Iterable[Page]) -> None:
    """Set the records of pages, in their order."""
    for page in pages:
        table: Any = getattr(state, page.kind.table)
        table.pack(page.records())


def pack(state: SessionState) -> list[Page]:
    """Pack the oldest whole records of each table where there are many; returns the new pages.

    Costs nothing where there are few.
    """
    fresh: list[Page] = []
    for kind in KINDS.values():
        table = getattr(state, kind.table)
        while isinstance(table, RecordTable) and len(table.whole) >= 2 * PAGE:
            keys = list(islice(table.whole, PAGE))
            page = Page.of(kind, [table[key] for key in keys])
            table.pack(page.records())
            fresh.append(page)
    return fresh


class PagesFile:
    """Appends pages to the file. One writer."""

    def __init__(self, path: Path, extent: Extent) -> None:
        """Cut what lies behind `extent`; with an empty one the file is begun anew when it is
        needed. Raises DiskTrouble or StoreError."""
        self._path = path
        self._file: AppendFile | None = None
        self.extent = extent
        """What is in the file, durable."""
        if extent.size:
            with clear_errors(path, "write"):
                if path.is_symlink():  # what it points to is not ours to write
                    replace_file(path, _checked(path, extent))
            self._file = AppendFile(path)
            if self._file.size > extent.size:
                self._file.cut(extent.size)

    def add(self, pages: Iterable[Page]) -> None:
        """Append, durable on return. Raises DiskTrouble or StoreError; nothing is added then."""
        data = b"".join(map(_frame, pages))
        if not data:
            return
        if self._file is None:
            with clear_errors(self._path, "write"):
                replace_file(self._path, b"")
            self._file = AppendFile(self._path)
        self._file.append(data, durable=True)
        self.extent = self.extent.and_then(data)

    def close(self) -> None:
        """Close."""
        if self._file is not None:
            self._file.close()

    def abandon(self) -> None:
        """Close without writing anything more."""
        if self._file is not None:
            self._file.abandon()
