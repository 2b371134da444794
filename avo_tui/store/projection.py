"""Writes a session's state to session.json and records.pages.

Both can be rebuilt from the journal; they exist so that readers need not read all events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

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
from avo_tui.store.database import SessionStorage, Tables, rows_of
from avo_tui.store.errors import DamagedSession, NewerFormat
from avo_tui.store.pages import Extent, PagesFile, pack
from avo_tui.store.stored_records import Page

FORMAT_WITH_PAGES = 2
"""Format that session.json says where some records are in records.pages, which an avo-tui that
knows only `FORMAT` would miss. The journal is the same in both."""

FORMAT_WITH_COMPRESSED_JOURNAL = 3
"""Format that session.json says where parts of the journal are compressed, which an avo-tui that
knows only those before would miss."""

LATER_FORMATS = (FORMAT_WITH_PAGES, FORMAT_WITH_COMPRESSED_JOURNAL)
"""Formats in which session.json says where records.pages ends. The events are those of `FORMAT`."""

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
    """One table of the state, by its name."""
    return cast("dict[Key, Value]", getattr(state, name))


def check_format(number: object) -> None:
    """Raises NewerFormat or DamagedSession where a folder's format is not ours."""
    if not isinstance(number, int) or number < FORMAT:
        raise DamagedSession("the session does not say its format")
    if number > LATER_FORMATS[-1]:
        raise NewerFormat(
            f"the session has format {number}, this avo-tui knows formats up to "
            f"{LATER_FORMATS[-1]}: open it with a newer avo-tui"
        )


@dataclass(frozen=True)
class Stored:
    """What session.json says."""

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
        lost = elsewhere or (row["format"] in LATER_FORMATS and row.get("pages") is None)
        extent = None if lost else Extent.of_row(row.get("pages"))
    except ValidationError as error:
        raise DamagedSession(f"session.json holds a bad record: {_first(error)}") from error
    except ValueError as error:
        raise DamagedSession(f"session.json is damaged: {error}") from error
    fold = row.get("fold")
    return Stored(state, extent, elsewhere or not isinstance(fold, int) or fold < FOLD)


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"


@dataclass(frozen=True)
class Snapshot:
    """The records that are held whole at one moment. They are immutable: the tables are copied."""

    session: SessionRecord
    pending: tuple[int, GateDecision] | None
    tables: dict[str, dict[Key, Value]]

    @classmethod
    def of(cls, state: SessionState) -> Snapshot:
        """Copy the tables, not the records."""
        return cls(
            session=state.session,
            pending=state.pending_approval,
            tables={t.name: _whole(table_of(state, t.name)) for t in TABLES},
        )


def _whole(table: dict[Key, Value]) -> dict[Key, Value]:
    """Those records of a table that are not in a page."""
    if isinstance(table, RecordTable):
        return {key: table[key] for key in table.whole}
    return dict(table)


class Projection:
    """Brings session.json and records.pages up to date with snapshots of the state."""

    def __init__(self, storage: SessionStorage, pages: PagesFile, applied: int = 0) -> None:
        """`applied`: the last event that is in session.json."""
        self._storage = storage
        self._pages = pages
        self._fresh: list[Page] = []
        """Pages that are not in the file yet."""
        self._rows: dict[str, dict[Key, tuple[Value, Any]]] = {t.name: {} for t in TABLES}
        """Table → key → (record, its row), as they were written last."""
        self.compressed = False
        """Whether parts of the journal are, or soon will be, compressed."""
        self.said_compressed = 0
        """Times that session.json was written with that format."""
        self.applied = applied

    def snapshot(self, state: SessionState) -> Snapshot:
        """What `write` is to write of a state, whose older records are packed."""
        self._fresh += pack(state)
        return Snapshot.of(state)

    def write(self, snapshot: Snapshot) -> None:
        """Bring both files up to date with the snapshot, which `snapshot` made.

        May be repeated after DiskTrouble or StoreError.
        """
        self._pages.add(self._fresh)
        self._fresh = []
        row = snapshot.session.model_dump(mode="json")
        row["pending_approval"] = _PENDING.dump_python(snapshot.pending, mode="json")
        row["fold"] = FOLD
        if compressed := self.compressed:
            row |= {"format": FORMAT_WITH_COMPRESSED_JOURNAL, "pages": self._pages.extent.row()}
        elif self._pages.extent.size:
            row |= {"format": FORMAT_WITH_PAGES, "pages": self._pages.extent.row()}
        tables = {t.name: self._table(t.name, snapshot.tables[t.name]) for t in TABLES}
        self._storage.write({"session": {"1": row}, **tables})
        self.applied = snapshot.session.applied
        self.said_compressed += compressed

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
