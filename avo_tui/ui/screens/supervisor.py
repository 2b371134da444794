"""The supervisor: what it watches, what it did, and the person's own interventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from avo_tui.domain.commands import EditIntervention, Supervise
from avo_tui.domain.records import Intervention
from avo_tui.domain.run_settings import Level
from avo_tui.domain.stall_rules import (
    Rule,
    limits,
    next_level,
    rules,
    stall,
)
from avo_tui.domain.state import SessionState
from avo_tui.ui import formats
from avo_tui.ui.actions import Action, Actions, Reason
from avo_tui.ui.dialogs import TextDialog, not_empty
from avo_tui.ui.panes.base import teach
from avo_tui.ui.screen import engine_alive
from avo_tui.ui.screens.detail import DETAIL, DetailScreen
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import BLANK, Line, Span, line, one_line, prose
from avo_tui.ui.widgets.lists import PickList
from avo_tui.ui.widgets.pane import Pane

BAR = 10
"""Cells of a bar."""
NUMBER = 15
"""Cells of a number beside its limit."""


def stall_lines(snapshot: Snapshot) -> list[Line]:
    """How near the supervisor is to its next intervention; nothing before the first version.

    Of a run in which it does not intervene, the same numbers without limits.
    """
    settings = snapshot.session.settings
    ladder = settings.operator_traits.ladder
    if not snapshot.versions:
        return []
    measured_stall = stall(
        SessionState(
            session=snapshot.session,
            versions=dict(snapshot.versions),
            steps=dict(snapshot.steps),
            attempts=dict(snapshot.attempts),
            supervision=dict(snapshot.supervision),
        )
    )
    rows = rules(measured_stall, limits(settings))
    out = [line(("since the last commit or intervention", "dim"))]
    if not ladder:
        for rule in rows:
            if rule.used or rule.name in {"attempts", "seconds"}:
                number = _number(rule).split(" of ")[0]
                words = rule.words.removeprefix("seconds of ")
                out.append(line((number.rjust(NUMBER), "strong"), (f"  {words}", "dim")))
        return [*out, BLANK]
    out += [_row(rule) for rule in rows if rule.limit]
    if off := [rule.name for rule in rows if not rule.limit]:
        out.append(line((f"switched off: {', '.join(off)}", "faint")))
    return [*out, _ladder(ladder, measured_stall.rung), BLANK]


def _row(rule: Rule) -> Line:
    share = min(1.0, rule.fraction)
    full = round(share * BAR)
    role = "bad" if share >= 1 else "warn" if share >= 0.75 else ""
    return line(
        (_number(rule).rjust(NUMBER), role or "strong"),
        "  ",
        ("━" * full, role or "info"),
        ("─" * (BAR - full), "faint"),
        (f"  {rule.words.removeprefix('seconds of ')}", "dim"),
    )


def _number(rule: Rule) -> str:
    if rule.name == "seconds":
        return f"{formats.coarse(rule.used)} of {formats.coarse(rule.limit)}"
    if rule.name == "usd":
        return f"${rule.used:.2f} of ${rule.limit:.2f}"
    return f"{rule.used:.0f} of {rule.limit:.0f}"


def _ladder(ladder: tuple[Level, ...], rung: int) -> Line:
    """The kinds of intervention in order, with the next one marked."""
    coming = next_level(rung, ladder)
    spans: list[Span] = [("ladder  ", "dim")]
    for index, level in enumerate(ladder):
        if index:
            spans.append((" → ", "faint"))
        mine = level == coming
        spans.append(((f"▸{level}" if mine else level).replace("_", " "), "warn" if mine else ""))
    times = f"  {rung} since the last commit" if rung else ""
    return line(*spans, (times, "faint"))


class SupervisorScreen(DetailScreen):
    """Interventions, newest first."""

    act = Actions["SupervisorScreen"]("supervisor")

    MAIN, VIEW = "#supervisor-view", PickList
    ABOUT = (
        "The supervisor watches attempts and minutes since the last commit, equal failures, "
        "repeats and spend. Its ladder: nudge, redirect, stop the step."
    )
    PANES = {"supervisor": ("Supervisor", "Trigger, diagnosis, directions.")}  # noqa: RUF012

    @property
    def current(self) -> Intervention | None:
        key = self.query_one(PickList).key
        return (
            self.snapshot.supervision.get(str(key)) if self.snapshot is not None and key else None
        )

    def repaint(self) -> None:
        assert self.snapshot is not None
        interventions = sorted(self.snapshot.supervision.values(), key=lambda m: m.at, reverse=True)
        count = formats.many(len(interventions), "intervention")
        self.query_one("#supervisor", Pane).set_info([(count, "dim")])

        def build(width: int) -> list[Line]:
            assert self.snapshot is not None
            out = stall_lines(self.snapshot)
            if not interventions:
                return out + list(
                    teach("The supervisor has not intervened.", *_when(self.snapshot))
                )
            for one in interventions:
                role = {"active": "warn", "dismissed": "faint", "done": "dim"}[one.state]
                rows = [
                    line(
                        ("! ", "warn"),
                        (one.level.replace("_", " "), "strong"),
                        (f"  step {one.step} · {one.at:%d %b %H:%M} · by {one.by} · ", "dim"),
                        (one.state, role),
                    )
                ]
                rows += prose(one.trigger, width, "", ("  ", ""))
                if one.diagnosis:
                    rows += prose(one.diagnosis, width, "dim", ("  ", ""))
                if one.review:
                    rows += prose(one.review, width, "", ("  review  ", "dim"))
                for exhausted in one.avoid:
                    rows += prose(exhausted, width, "warn", ("  stop  ", "warn"))
                for direction in one.directions:
                    rows += prose(direction.line, width, "info", ("  → ", "info"))
                out += [row._replace(meta=one.id) for row in rows]
                out.append(BLANK)
            return out

        self.query_one(PickList).show(build)

    def on_active(self) -> Reason:
        """Needs an intervention under the cursor that is in force."""
        reason = engine_alive(self)
        if reason is not None:
            return reason
        if self.current is None:
            return "there is no intervention under the cursor"
        state = self.current.state
        return None if state == "active" else f"it is {state} already"

    @act(
        "i",
        "Trigger an intervention, with directions of your own.",
        engine_alive,
        footer=1,
        label="intervene",
    )
    def trigger(self) -> None:
        def given(text: str) -> None:
            command = Supervise(level="redirect", directions=_directions(text))
            self.host.send(command, "the supervisor redirects the operator")

        instructions = (
            "Fresh directions, one a line. Left empty, the supervisor reviews the "
            "trajectory and proposes its own."
        )
        self.host.ask(TextDialog("Redirect the operator", instructions, "redirect"), given)

    @act("enter,e", "Replace the directions of the intervention.", on_active, footer=2)
    def edit(self) -> None:
        one = self.current
        assert one is not None

        def given(text: str) -> None:
            command = EditIntervention(intervention=one.id, directions=_directions(text))
            self.host.send(command, "directions replaced")

        text = "\n".join(d.text for d in one.directions)
        dialog = TextDialog(
            "Directions", one_line(one.trigger), "replace", text=text, check=not_empty
        )
        self.host.ask(dialog, given)

    @act(
        "x", "Dismiss it: the operator is told to disregard it.", on_active, footer=3, id="dismiss"
    )
    def dismiss_intervention(self) -> None:
        one = self.current
        assert one is not None
        self.host.send(EditIntervention(intervention=one.id, dismiss=True), "dismissed")

    ACTIONS: ClassVar[Sequence[Action[Any]]] = (*act, *DETAIL)


def _directions(text: str) -> tuple[str, ...]:
    """One of each row."""
    return tuple(row.strip() for row in text.split("\n") if row.strip())


def _when(snapshot: Snapshot) -> Sequence[str]:
    if snapshot.session.settings.operator_traits.ladder:
        return ("It does when attempts go on without a commit; i triggers one by hand.",)
    return (
        "It only counts in this run: candidates come from outside, and nobody here",
        "could be redirected.",
    )
