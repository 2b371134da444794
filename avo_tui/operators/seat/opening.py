"""The opening of a step for an outside agent: short, with a pointer to what is left out.

The built-in agent's opening shows all of the source and of the memory at once, since what it would
read next costs it a request each. An outside agent pays for a long opening in every step, and works
on files of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from avo_tui.domain.records import Hint
from avo_tui.operators.agent.prompts.opening import OpeningLimits, opening, task_text, words_text
from avo_tui.operators.agent.prompts.progress import progress_text
from avo_tui.operators.ports import Workbench
from avo_tui.operators.toolbox.report_text import source_text
from avo_tui.operators.toolbox.tool import cut_middle
from avo_tui.operators.toolbox.workspace import Workspace

TOTAL = 20_000
"""Largest number of characters, without the words of the person and of the supervisor."""

TASK = 8_000
"""Largest number of characters of the task and the machine."""

LIMITS = OpeningLimits(
    newest_versions=10,
    best_versions=3,
    rejected=10,
    source=0,
    whole_source_only=True,
    memory=5_000,
    line=400,
    profile=2_500,
    detailed=2,
)
_DIFF, _NEWEST = 5_000, 12
_HALVINGS = 5


def seat_opening(bench: Workbench, hints: Sequence[Hint], space: Workspace, known: set[str]) -> str:
    """Task, machine, and how the step stands: at most `TOTAL` characters beside others' words.

    What is long is shown in part, with the tool that reads all of it; the source only where all of
    it fits. The task and a source that the client has read are in `known` (a source by its hash)
    and not told again; what is told now is added.
    """
    task = about = cut_middle(
        task_text(bench.reading.task, bench.reading.machine), TASK, "`avo brief` has all of it"
    )
    if task in known:
        about = (
            "Task and machine are as you were told; begin_step(whole=true) tells them, and the"
            " source, once more.\n"
        )
    room = TOTAL - len(about)
    words = len(words_text(bench, hints, LIMITS))
    for halvings in range(_HALVINGS + 1):
        limits = _halved(LIMITS, halvings)
        progress = progress_text(space, _DIFF >> halvings, max(3, _NEWEST >> halvings))
        text = opening(bench, hints, limits, progress=progress)
        if len(text) - words <= room:
            break
    head = bench.reading.head.candidate
    left = room - (len(text) - words)
    whole = limits.replaced(source=0 if head in known else left)
    known.add(task)
    if len(source_text(bench.reading.candidate(head))) < left:
        known.add(head)
    return f"{about}\n{opening(bench, hints, whole, progress=progress)}"


def _halved(limits: OpeningLimits, times: int) -> OpeningLimits:
    """Limits for an opening that is still too long."""
    return limits.replaced(
        newest_versions=max(2, limits.newest_versions >> times),
        best_versions=max(1, limits.best_versions >> times),
        rejected=max(2, limits.rejected >> times),
        memory=(limits.memory or 0) >> times,
        line=max(120, limits.line >> times),
        profile=max(300, limits.profile >> times),
        detailed=limits.detailed >> times,
    )
