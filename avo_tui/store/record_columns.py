"""The columns of packed records: how values are kept, and which ones a file may give them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from types import NoneType
from typing import Any, Final

from avo_tui.domain.verdict import Verdict

Values = Sequence[Any]
"""One column of a page: a list, an array of numbers, or a text."""

HASH: Final = 64
"""Length of an `ObjectId`."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


_FIRST, _LAST = (
    (moment.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND for moment in (datetime.min, datetime.max)
)
"""The first and the last moment of `datetime`, in microseconds since 1970."""

VERDICTS: dict[str | None, Verdict | None] = {None: None, **{v.value: v for v in Verdict}}

_PAIRS_OF_TYPES = ([int, float], [int, int])


# -- conversions of values


def micros(moment: datetime | None) -> int | None:
    """A moment as microseconds since 1970."""
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def moment_of(microseconds: int | None) -> datetime | None:
    """The moment that `micros` gave this number for."""
    return None if microseconds is None else _EPOCH + microseconds * _MICROSECOND


def as_list(pair: Sequence[float] | None) -> list[float] | None:
    """A pair as JSON gives it back."""
    return None if pair is None else list(pair)


def as_pair(pair: Sequence[float] | None) -> tuple[int, float] | None:
    """What `as_list` made a list of."""
    return None if pair is None else (int(pair[0]), float(pair[1]))


# -- whether the values of a column that a file gives may be those of a record. They look at whole
# columns, because a session has a hundred thousand records.


def _anything(_values: Values) -> bool:
    return True


def only(*types: type) -> Callable[[Values], bool]:
    """Whether all values are of these types; a subclass, such as bool of int, is another type."""
    return lambda values: set(map(type, values)) <= set(types)


def among(known: Collection[Any]) -> Callable[[Values], bool]:
    """Whether all values are in `known`."""
    return lambda values: set(values) <= set(known)


def are_moments(values: Values) -> bool:
    """Whether all numbers are moments that `datetime` has."""
    return not values or (min(values) >= _FIRST and max(values) <= _LAST)


def are_moments_or_none(values: Values) -> bool:
    """The same, where a value may be missing."""
    given = [value for value in values if value is not None]
    return only(int)(given) and are_moments(given)


def are_ratios(values: Values) -> bool:
    """Whether each value maps names to numbers."""
    return only(dict)(values) and only(int, float)([*chain.from_iterable(map(dict.values, values))])


def are_pairs(values: Values) -> bool:
    """Whether each value is a list of a whole number and a number, or missing."""
    return only(NoneType)(values) or all(
        row is None
        or (isinstance(row, list) and [type(number) for number in row] in _PAIRS_OF_TYPES)
        for row in values
    )


def are_hashes(text: Values) -> bool:
    """Whether a text consists of the digits of hashes alone."""
    return not str(text).encode().translate(None, b"0123456789abcdef")


@dataclass(frozen=True)
class Column:
    """One field or property of a kind of record that is kept in memory for every record."""

    name: str
    packed: Callable[[Any], Any] | None = None
    """Converts a value to one that JSON can hold; None where it is one."""
    unpacked: Callable[[Any], Any] | None = None
    """Converts it back."""
    code: str = ""
    """Type code of `array.array` where all values are numbers of one size."""
    width: int = 0
    """Length of each value where all are texts of one length, which are kept as one text; or 0."""
    valid: Callable[[Values], bool] = _anything
    """Whether packed values may be those of a page; a file from outside could hold any."""

    def held(self, values: list[Any] | str) -> Values:
        """The values of a page as they are kept in memory: an array, or the list itself where a
        number is too large for one. Raises TypeError for values of another type."""
        if not self.code or not isinstance(values, list):
            return values
        try:
            return array(self.code, values)
        except OverflowError:
            return values

    def checked(self, values: Any, rows: int) -> Values:
        """The values of a page of `rows` records as they come from a file, as they are kept in
        memory. Raises ValueError or TypeError where they are not such values."""
        if not isinstance(values, str if self.width else list):
            raise TypeError(f"column {self.name} is no list of values")
        if len(values) != max(1, self.width) * rows:
            raise ValueError(f"column {self.name} has another length")
        held = self.held(values)
        numbers = not self.code or isinstance(held, array) or only(int)(held)
        if not (numbers and self.valid(held)):
            raise ValueError(f"column {self.name} holds what no record has there")
        return held
