"""Records of which only some columns are in memory; the rest is read from their page on demand.

A session of a hundred thousand attempts would take half a gigabyte as whole records. What lists,
charts and rules look at in every record is kept in columns; everything else stays compressed until
it is asked for. A stored record is an `Attempt`, `Version` or `Step` like any other: it has the
same fields, compares equal to the whole record and never changes.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import NoneType
from typing import Any, Final, get_args

import zstandard
from pydantic_core import from_json, to_json

from avo_tui.domain.base import Value
from avo_tui.domain.records import Attempt, Step, StepOutcomeName, Version
from avo_tui.store.errors import DamagedSession
from avo_tui.store.record_columns import (
    HASH,
    VERDICTS,
    Column,
    Values,
    among,
    are_hashes,
    are_moments,
    are_moments_or_none,
    are_pairs,
    are_ratios,
    as_list,
    as_pair,
    micros,
    moment_of,
    only,
)

LEVEL: Final = 3
"""How hard zstandard compresses."""

MAX_BYTES: Final = 256 << 20
"""Most bytes that a page may unpack to; a file from outside could promise any number."""


@dataclass(frozen=True)
class Kind:
    """A kind of record that is stored in pages."""

    table: str
    """Name of the table in the session's state."""
    record: type[Value]
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """Names of the columns that the table's key consists of."""
    stored: type[Value] = field(init=False)
    """The class of its stored records."""
    defaults: dict[str, Any] = field(init=False)
    """Field that is no column and has a default → that default."""
    bits: dict[str, int] = field(init=False)
    """The same fields → their bit in a record's mask, which is set where the value is another."""

    def __post_init__(self) -> None:
        names = {column.name for column in self.columns}
        defaults = {
            name: info.get_default(call_default_factory=True)
            for name, info in self.record.model_fields.items()
            if name not in names and not info.is_required()
        }
        object.__setattr__(self, "defaults", defaults)
        object.__setattr__(self, "bits", {name: 1 << n for n, name in enumerate(defaults)})
        object.__setattr__(self, "stored", _stored_class(self))

    def key_of(self, record: Value) -> Any:
        """The key of a record in its table."""
        values = tuple(getattr(record, name) for name in self.key)
        return values if len(values) > 1 else values[0]


class Page:
    """Some records of one kind, compressed, with their columns."""

    __slots__ = ("blob", "columns", "kind", "masks")

    def __init__(
        self, kind: Kind, columns: dict[str, Values], masks: list[int], blob: bytes
    ) -> None:
        self.kind = kind
        self.columns = columns
        """Column → its values, packed, or one text where all have one length."""
        self.masks = masks
        """Record → mask of the fields that are not at their default."""
        self.blob = blob
        """The records as lines of JSON, compressed."""

    @classmethod
    def of(cls, kind: Kind, records: Sequence[Value]) -> Page:
        """Pack whole records."""
        columns: dict[str, Values] = {}
        for column in kind.columns:
            values = [getattr(record, column.name) for record in records]
            if column.packed is not None:
                values = list(map(column.packed, values))
            columns[column.name] = column.held("".join(values) if column.width else values)
        masks = [
            sum(
                bit
                for name, bit in kind.bits.items()
                if getattr(record, name) != kind.defaults[name]
            )
            for record in records
        ]
        lines = b"\n".join(record.model_dump_json().encode() for record in records)
        packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        return cls(kind, columns, masks, packer.compress(lines))

    def header(self) -> bytes:
        """Everything but the compressed records, as one line of JSON without its newline."""
        columns = {
            name: values.tolist() if isinstance(values, array) else values
            for name, values in self.columns.items()
        }
        header = {"table": self.kind.table, "columns": columns, "masks": self.masks}
        return to_json(header, inf_nan_mode="constants")

    @classmethod
    def read(cls, header: bytes, blob: bytes) -> Page:
        """The page of this header. Raises ValueError, KeyError or TypeError where it is none."""
        given = from_json(header)
        kind = KINDS[given["table"]]
        masks, highest = given["masks"], 1 << len(kind.bits)
        if not isinstance(masks, list) or not all(
            type(m) is int and 0 <= m < highest for m in masks
        ):
            raise ValueError("masks of fields that there are not")
        columns = {c.name: c.checked(given["columns"][c.name], len(masks)) for c in kind.columns}
        return cls(kind, columns, masks, blob)

    def __len__(self) -> int:
        return len(self.masks)

    def records(self) -> list[tuple[Any, Value]]:
        """(key, stored record) of each, in order."""
        kind = self.kind
        new, stored = kind.stored.__new__, kind.stored
        set_page, set_row = stored._page.__set__, stored._row.__set__  # type: ignore[attr-defined]
        keys: Sequence[Any] = self.columns[kind.key[0]]
        if len(kind.key) > 1:
            keys = list(zip(*(self.columns[name] for name in kind.key), strict=True))
        out = []
        for row, key in enumerate(keys):
            record = new(stored)
            set_page(record, self)
            set_row(record, row)
            out.append((key, record))
        return out

    def whole(self, row: int) -> Value:
        """A whole record. Raises DamagedSession where the page does not hold it."""
        return _record(self, row)

    def lines(self) -> list[bytes]:
        """The records as JSON. Raises DamagedSession where the page cannot be unpacked."""
        return _lines(self)


@lru_cache(16)
def _lines(page: Page) -> list[bytes]:
    try:
        if zstandard.frame_content_size(page.blob) > MAX_BYTES:
            raise DamagedSession(f"a page of {page.kind.table} is implausibly large")
        data = zstandard.ZstdDecompressor().decompress(page.blob, MAX_BYTES)
    except zstandard.ZstdError as error:
        raise DamagedSession(f"a page of {page.kind.table} cannot be unpacked") from error
    if data.count(b"\n") + 1 != len(page):  # before they are split: there may be millions
        raise DamagedSession(f"a page of {page.kind.table} holds another number of records")
    return data.split(b"\n")


@lru_cache(1024)
def _record(page: Page, row: int) -> Value:
    try:
        return page.kind.record.model_validate_json(_lines(page)[row]).slim()
    except ValueError as error:
        raise DamagedSession(f"a page of {page.kind.table} holds what is no record") from error


def _column(column: Column) -> property:
    name, unpacked, width = column.name, column.unpacked, column.width

    def plain(self: Any) -> Any:
        return self._page.columns[name][self._row]

    def converted(self: Any) -> Any:
        return unpacked(self._page.columns[name][self._row])  # type: ignore[misc]

    def cut(self: Any) -> Any:
        return self._page.columns[name][self._row * width : (self._row + 1) * width]

    return property(cut if width else plain if unpacked is None else converted)


def _rest(kind: Kind, name: str) -> property:
    """A field that is no column: read from the page unless it is known to be at its default."""
    bit, default = kind.bits.get(name, 0), kind.defaults.get(name)

    def read(self: Any) -> Any:
        if bit and not self._page.masks[self._row] & bit:
            return default
        return getattr(self._page.whole(self._row), name)

    def flag(self: Any) -> bool:
        return bool(self._page.masks[self._row] & bit) != default

    return property(flag if isinstance(default, bool) else read)


def _stored_class(kind: Kind) -> type[Value]:
    """The class of the stored records of a kind: a subclass that reads its fields on demand."""
    whole: Any = kind.record

    class Stored(whole):  # type: ignore[misc]
        __slots__ = ("_page", "_row")

        @property
        def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
            return dict(self._page.whole(self._row).__dict__)

        @property
        def __pydantic_fields_set__(self) -> set[str]:
            return set(whole.model_fields)

        def __eq__(self, other: object) -> bool:
            if isinstance(other, Stored):
                if self._page is other._page and self._row == other._row:
                    return True
                other = other._page.whole(other._row)
            return bool(self._page.whole(self._row) == other)

        def __hash__(self) -> int:
            return hash(self._page.whole(self._row))

        def __repr__(self) -> str:
            return repr(self._page.whole(self._row))

        def __reduce__(self) -> Any:
            return _itself, (self._page.whole(self._row),)

        def __copy__(self) -> Any:
            return self._page.whole(self._row)

        def __deepcopy__(self, memo: object = None) -> Any:
            return self._page.whole(self._row)

        def replaced(self, **update: Any) -> Any:
            return self._page.whole(self._row).replaced(**update)

        def slim(self) -> Any:
            return self

        def model_copy(self, **options: Any) -> Any:
            return self._page.whole(self._row).model_copy(**options)

        def model_dump(self, **options: Any) -> dict[str, Any]:
            return dict(self._page.whole(self._row).model_dump(**options))

        def model_dump_json(self, **options: Any) -> str:
            return str(self._page.whole(self._row).model_dump_json(**options))

    columns = {column.name for column in kind.columns}
    for column in kind.columns:
        type.__setattr__(Stored, column.name, _column(column))
    for name in whole.model_fields:
        if name not in columns:
            type.__setattr__(Stored, name, _rest(kind, name))
    Stored.__name__ = f"Stored{whole.__name__}"
    return Stored


def _itself(record: Value) -> Value:
    return record


ATTEMPTS = Kind(
    "attempts",
    Attempt,
    (
        Column("step", code="q"),
        Column("number", code="q"),
        Column("parent", code="q"),
        Column("candidate", width=HASH, valid=are_hashes),
        Column("verdict", unpacked=VERDICTS.__getitem__, valid=among(VERDICTS)),
        Column("aggregate", code="d"),
        Column("version", valid=only(int, NoneType)),
        Column("undecided", valid=only(bool)),
        Column("at", micros, moment_of, code="q", valid=are_moments),
    ),
    key=("step", "number"),
)

VERSIONS = Kind(
    "versions",
    Version,
    (
        Column("number", code="q"),
        Column("parent", valid=only(int, NoneType)),
        Column("step", code="q"),
        Column("attempt", code="q"),
        Column("candidate", width=HASH, valid=are_hashes),
        Column("created", micros, moment_of, code="q", valid=are_moments),
        Column("aggregate", code="d"),
        Column("ratios", valid=are_ratios),
        Column("holds", valid=only(bool)),
        Column("timed_against", packed=as_list, unpacked=as_pair, valid=are_pairs),
    ),
    key=("number",),
)

STEPS = Kind(
    "steps",
    Step,
    (
        Column("number", code="q"),
        Column("parent", code="q"),
        Column("started", micros, moment_of, code="q", valid=are_moments),
        Column("ended", micros, moment_of, valid=are_moments_or_none),
        Column("outcome", valid=among((None, *get_args(StepOutcomeName)))),
        Column("attempts", valid=only(int)),
        Column("version", valid=only(int, NoneType)),
        Column("seconds", code="d"),
        Column("usd", code="d"),
    ),
    key=("number",),
)

KINDS = {kind.table: kind for kind in (ATTEMPTS, VERSIONS, STEPS)}
"""Table → the kind of its records, for the tables that grow with the run."""
