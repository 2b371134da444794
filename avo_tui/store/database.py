"""session.json: TinyDB tables, written so that a crash never leaves a half-written file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from tinydb import TinyDB
from tinydb.storages import Storage
from tinydb.table import Document

from avo_tui.store.errors import DamagedSession, clear_errors, unreadable
from avo_tui.store.files import read_regular, replace_file

Tables = dict[str, dict[str, Any]]


class GenerationStorage(Storage):
    """Holds the tables in memory; `commit` writes all of them to the disk at once.

    A temporary file in the same folder is written, synced and renamed over the old one, which is
    kept as `session.json.previous`. The JSON text of every row is cached, so the time of a commit
    depends on the rows that changed and not on the size of the session.
    """

    def __init__(self, path: Path, previous: Path, tables: Tables | None) -> None:
        self._path = path
        self._previous = previous
        self._tables = tables
        self._texts: dict[str, dict[str, tuple[Any, str]]] = {}

    def read(self) -> Tables | None:
        """The tables as they are in memory."""
        return self._tables

    def write(self, data: Tables) -> None:
        """Replace the tables in memory. Nothing reaches the disk before `commit`."""
        self._tables = data

    def commit(self) -> None:
        """Make the tables durable. Raises DiskTrouble or StoreError; the file is then as it was."""
        data = self._serialise().encode("utf-8", "backslashreplace")
        with clear_errors(self._path, "write"):
            replace_file(self._path, data, keep=self._previous)

    def _serialise(self) -> str:
        tables = []
        for name, documents in (self._tables or {}).items():
            old = self._texts.get(name, {})
            new: dict[str, tuple[Any, str]] = {}
            lines = []
            for number, document in documents.items():
                kept = old.get(number)
                if kept is None or kept[0] is not document:
                    kept = (document, json.dumps(document, separators=(",", ":")))
                new[number] = kept
                lines.append(f'"{number}":{kept[1]}')
            self._texts[name] = new
            tables.append(f'"{name}":{{\n' + ",\n".join(lines) + "\n}")
        return "{\n" + ",\n".join(tables) + "\n}\n"


def read_tables(path: Path) -> Tables:
    """The tables in a file. Raises DamagedSession where it holds none, or UnreadableNow."""
    try:
        # pydantic_core's parser took half the time of json.loads on a session of one week
        tables = from_json(read_regular(path))
    except OSError as error:
        raise unreadable(error, path, path.name) from error
    except ValueError as error:
        raise DamagedSession(f"{path.name} is not readable: {error}") from error
    except RecursionError as error:
        raise DamagedSession(f"{path.name} is nested too deeply to be tables") from error
    if not isinstance(tables, dict) or not all(map(_is_table, tables.values())):
        raise DamagedSession(f"{path.name} does not hold tables")
    return tables


def _is_table(table: object) -> bool:
    """True for a mapping from row number to row; TinyDB takes its document ids from the keys."""
    return isinstance(table, dict) and all(
        key.isascii() and key.isdigit() and len(key) <= 18 and isinstance(row, dict)
        for key, row in table.items()
    )


class Database:
    """The tables of a session. One writer; rows are replaced whole and never changed in place."""

    def __init__(self, path: Path, previous: Path, tables: Tables | None) -> None:
        self._db = TinyDB(path, previous, tables, storage=GenerationStorage)

    @classmethod
    def open(cls, source: Path, path: Path, previous: Path) -> Database:
        """The tables in `source`, to be written to `path`. Raises DamagedSession."""
        return cls(path, previous, read_tables(source))

    @classmethod
    def empty(cls, path: Path, previous: Path) -> Database:
        """Tables without rows, to be written to `path`."""
        return cls(path, previous, None)

    def rows(self, table: str) -> list[Mapping[str, Any]]:
        """Rows in order of their numbers."""
        return [row for _, row in sorted(self.numbered(table).items())]

    def numbered(self, table: str) -> dict[int, Mapping[str, Any]]:
        """Number → row."""
        return {row.doc_id: row for row in self._db.table(table).all()}

    def put(self, table: str, rows: Mapping[int, Mapping[str, Any]]) -> None:
        """Add rows, or replace those of the same number."""
        if rows:
            where = self._db.table(table)
            where.remove(doc_ids=rows)
            where.insert_multiple(Document(row, number) for number, row in rows.items())

    def remove(self, table: str, numbers: Iterable[int]) -> None:
        """Remove rows; numbers that do not exist are ignored."""
        if wanted := list(numbers):
            self._db.table(table).remove(doc_ids=wanted)

    def commit(self) -> None:
        """Make everything durable. Raises DiskTrouble or StoreError."""
        storage = self._db.storage
        assert isinstance(storage, GenerationStorage)
        storage.commit()
