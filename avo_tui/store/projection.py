"""Writes a session's state to session.json and attempts.jsonl.

Both can be rebuilt from the journal; they exist so that readers need not read all events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from avo_tui.domain.base import Value
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
from avo_tui.store.attempts import Attempts, AttemptsFile
from avo_tui.store.database import Database
from avo_tui.store.errors import DamagedSession, NewerFormat, OlderFormat

Key = int | str | tuple[int, int]


@dataclass(frozen=True)
class Table:
    """How one table of the state is kept in the database."""

    name: str
    key: str
    rows: TypeAdapter[list[Any]]


TABLES = (
    Table("versions", "number", TypeAdapter(list[Version])),
    Table("steps", "number", TypeAdapter(list[Step])),
    Table("hints", "id", TypeAdapter(list[Hint])),
    Table("commands", "id", TypeAdapter(list[CommandRecord])),
    Table("memory", "id", TypeAdapter(list[Note])),
    Table("supervision", "id", TypeAdapter(list[Intervention])),
    Table("comparisons", "number", TypeAdapter(list[Comparison])),
    Table("profiles", "id", TypeAdapter(list[Profile])),
)

_PENDING: TypeAdapter[tuple[int, GateDecision] | None] = TypeAdapter(
    tuple[int, GateDecision] | None
)
_ATTEMPTS: TypeAdapter[list[Attempt]] = TypeAdapter(list[Attempt])


def table_of(state: SessionState, name: str) -> dict[Key, Value]:
    """One table of the state, by its name."""
    return cast("dict[Key, Value]", getattr(state, name))


def check_format(number: object) -> None:
    """Raises NewerFormat or OlderFormat where a folder's format is not ours."""
    if not isinstance(number, int):
        raise DamagedSession("the session does not say its format")
    if number > FORMAT:
        raise NewerFormat(
            f"the session has format {number}, this avo-tui knows format {FORMAT}: "
            "open it with a newer avo-tui"
        )
    if number < FORMAT:
        raise OlderFormat(
            f"the session has format {number}, this avo-tui writes format {FORMAT}: "
            "`avo run --resume` or `avo doctor --repair` migrates it and keeps a copy"
        )


def load_tables(database: Database) -> tuple[SessionState, int]:
    """(state that session.json holds, number of attempts that attempts.jsonl had at that time).

    The state holds only those attempts that are rows of session.json. Raises DamagedSession,
    NewerFormat, OlderFormat.
    """
    rows = database.rows("session")
    if not rows:
        raise DamagedSession("session.json holds no session")
    row = rows[0]
    check_format(row.get("format"))
    try:
        state = SessionState(session=SessionRecord.model_validate(row))
        for table in TABLES:
            records = table.rows.validate_python(database.rows(table.name))
            table_of(state, table.name).update({getattr(r, table.key): r.slim() for r in records})
        state.pending_approval = _PENDING.validate_python(row.get("pending_approval"))
        open_ones = _ATTEMPTS.validate_python(database.rows("attempts"))
    except ValidationError as error:
        raise DamagedSession(f"session.json holds a bad record: {_first(error)}") from error
    state.attempts = {(a.step, a.number): a for a in open_ones}
    kept = row.get("attempts_kept", 0)
    return state, kept if isinstance(kept, int) else 0


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"


@dataclass(frozen=True)
class Snapshot:
    """A copy of the tables at one moment. Records are immutable, so the tables alone are copied."""

    session: SessionRecord
    pending: tuple[int, GateDecision] | None
    tables: dict[str, dict[Key, Value]]
    attempts: Attempts

    @classmethod
    def of(cls, state: SessionState) -> Snapshot:
        """Copy the tables, not the records."""
        return cls(
            session=state.session,
            pending=state.pending_approval,
            tables={t.name: dict(table_of(state, t.name)) for t in TABLES},
            attempts=dict(state.attempts),
        )


class Projection:
    """Brings session.json and attempts.jsonl up to date with snapshots of the state."""

    def __init__(self, database: Database, attempts: AttemptsFile) -> None:
        """Call `adopt` or `begin` next."""
        self._database = database
        self._attempts = attempts
        self._written: dict[str, dict[Key, Value]] = {t.name: {} for t in TABLES}
        self._numbers: dict[str, dict[Key, int]] = {t.name: {} for t in TABLES}
        self._next: dict[str, count[int]] = {t.name: count(1) for t in TABLES}
        self._kept: Attempts = {}
        self.applied = 0
        """The last event that is in the database."""

    def adopt(self, snapshot: Snapshot, kept: Attempts) -> None:
        """Continue a database that holds `snapshot`; `kept` is the content of attempts.jsonl."""
        for table in TABLES:
            rows = self._database.numbered(table.name)
            self._numbers[table.name] = {row[table.key]: n for n, row in rows.items()}
            self._next[table.name] = count(max(rows, default=0) + 1)
            self._written[table.name] = dict(snapshot.tables[table.name])
        self._kept = dict(kept)
        self.applied = snapshot.session.applied

    def begin(self, kept: Attempts) -> None:
        """Start with an empty database; `kept` is the content of attempts.jsonl."""
        self._kept = dict(kept)

    def write(self, snapshot: Snapshot) -> None:
        """Bring both files up to date with the snapshot.

        May be repeated after DiskTrouble or StoreError.
        """
        self._write_attempts(snapshot.attempts)
        for table in TABLES:
            self._write_table(table, snapshot.tables[table.name])
        row = snapshot.session.model_dump(mode="json")
        row["pending_approval"] = _PENDING.dump_python(snapshot.pending, mode="json")
        row["attempts_kept"] = len(self._kept)
        self._database.put("session", {1: row})
        self._database.commit()
        self.applied = snapshot.session.applied

    def _write_table(self, table: Table, records: Mapping[Key, Value]) -> None:
        written, numbers = self._written[table.name], self._numbers[table.name]
        rows: dict[int, dict[str, Any]] = {}
        old = [numbers.pop(key) for key in written if key not in records]
        last = -1
        for key, record in records.items():
            number = key if isinstance(key, int) else numbers.get(key, -1)
            moved = number <= last and not isinstance(key, int)
            if moved:
                # rows are in the order of their numbers, so a row that changed is removed and added
                # again
                if key in numbers:
                    old.append(number)
                number = next(self._next[table.name])
            numbers[key] = last = number
            if moved or written.get(key) is not record:
                rows[number] = record.model_dump(mode="json")
        self._database.remove(table.name, old)
        self._database.put(table.name, rows)
        self._written[table.name] = dict(records)

    def _write_attempts(self, attempts: Attempts) -> None:
        """Write finished attempts as lines.

        The newest one changes often and is a row of session.json.
        """
        newest = next(reversed(attempts), None)
        settled = [
            attempt
            for key, attempt in attempts.items()
            if key != newest and self._kept.get(key) is not attempt
        ]
        self._attempts.add(settled)
        self._kept.update({(a.step, a.number): a for a in settled})
        self._database.remove("attempts", [1])
        if newest is not None:
            self._database.put("attempts", {1: attempts[newest].model_dump(mode="json")})
