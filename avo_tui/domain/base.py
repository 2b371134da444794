"""The base class of every value that is written to a session or passed between processes."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Self, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Value(BaseModel):
    """An immutable value.

    Unknown fields are ignored, so that an older program can read newer records. The validator of a
    class is built when it is first used: a process meets few of the more than a hundred kinds, and
    building all of them would delay the first picture of the app.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", ser_json_inf_nan="constants", defer_build=True
    )

    def replaced(self, **update: Any) -> Self:
        """A copy with some fields changed. The new values are not validated.

        `model_copy` gives each copy its own set of the names of the fields that were given; a
        session keeps tens of thousands of records, so the copies made here share one set that names
        all fields.
        """
        copy = self.model_copy(update=update)
        object.__setattr__(copy, "__pydantic_fields_set__", _names(type(self)))
        return copy

    def slim(self) -> Self:
        """Replace the set of field names, in this value and all nested ones, by a shared set.

        Returns the value itself. Saves memory for records that are kept by the tens of thousands: a
        separate set takes more than half of the memory of a small record.
        """
        kind = type(self)
        object.__setattr__(self, "__pydantic_fields_set__", _names(kind))
        for name in _nested(kind):
            field = getattr(self, name)
            for item in field if type(field) is tuple else (field,):
                if isinstance(item, Value):
                    item.slim()
        return self


DEFERRED = ConfigDict(defer_build=True)
"""For a `TypeAdapter`: its validator is built when it is first used."""


@cache
def _names(kind: type[BaseModel]) -> set[str]:
    return set(kind.model_fields)


@cache
def _nested(kind: type[BaseModel]) -> tuple[str, ...]:
    """Names of the fields whose type may hold a `Value`, alone or in a tuple."""
    return tuple(n for n, field in kind.model_fields.items() if _mentions_value(field.annotation))


def _mentions_value(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, Value):
        return True
    return any(map(_mentions_value, get_args(annotation)))


Moment = AwareDatetime
"""A date and time with a time zone; sessions store UTC."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A name that is also valid as a folder name: of a task, session, configuration or baseline."""

ObjectId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of an object's content, in hexadecimal."""


def now() -> datetime:
    return datetime.now(UTC)
