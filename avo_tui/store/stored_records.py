"""Records of which only some columns are in memory; the rest is read from their page on demand.

A session of a hundred thousand attempts would take half a gigabyte as whole records. What lists,
charts and rules look at in every record is kept in columns; everything else stays compressed until
it is asked for. A stored record is an `Attempt`, `Version` or `Step` like any other: it has the
same fields, compares equal to the whole record and never changes.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, get_args

import zstandard
from pydantic import AfterValidator, ConfigDict, Field, PlainSerializer, TypeAdapter

from avo_tui.domain.base import DEFERRED, Value
from avo_tui.domain.records import Attempt, Step, StepOutcomeName, Version
from avo_tui.domain.verdict import Verdict
from avo_tui.store.errors import DamagedSession

LEVEL: Final = 3
"""How hard zstandard compresses."""

MAX_BYTES: Final = 256 << 20
"""Most bytes that a page may unpack to; a file from outside could promise any number."""

HASH: Final = 64
"""Length of an `ObjectId`."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _held_as(code: str) -> AfterValidator:
    """Keep numbers in an array, or as they are where one is too large for it."""

    def held(values: list[Any]) -> Sequence[Any]:
        try:
            return array(code, values)
        except OverflowError:
            return values

    return AfterValidator(held)


_FIRST, _LAST = (micros(moment.replace(tzinfo=UTC)) for moment in (datetime.min, datetime.max))
_Micros = Annotated[int, Field(ge=_FIRST, le=_LAST)]
Moments = Annotated[list[_Micros], _held_as("q"), PlainSerializer(list)]
Integers = Annotated[list[int], _held_as("q"), PlainSerializer(list)]
Floats = Annotated[list[float], _held_as("d"), PlainSerializer(list)]
Hashes = Annotated[str, Field(pattern=rf"^([0-9a-f]{{{HASH}}})*$")]
"""Candidates of all records, without anything between them."""


class Columns(Value):
    """What is kept in memory of the records of a page: a list for each field or property."""

    model_config = ConfigDict(strict=True)  # a file from outside could hold any values


class _AttemptColumns(Columns):
    step: Integers
    number: Integers
    parent: Integers
    candidate: Hashes
    verdict: list[Verdict | None]
    aggregate: Floats
    version: list[int | None]
    undecided: list[bool]
    at: Moments


class _VersionColumns(Columns):
    number: Integers
    parent: list[int | None]
    step: Integers
    attempt: Integers
    candidate: Hashes
    created: Moments
    aggregate: Floats
    ratios: list[dict[str, float]]
    holds: list[bool]
    timed_against: list[tuple[int, float] | None]


class _StepColumns(Columns):
    number: Integers
    parent: Integers
    started: Moments
    ended: list[_Micros | None]
    outcome: list[StepOutcomeName | None]
    attempts: list[int]
    version: list[int | None]
    seconds: Floats
    usd: Floats


class Header(Value):
    """What stands in front of the compressed records of a page."""

    model_config = ConfigDict(strict=True)
    masks: list[Annotated[int, Field(ge=0)]]
    """Record → mask of the fields that are not at their default."""
    fields: tuple[str, ...] = ()
    """The field of each bit of a mask. A record that has got a field since has other bits; older
    headers do not say it."""


class _AttemptHeader(Header):
    table: Literal["attempts"]
    columns: _AttemptColumns


class _VersionHeader(Header):
    table: Literal["versions"]
    columns: _VersionColumns


class _StepHeader(Header):
    table: Literal["steps"]
    columns: _StepColumns


AnyHeader = Annotated[_AttemptHeader | _VersionHeader | _StepHeader, Field(discriminator="table")]
_HEADER: TypeAdapter[AnyHeader] = TypeAdapter(AnyHeader, config=DEFERRED)

_MOMENTS = frozenset({"at", "created", "started", "ended"})


class Kind:
    def __init__(self, record: type[Value], header: type[AnyHeader], *key: str) -> None:
        self.record = record
        self.table: str = get_args(header.model_fields["table"].annotation)[0]
        """Name of the table in the session's state."""
        columns: Any = header.model_fields["columns"].annotation
        self.columns: list[str] = list(columns.model_fields)
        self.key = key
        """Names of the columns that the table's key consists of."""
        self.defaults: dict[str, Any] = {
            name: info.get_default(call_default_factory=True)
            for name, info in record.model_fields.items()
            if name not in self.columns and not info.is_required()
        }
        """Field that is no column and has a default → that default."""
        self.bits = {name: 1 << n for n, name in enumerate(self.defaults)}
        """The same fields → their bit in a record's mask, which is set where the value is
        another."""
        self.stored = _stored_class(self)
        """The class of its stored records."""

    def mask(self, record: Value) -> int:
        return sum(
            b for name, b in self.bits.items() if getattr(record, name) != self.defaults[name]
        )


class Page:
    """Some records of one kind, compressed, with their columns."""

    __slots__ = ("_masks", "blob", "columns", "header", "kind")

    def __init__(self, header: AnyHeader, blob: bytes) -> None:
        self.header = header
        self.kind = KINDS[header.table]
        self.columns: dict[str, Sequence[Any]] = vars(header.columns)
        self._masks = header.masks if header.fields == tuple(self.kind.bits) else None
        self.blob = blob
        """The records as lines of JSON, compressed."""

    @classmethod
    def of(cls, kind: Kind, records: Sequence[Value]) -> Page:
        columns: dict[str, Any] = {}
        for name in kind.columns:
            values = [getattr(record, name) for record in records]
            if name in _MOMENTS:
                values = [None if moment is None else micros(moment) for moment in values]
            columns[name] = "".join(values) if name == "candidate" else values
        header = _HEADER.validate_python(
            {
                "table": kind.table,
                "columns": columns,
                "masks": [kind.mask(record) for record in records],
                "fields": tuple(kind.bits),
            }
        )
        lines = b"\n".join(record.model_dump_json().encode() for record in records)
        packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        return cls(header, packer.compress(lines))

    @classmethod
    def read(cls, header: bytes, blob: bytes) -> Page:
        """The page of a header as JSON. Raises ValueError where it is none."""
        page = cls(_HEADER.validate_json(header), blob)
        for name, values in page.columns.items():
            if len(values) != len(page) * (HASH if name == "candidate" else 1):
                raise ValueError(f"column {name} has another length")
        if max(page._masks or (), default=0) >= 1 << len(page.kind.bits):
            raise ValueError("masks of fields that there are not")
        return page

    def __len__(self) -> int:
        return len(self.header.masks)

    @property
    def masks(self) -> list[int]:
        """As in the header, with the bits of today. Raises DamagedSession."""
        if self._masks is None:
            self._masks = [self.kind.mask(whole(self, row)) for row in range(len(self))]
        return self._masks

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


def _bad(page: Page, why: str) -> DamagedSession:
    remedy = "`avo doctor SESSION --repair` makes records.pages anew"
    return DamagedSession(f"a page of {page.kind.table} {why}", remedy)


@lru_cache(16)
def _lines(page: Page) -> list[bytes]:
    """The records as JSON. Raises DamagedSession where the page cannot be unpacked."""
    try:
        if zstandard.frame_content_size(page.blob) > MAX_BYTES:
            raise _bad(page, "is implausibly large")
        data = zstandard.ZstdDecompressor().decompress(page.blob, MAX_BYTES)
    except zstandard.ZstdError as error:
        raise _bad(page, "cannot be unpacked") from error
    if data.count(b"\n") + 1 != len(page):  # before they are split: there may be millions
        raise _bad(page, "holds another number of records")
    return data.split(b"\n")


@lru_cache(1024)
def whole(page: Page, row: int) -> Value:
    """A whole record. Raises DamagedSession where the page does not hold it."""
    try:
        return page.kind.record.model_validate_json(_lines(page)[row]).slim()
    except ValueError as error:
        raise _bad(page, "holds what is no record") from error


def _column(name: str) -> property:
    def plain(self: Any) -> Any:
        return self._page.columns[name][self._row]

    def moment(self: Any) -> datetime | None:
        microseconds = self._page.columns[name][self._row]
        return None if microseconds is None else _EPOCH + microseconds * _MICROSECOND

    def cut(self: Any) -> Any:
        return self._page.columns[name][self._row * HASH : (self._row + 1) * HASH]

    return property(cut if name == "candidate" else moment if name in _MOMENTS else plain)


def _rest(kind: Kind, name: str) -> property:
    """A field that is no column: read from the page unless it is known to be at its default."""
    bit, default = kind.bits.get(name, 0), kind.defaults.get(name)

    def read(self: Any) -> Any:
        if bit and not self._page.masks[self._row] & bit:
            return default
        return getattr(whole(self._page, self._row), name)

    def flag(self: Any) -> bool:
        return bool(self._page.masks[self._row] & bit) != default

    return property(flag if isinstance(default, bool) else read)


def _stored_class(kind: Kind) -> type[Value]:
    """The class of the stored records of a kind: a subclass that reads its fields on demand."""
    record: Any = kind.record

    class Stored(record):  # type: ignore[misc]
        __slots__ = ("_page", "_row")

        @property
        def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
            return dict(whole(self._page, self._row).__dict__)

        @property
        def __pydantic_fields_set__(self) -> set[str]:
            return set(record.model_fields)

        def __eq__(self, other: object) -> bool:
            if isinstance(other, Stored):
                if self._page is other._page and self._row == other._row:
                    return True
                other = whole(other._page, other._row)
            return bool(whole(self._page, self._row) == other)

        def __hash__(self) -> int:
            return hash(whole(self._page, self._row))

        def __repr__(self) -> str:
            return repr(whole(self._page, self._row))

        def __reduce__(self) -> Any:
            return copy, (whole(self._page, self._row),)

        def __copy__(self) -> Any:
            return copy(whole(self._page, self._row))

        def __deepcopy__(self, memo: object = None) -> Any:
            return copy(whole(self._page, self._row))

    for name in record.model_fields:
        if name not in kind.columns:
            type.__setattr__(Stored, name, _rest(kind, name))
    for name in kind.columns:
        type.__setattr__(Stored, name, _column(name))
    Stored.__name__ = f"Stored{record.__name__}"
    return Stored


KINDS = {
    kind.table: kind
    for kind in (
        Kind(Attempt, _AttemptHeader, "step", "number"),
        Kind(Version, _VersionHeader, "number"),
        Kind(Step, _StepHeader, "number"),
    )
}
"""Table → the kind of its records, for the tables that grow with the run."""
