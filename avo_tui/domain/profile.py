"""What is asked of a profiler."""

from __future__ import annotations

import re

from avo_tui.domain.base import Value

_TIMES = re.compile(r"\bcalls of [\d.e+-]+ ms\b|\bG?FLOP/s\b|^\s*Duration\b", re.MULTILINE)


class ProfileWanted(Value):
    """On what a candidate is profiled, and how much is told of it."""

    configuration: str = ""
    """Name of a scored configuration; empty: the first one."""
    kind: str = ""
    """Kind of values, one that is timed; empty: the first of these."""
    times: bool = True
    """False: shares only, nothing from which the time of a call follows."""

    @property
    def name(self) -> str:
        """Configuration and kind as far as they are given, such as `full-256:outliers`."""
        return f"{self.configuration}:{self.kind}" if self.kind else self.configuration


def tells_times(profile: str) -> bool:
    """Whether the time of a call can be read in a profile's text."""
    return _TIMES.search(profile) is not None
