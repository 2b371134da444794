"""The operator `tuner`: a classical evolutionary search over the tunables of a kernel."""

from __future__ import annotations

from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.tuner.tuner import Tuner


def make(settings: RunSettings) -> Tuner:
    """The operator for a session."""
    return Tuner(settings)


__all__ = ["Tuner", "make"]
