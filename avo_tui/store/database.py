"""session.json: TinyDB tables, written so that a crash never leaves a half-written file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from tinydb.storages import Storage

from avo_tui.store.errors import DamagedSession, clear_errors, unreadable
from avo_tui.store.files import read_regular, replace_file

Tables = Mapping[str, Mapping[str, Any]]
"""Name of a table → number of a row → row; the form in which TinyDB gives its storage the data."""


class SessionStorage(Storage):
    """The storage of a TinyDB that keeps the generation before as `session.json.previous`.

    A temporary file in the same folder is written, synced and renamed over the old one. The JSON
    text of each row is kept for as long as it is the same object, so that the time of a write
    depends on the rows that changed and not on the size of the session.
    """

    def __init__(self, path: Path, previous: Path) -> None:
        self._path = path
        self._previous = previous
        self._texts: dict[str, dict[str, tuple[Any, str]]] = {}

    def read(self) -> dict[str, dict[str, Any]] | None:
        """The tables in the file. Raises as `read_tables`."""
        return read_tables(self._path) if self._path.exists() else None

    def write(self, data: Tables) -> None:
        """Make the tables durable. Raises DiskTrouble or StoreError; the file is then as it was."""
        text = ",\n".join(self._table(name, rows) for name, rows in data.items())
        content = f"{{\n{text}\n}}\n".encode("utf-8", "backslashreplace")
        with clear_errors(self._path, "write"):
            replace_file(self._path, content, keep=self._previous)

    def _table(self, name: str, rows: Mapping[str, Any]) -> str:
        old, new = self._texts.get(name, {}), {}
        for number, row in rows.items():
            kept = old.get(number)
            if kept is None or kept[0] is not row:
                kept = (row, json.dumps(row, separators=(",", ":")))
            new[number] = kept
        self._texts[name] = new
        lines = ",\n".join(f'"{number}":{text}' for number, (_, text) in new.items())
        return f'"{name}":{{\n{lines}\n}}'


def read_tables(path: Path) -> dict[str, dict[str, Any]]:
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


def rows_of(tables: Tables, name: str) -> list[Mapping[str, Any]]:
    """The rows of a table in order of their numbers."""
    return [row for _, row in sorted(tables.get(name, {}).items(), key=lambda item: int(item[0]))]
