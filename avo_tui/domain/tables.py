"""The tables that a session's state consists of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from avo_tui.domain.budget import Spend
from avo_tui.domain.commands import CommandRecord
from avo_tui.domain.evidence import Comparison
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import (
    Attempt,
    Hint,
    Intervention,
    Note,
    Profile,
    RunState,
    SessionRecord,
    Step,
    Version,
)

FOLD = 1
"""Version of what events make of these tables. Raise it whenever the events of old sessions are to
give other ones, such as a new field: tables on disk that an older version wrote are then folded
anew from the journal."""

K = TypeVar("K")
V = TypeVar("V")


class RecordTable(dict[K, V]):
    """A table that grows with the run. It knows which of its records are held whole.

    The others are kept packed, see `store/stored_records.py`. A dict in every other respect.
    """

    __slots__ = ("_edits", "_seen", "whole")

    def __init__(self, records: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        super().__init__(records)
        self.whole: dict[K, None] = dict.fromkeys(self)
        """Keys of the records that are held whole, in the order in which they became so."""
        self._edits: list[K] = []
        """Keys that were set, in order; shared with the copies of the table."""
        self._seen = -1
        """Number of edits that are in a copy; -1 for the table itself, which has all of them."""

    def __setitem__(self, key: K, record: V) -> None:
        super().__setitem__(key, record)
        self.whole[key] = None
        if self._seen >= 0:
            self._edits, self._seen = [], -1
        self._edits.append(key)

    def pack(self, records: Iterable[tuple[K, V]]) -> None:
        """Set records that are packed, in place of whole ones or of none."""
        for key, record in records:
            super().__setitem__(key, record)
            self.whole.pop(key, None)

    def copy(self) -> RecordTable[K, V]:
        """A table that can be changed alone; records never change."""
        twin: RecordTable[K, V] = RecordTable()
        dict.update(twin, self)
        twin.whole = dict(self.whole)
        twin._edits, twin._seen = self._edits, len(self._edits) if self._seen < 0 else self._seen
        return twin

    __copy__ = copy

    def __deepcopy__(self, memo: object = None) -> RecordTable[K, V]:
        return self.copy()  # records never change

    def __reduce__(self) -> Any:
        return RecordTable, (dict(self),)

    def changed_since(self, copy: object) -> list[K] | None:
        """Keys that were set after `copy` was made of this table; None where it is no copy of
        it."""
        seen = len(self._edits) if self._seen < 0 else self._seen
        if not isinstance(copy, RecordTable) or copy._edits is not self._edits:
            return None
        return self._edits[copy._seen : seen] if 0 <= copy._seen <= seen else None


@dataclass
class Tables:
    """The record of the session and one table for each kind of thing in it."""

    session: SessionRecord
    versions: dict[int, Version] = field(default_factory=RecordTable)
    steps: dict[int, Step] = field(default_factory=RecordTable)
    attempts: dict[tuple[int, int], Attempt] = field(default_factory=RecordTable)
    """(step, number) → attempt."""
    hints: dict[str, Hint] = field(default_factory=dict)
    commands: dict[str, CommandRecord] = field(default_factory=dict)
    memory: dict[str, Note] = field(default_factory=dict)
    supervision: dict[str, Intervention] = field(default_factory=dict)
    comparisons: dict[int, Comparison] = field(default_factory=dict)
    """Number → comparison of two candidates, made for a gate or an audit."""
    profiles: dict[str, Profile] = field(default_factory=dict)
    pending_approval: tuple[int, GateDecision] | None = None
    """The attempt that waits for the person's approval; None if none waits."""

    # -- changes that several kinds of event share

    def change_session(self, **update: Any) -> None:
        self.session = self.session.replaced(**update)

    def enter(
        self, state: RunState, reason: str, at: datetime, until: datetime | None = None
    ) -> None:
        """Enter a state of the run, or learn another reason for the one that it is in."""
        self.change_session(
            state=state,
            state_reason=reason,
            state_since=self.session.state_since if state == self.session.state else at,
            parked_until=until,
            waiting_since=None,
        )

    def change_attempt(self, step: int, number: int, **update: Any) -> None:
        if (old := self.attempts.get((step, number))) is not None:
            self.attempts[step, number] = old.replaced(**update)

    def add_spend(self, step: int, spend: Spend) -> None:
        """Count what the run, and a step of it, spent."""
        self.change_session(spend=self.session.spend + spend)
        if (record := self.steps.get(step)) is not None:
            self.steps[step] = record.replaced(spend=record.spend + spend)

    def end_approval(self) -> None:
        """No attempt waits for the person any more."""
        self.pending_approval = None
        if self.session.approval_since is not None:
            self.change_session(approval_since=None)
