"""One result of `avo doctor`."""

from __future__ import annotations

from typing import Literal

from avo_tui.domain.base import Value

State = Literal["ok", "warn", "fail"]


class Finding(Value):
    """The result of one check of the machine."""

    name: str
    """What was checked, such as `compiler`."""
    state: State
    text: str
    """One sentence; where something is wrong, it says what to do."""
