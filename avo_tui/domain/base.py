"""The base of every value that is written to a session or passed between processes."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Value(BaseModel):
    """An immutable value. Unknown fields are ignored: an older reader survives additions."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    def replaced(self, **update: Any) -> Self:
        """A copy with other values, which are not validated, in less memory than `model_copy`.

        A session keeps tens of thousands of records; each copy would carry a set of its own with
        the names of the fields that were given. The copies share one that names all of them.
        """
        made = self.model_copy(update=update)
        object.__setattr__(made, "__pydantic_fields_set__", _names(type(self)))
        return made


@cache
def _names(kind: type[BaseModel]) -> set[str]:
    return set(kind.model_fields)


Moment = AwareDatetime
"""A time with its zone; sessions keep UTC."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A name that is also a safe folder name: tasks, sessions, configurations, baselines."""

ObjectId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of an object's content, in hexadecimal."""


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)
