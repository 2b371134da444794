"""session.json: the session's tables as TinyDB keeps them, beside it records.pages with older rows.

Both can be rebuilt from the journal; they exist so that readers need not read all events. A crash
never leaves a half-written file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json
from tinydb.storages import Storage

from avo_tui.domain.base import DEFERRED, Value
from avo_tui.domain.commands import CommandRecord
from avo_tui.domain.evidence import Comparison
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import (
    FORMAT,
    Attempt,
    Hint,
    Intervention,
    Note,
    Profile,
    SessionRecord,
    Step,
    Version,
)
from avo_tui.domain.state import SessionState
from avo_tui.domain.tables import FOLD, RecordTable
from avo_tui.store.errors import DamagedSession, NewerFormat, clear_errors, unreadable
from avo_tui.store.files import read_regular, replace_file
from avo_tui.store.layout import Layout
from avo_tui.store.pages import Extent, PagesFile, pack
from avo_tui.store.stored_records import Page

FORMAT_OF_FILES = 3
"""Format that session.json says. Since 2 it says where records.pages ends, since 3 parts of the
journal may be compressed; the events are those of `FORMAT`."""

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
    return [row for _, row in sorted(tables.get(name, {}).items(), key=lambda item: int(item[0]))]


Key = int | str | tuple[int, int]


@dataclass(frozen=True)
class Table:
    """How one table of the state is kept in the database."""

    name: str
    rows: TypeAdapter[list[Any]]
    key: tuple[str, ...] = ("id",)
    """Names of the fields that its key consists of."""


TABLES = (
    Table("versions", TypeAdapter(list[Version], config=DEFERRED), ("number",)),
    Table("steps", TypeAdapter(list[Step], config=DEFERRED), ("number",)),
    Table("attempts", TypeAdapter(list[Attempt], config=DEFERRED), ("step", "number")),
    Table("hints", TypeAdapter(list[Hint], config=DEFERRED)),
    Table("commands", TypeAdapter(list[CommandRecord], config=DEFERRED)),
    Table("memory", TypeAdapter(list[Note], config=DEFERRED)),
    Table("supervision", TypeAdapter(list[Intervention], config=DEFERRED)),
    Table("comparisons", TypeAdapter(list[Comparison], config=DEFERRED), ("number",)),
    Table("profiles", TypeAdapter(list[Profile], config=DEFERRED)),
)

_PENDING: TypeAdapter[tuple[int, GateDecision] | None] = TypeAdapter(
    tuple[int, GateDecision] | None, config=DEFERRED
)


def table_of(state: SessionState, name: str) -> dict[Key, Value]:
    return cast("dict[Key, Value]", getattr(state, name))


def check_format(number: object) -> None:
    """Raises NewerFormat or DamagedSession where a folder's format is not ours."""
    if not isinstance(number, int) or number < FORMAT:
        raise DamagedSession("the session does not say its format")
    if number > FORMAT_OF_FILES:
        raise NewerFormat(
            f"the session has format {number}, this avo-tui knows formats up to {FORMAT_OF_FILES}: "
            "open it with a newer avo-tui"
        )


@dataclass(frozen=True)
class Stored:
    state: SessionState
    """With those records alone that are rows."""
    extent: Extent | None
    """The part of records.pages that holds the others; None where session.json should say it and
    does not."""
    outdated: bool = False
    """Whether an older avo-tui made these tables, which may lack what the present one takes from
    the same events, or keep attempts in another file."""


def load_tables(tables: Tables) -> Stored:
    """Read the rows. Raises DamagedSession, NewerFormat."""
    rows = rows_of(tables, "session")
    if not rows:
        raise DamagedSession("session.json holds no session")
    row = rows[0]
    check_format(row.get("format"))
    try:
        state = SessionState(session=SessionRecord.model_validate({**row, "format": FORMAT}))
        for table in TABLES:
            mine = table_of(state, table.name)
            stored = rows_of(tables, table.name)
            for record in table.rows.validate_python(stored) if stored else ():
                values = tuple(getattr(record, name) for name in table.key)
                mine[values if len(values) > 1 else values[0]] = record.slim()
        state.pending_approval = _PENDING.validate_python(row.get("pending_approval"))
        elsewhere = bool(row.get("attempts_kept"))  # in attempts.jsonl, by an older avo-tui
        pages = row.get("pages", {} if row["format"] == FORMAT else None)
        lost = elsewhere or pages is None
        extent = None if lost else Extent.model_validate(pages, strict=True)
    except ValidationError as error:
        raise DamagedSession(f"session.json holds a bad record: {_first(error)}") from error
    except ValueError as error:
        raise DamagedSession(f"session.json is damaged: {error}") from error
    fold = row.get("fold")
    return Stored(state, extent, elsewhere or not isinstance(fold, int) or fold < FOLD)


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"


class Projection:
    """Brings session.json and records.pages up to date with snapshots of the state. One writer."""

    def __init__(self, layout: Layout, extent: Extent, applied: int) -> None:
        """`applied`: the last event that is in session.json, `extent` the part of records.pages
        that belongs to it. Raises DiskTrouble or StoreError."""
        self.pages = PagesFile(layout.pages, extent)
        self.applied = applied
        self._storage = SessionStorage(layout.database, layout.previous)
        self._fresh: list[Page] = []
        """Pages that are not in the file yet."""
        self._rows: dict[str, dict[Key, tuple[Value, Any]]] = {t.name: {} for t in TABLES}
        """Table → key → (record, its row), as they were written last."""

    def snapshot(self, state: SessionState) -> SessionState:
        """What `write` is to write of a state: the records that are held whole, in tables of their
        own. The older ones are packed."""
        self._fresh += pack(state)
        tables: dict[str, Any] = {t.name: _whole(table_of(state, t.name)) for t in TABLES}
        return replace(state, **tables)

    def write(self, snapshot: SessionState) -> None:
        """Bring both files up to date with the snapshot.

        May be repeated after DiskTrouble or StoreError.
        """
        self.pages.add(self._fresh)
        self._fresh = []
        row = snapshot.session.model_dump(mode="json")
        row["pending_approval"] = _PENDING.dump_python(snapshot.pending_approval, mode="json")
        row |= {"fold": FOLD, "format": FORMAT_OF_FILES, "pages": self.pages.extent.model_dump()}
        tables = {t.name: self._table(t.name, table_of(snapshot, t.name)) for t in TABLES}
        self._storage.write({"session": {"1": row}, **tables})
        self.applied = snapshot.session.applied

    def _table(self, name: str, records: Mapping[Key, Value]) -> dict[str, Any]:
        """Number → row. A record that is the one of the last time has the same row as then."""
        old, new = self._rows[name], {}
        for key, record in records.items():
            known = old.get(key)
            if known is None or known[0] is not record:
                known = (record, record.model_dump(mode="json"))
            new[key] = known
        self._rows[name] = new
        numbers = (key if isinstance(key, int) else n for n, key in enumerate(new, 1))
        return {str(n): row for n, (_, row) in zip(numbers, new.values(), strict=True)}


def _whole(table: dict[Key, Value]) -> dict[Key, Value]:
    """Those records of a table that are not in a page."""
    if isinstance(table, RecordTable):
        return {key: table[key] for key in table.whole}
    return dict(table)
