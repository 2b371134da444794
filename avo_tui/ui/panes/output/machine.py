"""Formats machine-related results: fraction of the peak rate, and the profiler's report."""

from __future__ import annotations

from collections.abc import Sequence

from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.records import Profile
from avo_tui.domain.roofline import peak, rate, shares
from avo_tui.domain.score import Score
from avo_tui.ui import formats
from avo_tui.ui.text import Line, clean_lines, cut, line, one_line, prose

MOST_ROWS = 60
"""Rows of one profiler's report; the agent's tool shows the whole."""


def roofline_lines(score: Score, machine: MachineInfo | None, width: int) -> list[Line]:
    """Fraction of the machine's peak for each configuration; empty if the peak is not known."""
    if machine is None:
        return []
    top, peak_shares = peak(machine), shares(score, machine)
    if top is None or not peak_shares:
        return []
    parts = " · ".join(
        f"{one_line(name)} {formats.share(part)}" for name, part in peak_shares.items()
    )
    out = prose(parts, width, "", ("of peak  ", "dim"))
    what = f"the peak is {rate(top[1])} ({one_line(top[0])})"
    if machine.peak_bytes > 0:
        ridge = top[1] / machine.peak_bytes
        what += (
            f"; below {ridge:.4g} operations per byte the memory's"
            f" {machine.peak_bytes / 1e9:.4g} GB/s are the limit"
        )
    return [*out, *prose(what, width, "dim")]


def profile_lines(profiles: Sequence[Profile], width: int) -> list[Line]:
    """The profiler's reports on one candidate, the newest first.

    Items (`- `) are wrapped; other rows, such as those of tables, are cut at the width.
    """
    out: list[Line] = []
    for profile in sorted(profiles, key=lambda p: p.at, reverse=True):
        of = f" of {one_line(profile.configuration)}" if profile.configuration else ""
        out.append(line((f"profile{of}", "strong"), (f"  made in step {profile.step}", "dim")))
        for row in clean_lines(profile.summary)[:MOST_ROWS]:
            if row.startswith("- "):
                out += prose(row[2:], width, "", ("· ", "dim"))
            else:
                out.append(line((cut(row, width), "")))
    return out
