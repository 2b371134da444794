"""What happened since a person last looked, as a few lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from avo_tui.domain import events as ev
from avo_tui.domain import lineage
from avo_tui.domain.budget import Spend
from avo_tui.domain.records import Version
from avo_tui.ui import formats
from avo_tui.ui.text import BLANK, Line, line, one_line


def digest_lines(events: Iterable[ev.Event], now: datetime) -> list[Line]:
    """Bests, versions, rejections, hints, interventions, trouble, spend. Empty for nothing."""
    versions: dict[int, Version] = {}
    rejected = attempts = steps = 0
    hints, interventions, trouble, rewinds, fallen = [], [], [], [], []
    spend = Spend()
    first: datetime | None = None
    state = ""
    for event in events:
        first = first or event.at
        if isinstance(event, ev.VersionCommitted):
            versions[event.version.number] = event.version
        elif isinstance(event, ev.VersionAudited):
            if event.audit.outcome == "fails":
                fallen.append(event)
            version = versions.get(event.number)
            if version is not None:
                audits = (*version.audits, event.audit)
                versions[event.number] = version.replaced(audits=audits)
        elif isinstance(event, ev.AttemptRejected):
            rejected += 1
        elif isinstance(event, ev.AttemptFinished):
            attempts += 1
        elif isinstance(event, ev.StepFinished):
            steps += 1
        elif isinstance(event, ev.HintDelivered):
            hints.append(event)
        elif isinstance(event, ev.SupervisorIntervened):
            interventions.append(event)
        elif isinstance(event, ev.TroubleNoted):
            trouble.append(event)
        elif isinstance(event, ev.Rewound):
            rewinds.append(event)
        elif isinstance(event, ev.Spent):
            spend = spend + event.spend
        elif isinstance(event, ev.StateChanged):
            state = event.state
    if not (
        versions or fallen or attempts or hints or interventions or trouble or rewinds or steps
    ):
        return []
    out: list[Line] = [BLANK]
    if first is not None:
        out.append(line((f"in the last {formats.clock((now - first).total_seconds())}", "dim")))
        out.append(BLANK)
    v = lineage.best(versions.values())
    if v is not None:
        out.append(
            line(
                ("★ ", "best"),
                (formats.many(len(versions), "new version"), "strong"),
                f", best v{v.number} at {formats.ratio(v.aggregate)}",
                (f"  {one_line(v.plan)[:34]}", "dim"),
            )
        )
    if attempts:
        out.append(
            line(
                ("◌ ", "dim"),
                f"{formats.many(attempts, 'attempt')}, {formats.many(steps, 'finished step')}",
                (f", {rejected} rejected", "dim"),
            )
        )
    for event in fallen[-3:]:
        out.append(
            line(
                ("✕ ", "bad"),
                f"v{event.number} does not hold",
                (f"  {one_line(event.audit.reason)[:48]}", "dim"),
            )
        )
    for event in hints[-3:]:
        out.append(line(("» ", "hint"), "a hint was delivered ", (one_line(event.where), "dim")))
    for event in rewinds[-3:]:
        out.append(
            line(
                ("↶ ", "warn"),
                f"rewound from v{event.origin} to v{event.target}",
                (f"  {one_line(event.reason)[:30]}", "dim"),
            )
        )
    for event in interventions[-3:]:
        made = event.intervention
        out.append(
            line(
                ("! ", "warn"),
                f"supervisor: {made.level.replace('_', ' ')}",
                (f"  {one_line(made.trigger)[:40]}", "dim"),
            )
        )
    for event in trouble[-3:]:
        out.append(line(("✕ ", "bad"), one_line(event.message)[:66]))
    if spend.usd > 0 or spend.evaluations:
        said = [formats.usd(spend.usd)] if spend.usd > 0 else []
        said += [formats.many(spend.evaluations, "evaluation")] if spend.evaluations else []
        out.append(line(("$ ", "dim"), "spent " + ", ".join(said)))
    if state and state != "running":
        out += [BLANK, line(("the run is now ", "dim"), (state, "warn"))]
    return out
