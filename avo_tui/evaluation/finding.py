"""One answer of `avo doctor`."""

from __future__ import annotations

from typing import Literal

from avo_tui.domain.base import Value

State = Literal["ok", "warn", "fail"]


class Finding(Value):
    """What one look at the machine found."""

    name: str
    """What was looked at, such as `compiler`."""
    state: State
    text: str
    """One sentence; where something is wrong, it says what to do."""
