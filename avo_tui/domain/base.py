"""The base of every value that is written to a session or passed between processes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Value(BaseModel):
    """An immutable value. Unknown fields are ignored: an older reader survives additions."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


Moment = AwareDatetime
"""A time with its zone; sessions keep UTC."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A name that is also a safe folder name: tasks, sessions, configurations, baselines."""

ObjectId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of an object's content, in hexadecimal."""


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)
