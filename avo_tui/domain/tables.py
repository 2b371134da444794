"""The tables that a session's state consists of."""

from __future__ import annotations

from dataclasses import dataclass, field

from avo_tui.domain.commands import CommandRecord
from avo_tui.domain.evidence import Comparison
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import (
    Attempt,
    Hint,
    Intervention,
    Note,
    Profile,
    SessionRecord,
    Step,
    Version,
)


@dataclass
class Tables:
    """The record of the session and one table for each kind of thing in it."""

    session: SessionRecord
    versions: dict[int, Version] = field(default_factory=dict)
    steps: dict[int, Step] = field(default_factory=dict)
    attempts: dict[tuple[int, int], Attempt] = field(default_factory=dict)
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
