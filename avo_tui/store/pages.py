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
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.domain.state import SessionState
from avo_tui.domain.tables import RecordTable
from avo_tui.store.appending import AppendFile
from avo_tui.store.errors import DamagedSession, clear_errors, unreadable
from avo_tui.store.files import read_regular, replace_file
from avo_tui.store.stored_records import KINDS, Page

PAGE = 128
"""Records in a page, and fewest of each table that stay whole: they are the ones that change."""


class Extent(Value):
    """The part of the file that belongs to session.json."""

    size: int = Field(default=0, ge=0)
    """Bytes."""
    checksum: int = 0
    """CRC-32 of these bytes."""

    def and_then(self, data: bytes) -> Extent:
        return Extent(size=self.size + len(data), checksum=zlib.crc32(data, self.checksum))

    def of(self, path: Path) -> tuple[bytes, bool]:
        """(the extent's bytes in a file, whether they are what session.json says). Raises
        OSError."""
        data = read_regular(path)[: self.size]
        return data, len(data) == self.size and zlib.crc32(data) == self.checksum


def read_pages(path: Path, extent: Extent) -> tuple[list[Page], str]:
    """(the sound pages of that part of the file, what is wrong; empty where it holds all).

    Raises UnreadableNow, or DamagedSession where nothing can be read.
    """
    pages: list[Page] = []
    if not extent.size:
        return pages, ""
    data, sound = b"", False
    try:
        with contextlib.suppress(FileNotFoundError):
            data, sound = extent.of(path)
    except OSError as error:
        raise unreadable(error, path, path.name) from error
    offset = 0
    while offset < len(data):
        end = data.find(b"\n", offset)
        try:
            checksum, header, blob = map(int, data[offset:end].split(b" "))
            body = data[end + 1 : end + 1 + header + blob]
            if end < 0 or min(header, blob) < 0 or zlib.crc32(body) != checksum:
                raise ValueError("other lengths, or another checksum")
            pages.append(Page.read(body[:header], body[header:]))
        except ValueError:
            return pages, f"{path.name} is damaged at byte {offset}"
        offset = end + 1 + header + blob
    return pages, "" if sound else f"{path.name} is not what session.json says"


def _frame(page: Page) -> bytes:
    header = page.header.model_dump_json().encode()
    body = header + page.blob
    return b"%d %d %d\n" % (zlib.crc32(body), len(header), len(page.blob)) + body


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
                    data, sound = extent.of(path)
                    if not sound:
                        raise DamagedSession(f"{path.name} changed while it was opened")
                    replace_file(path, data)
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
        if self._file is not None:
            self._file.close()

    def abandon(self) -> None:
        if self._file is not None:
            self._file.abandon()
