"""Summarises what happened in a time span of a run, in a few lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeVar

from avo_tui.domain import events as ev
from avo_tui.domain import lineage
from avo_tui.domain.budget import Spend
from avo_tui.domain.lineage import rewind_text
from avo_tui.domain.progress import Progress, progress_text, waiting_text
from avo_tui.domain.records import Hint, Version
from avo_tui.domain.verdict import Verdict
from avo_tui.ui import formats
from avo_tui.ui.panes.graph import key_of_version
from avo_tui.ui.panes.score import yesterday
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import BLANK, Line, crop, cut, line, one_line, prose
from avo_tui.ui.text import Span as Lead

MOST = 3
"""Number of hints, rewinds, interventions and problems that are shown; the last ones."""

LONGEST = 190
"""Characters of one of them, at most: three rows of the dialog."""


E = TypeVar("E", bound=ev.Event)
TOLD = (
    ev.VersionCommitted, ev.VersionAudited, ev.AttemptRejected, ev.AttemptFinished, ev.StepFinished,
    ev.HintDelivered, ev.SupervisorIntervened, ev.TroubleNoted, ev.Rewound,
)  # fmt: skip
"""Kinds of events that a person would want to know about."""


@dataclass
class Happenings:
    """What a person would want to know about a list of events, collected by `apply`."""

    events: list[ev.Event] = field(default_factory=list)
    spend: Spend = field(default_factory=Spend)
    first: datetime | None = None
    """When the first of all events happened."""
    last: datetime | None = None
    """When the last of them happened."""
    hints: Mapping[str, str] = field(default_factory=dict)
    """What the hints of the run say."""

    def apply(self, event: ev.Event) -> None:
        self.first, self.last = self.first or event.at, event.at
        if isinstance(event, TOLD):
            self.events.append(event)
        elif isinstance(event, ev.Spent):
            self.spend = self.spend + event.spend

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def anything(self) -> bool:
        audits = (e.audit for e in self.of(ev.VersionAudited))
        passed = sum(audit.outcome != "fails" for audit in audits)
        return len(self.events) > passed

    @property
    def versions(self) -> dict[int, Version]:
        """With the audits that came later."""
        versions = {e.version.number: e.version for e in self.of(ev.VersionCommitted)}
        for event in self.of(ev.VersionAudited):
            if version := versions.get(event.number):
                audits = (*version.audits, event.audit)
                versions[event.number] = version.replaced(audits=audits)
        return versions

    @property
    def rejected(self) -> set[tuple[int, int]]:
        """Step and number of the attempts that failed, or that the gate turned down."""
        finished = self.of(ev.AttemptFinished)
        failed = {(e.step, e.attempt) for e in finished if e.report.verdict is not Verdict.CORRECT}
        return failed | {(e.step, e.attempt) for e in self.of(ev.AttemptRejected)}


@dataclass(frozen=True)
class Span:
    """A time span of a run that ends now: after a given event, or from a moment on."""

    name: str
    """In words, such as `last hour`."""
    after: int = 0
    since: datetime | None = None

    def holds(self, event: ev.Event) -> bool:
        return event.seq > self.after and (self.since is None or event.at >= self.since)


def spans(
    snapshot: Snapshot, seen: int, now: datetime, version: Version | None = None
) -> dict[str, Span]:
    """The spans that can be asked for, by the key that asks for them; `version` is in hand."""
    best = snapshot.best
    out = {"1": Span("since you last looked", after=seen)} if seen else {}
    out |= {
        "2": Span("in the last hour", since=now - timedelta(hours=1)),
        "3": Span("since yesterday", since=yesterday(now)),
        "4": Span(
            f"since v{best.number}, the best" if best is not None else "since the start",
            since=None if best is None else best.created,
        ),
        "5": Span("since the start"),
    }
    if version is not None and (best is None or version.number != best.number):
        out["6"] = Span(f"since v{version.number}", since=version.created)
    return out


def current_alerts(
    events: Iterable[ev.Event], span: Span, hints: Mapping[str, Hint] = MappingProxyType({})
) -> Happenings:
    """What happened in a span."""
    out = Happenings(hints={key: hint.text for key, hint in hints.items()})
    for event in events:
        if span.holds(event):
            out.apply(event)
    return out


def digest_lines(
    told: Happenings, span: Span, known: Progress, now: datetime, width: int
) -> list[Line]:
    """The digest in rows of at most `width` cells."""
    return [
        row._replace(spans=crop(row.spans, width)) for row in _rows(told, span, known, now, width)
    ]


def _rows(told: Happenings, span: Span, known: Progress, now: datetime, width: int) -> list[Line]:
    """The span, versions, attempts, what the person and the supervisor did, trouble, spend; how it
    is now."""
    out: list[Line] = [BLANK]
    stretch = stretch_text(told, span, now)
    if stretch != span.name:  # the title says the name
        out += [*prose(stretch, width, "dim"), BLANK]
    if not told.anything:
        out.append(line(f"nothing happened {span.name}"))
    out += _work(told, width)
    out += _interference(told, width)
    spent = [formats.usd(told.spend.usd)] if told.spend.usd > 0 else []
    if told.spend.evaluations:
        spent.append(formats.many(told.spend.evaluations, "evaluation"))
    if spent:
        out.append(line(("  ", ""), "spent " + ", ".join(spent)))
    out.append(BLANK)
    waits, better = waiting_text(known, now), progress_text(known, now)
    if waits:
        keys = ": A approves, X rejects" if known.waits_for == "approval" else ""
        out += prose(waits + keys, width, "warn", ("▲ ", "warn"))
    elif known.state not in {"running", "starting"}:
        out.append(line(("the run is ", "dim"), (known.state, "warn")))
    if better:
        out += prose(better, width, "warn" if known.stuck else "", ("  ", ""))
    return out


def stretch_text(told: Happenings, span: Span, now: datetime) -> str:
    """The span in words, from when to when it goes, and how long ago its last event was."""
    begin, end = span.since or told.first, now.astimezone()
    text = span.name
    if begin is not None:
        begin = begin.astimezone()
        form = "%H:%M" if begin.date() == end.date() else "%d %b %H:%M"
        text += f": {begin:%d %b %H:%M} to {end:{form}}"
    if told.last is not None:
        text += f"; the last event {formats.coarse((now - told.last).total_seconds())} ago"
    return text


def opening(rows: list[Line], *place: object) -> list[Line]:
    """The rows of one entry, with the place that it opens; what follows only tells it apart."""
    return [row._replace(meta=place) for row in rows]


def _work(told: Happenings, width: int) -> list[Line]:
    out: list[Line] = []
    versions, tried = told.versions, told.of(ev.AttemptFinished)
    best = lineage.best(versions.values())
    if best is not None:
        sentence = f"{formats.many(len(versions), 'new version')}, best v{best.number}"
        sentence += f" at {formats.ratio(best.aggregate)}: {one_line(best.title)}"
        rows = prose(sentence.rstrip(": "), width, "strong", (f"{best.star} ", "best"))
        out += opening(rows, key_of_version(best.number))
    if tried:
        steps = formats.many(len(told.of(ev.StepFinished)), "finished step")
        text = f"{formats.many(len(tried), 'attempt')}, {steps}"
        rejected = (f", {len(told.rejected)} rejected", "dim")
        out.append(line(("◌ ", "dim"), text, rejected, meta=("attempts",)))
    fallen = [event for event in told.of(ev.VersionAudited) if event.audit.outcome == "fails"]
    for event in fallen[-MOST:]:
        reason = formats.minus(one_line(event.audit.reason))
        rows = prose(f"v{event.number} does not hold: {reason}", width, "", ("✕ ", "bad"))
        out += opening(rows, key_of_version(event.number))
    return out


def _interference(told: Happenings, width: int) -> list[Line]:
    """What the person and the supervisor did, and what went wrong; long reasons are cut."""
    rows: list[tuple[Lead, str, object]] = []
    for hint in told.of(ev.HintDelivered)[-MOST:]:
        text = told.hints.get(hint.hint, "a hint")
        rows.append((("» ", "hint"), f"{one_line(text, 90)}: {one_line(hint.where)}", hint.step))
    for rewind in told.of(ev.Rewound)[-MOST:]:
        text = rewind_text(rewind.origin, rewind.target, rewind.reason)
        rows.append((("↶ ", "warn"), text, key_of_version(rewind.target)))
    for event in told.of(ev.SupervisorIntervened)[-MOST:]:
        level = event.intervention.level.replace("_", " ")
        words = f"supervisor: {level}: {one_line(event.intervention.trigger)}"
        rows.append((("! ", "warn"), words, "supervise"))
    for trouble in told.of(ev.TroubleNoted)[-MOST:]:
        rows.append((("✕ ", "bad"), trouble.message, trouble.step))
    return [
        row
        for index, (lead, text, leads_to) in enumerate(rows)
        for row in opening(prose(cut(one_line(text), LONGEST), width, "", lead), leads_to, index)
    ]
