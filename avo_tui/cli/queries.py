"""Commands that read: sessions, status, lineage, show."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.folders import sessions_text
from avo_tui.cli.json_output import (
    emit,
    intervention_form,
    lineage_form,
    state_word,
    status_form,
    summary_form,
)
from avo_tui.cli.parameters import Json, Name, pick, version_names
from avo_tui.cli.showing import show_attempt
from avo_tui.cli.terminal import table
from avo_tui.domain import stall_rules
from avo_tui.domain.base import now
from avo_tui.domain.budget import cap_states
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.difference import Difference, unified
from avo_tui.domain.evidence import ERROR, Ledger
from avo_tui.domain.outlook import outlook
from avo_tui.domain.plain import plain, safe
from avo_tui.domain.progress import cost_text, progress, progress_text, state_text, waiting_text
from avo_tui.domain.records import Intervention, Version
from avo_tui.domain.score import Score
from avo_tui.domain.stall_rules import before_version
from avo_tui.domain.state import SessionState
from avo_tui.domain.workers import doing_text, queue_text, usable_text
from avo_tui.export.json_documents import version_form
from avo_tui.store import (
    DamagedSession,
    SessionReader,
    by_attention,
    find_session,
    own_root,
    read_workers,
    summaries,
)

PARAGRAPHS = 20
"""Characters of a plan, summary or note that are shown."""


app = typer.Typer()


def ago(at: datetime | None) -> str:
    """A time as the distance to now, such as `3 min ago`."""
    if at is None:
        return "never"
    seconds = max(0.0, (now() - at).total_seconds())
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {word} ago"
    return f"{seconds:.0f} s ago"


@app.command(epilog="Example: avo sessions --json")
def sessions(as_json: Json = False) -> None:
    """List sessions: those that need you first, then the latest active."""
    listed = by_attention(summaries(), now())
    if as_json:
        new = {"folder": str(own_root().folder), "origin": own_root().origin}
        emit({"sessions": [summary_form(s) for s in listed], "new": new})
        return
    rows = []
    for s in listed:
        if s.error is not None:
            rows.append([s.name, "", "broken", "", "", s.error])
            continue
        ratio = f"v{s.best} {s.ratio:.3f}x {s.reference_baseline}" if s.ratio is not None else ""
        word = state_word(s.state) if s.progress is None else state_text(s.progress)
        rows.append([s.name, s.task, word, ratio, str(s.versions), ago(s.last_activity)])
    if rows:
        table(rows, ["session", "task", "state", "best", "versions", "last activity"])
    else:
        typer.echo("no sessions yet; start one with `avo demo` or `avo run TASK`")
    typer.echo(f"new sessions go to {sessions_text()}")


@app.command(epilog="Example: avo status demo")
def status(name: Name, as_json: Json = False) -> None:
    """Say how a run stands."""
    reader = SessionReader.open(find_session(name))
    form = status_form(reader)
    if as_json:
        emit(form)
        return
    session, state = reader.state.session, reader.state
    why = f": {plain(form['reason'])}" if form["reason"] else ""
    typer.echo(f"{session.name}  {state_word(form['state'])}{why}")
    if form["state"] == "lost":
        typer.echo(f"go on with: avo run --resume {session.name}")
    model = f", {session.settings.model}" if session.settings.model else ""
    typer.echo(f"task {session.task.name}, operator {session.settings.operator}{model}")
    known, moment = progress(state, form["state"]), now()
    for text in (waiting_text(known, moment), progress_text(known, moment), cost_text(known)):
        if text:
            typer.echo(text)
    if queued := form["queued"]:
        told = ", ".join(plain(command["text"], 80) for command in queued)
        typer.echo(f"{len(queued)} command{'s' * (len(queued) != 1)} queued: {told}")
    if session.engine is not None and session.engine.sandbox_warning:
        typer.echo(plain(session.engine.sandbox_warning, 400))
    attempt = f", attempt {form['attempt']}, {form['stage']}" if form["attempt"] else ""
    typer.echo(f"step {session.step}{attempt}")
    best = state.best
    if best is not None:
        typer.echo(
            f"best v{best.number}: {best.aggregate:.4f} of {best.score.reference_baseline}, "
            f"{best.score.geomean:.1f} {best.score.unit}; head v{session.head}; "
            f"{len(state.versions)} versions"
        )
    for text in _gate_lines(state):
        typer.echo(text)
    fallen = [f"v{v.number}" for v in state.versions.values() if not v.holds]
    if fallen:
        typer.echo(f"does not hold, by an audit: {', '.join(fallen)}")
    spend = session.spend
    typer.echo(
        f"spent ${spend.usd:.2f}, {spend.tokens} tokens, {spend.seconds / 3600:.2f} h, "
        f"{spend.evaluations} evaluations, {spend.steps} steps"
    )
    for cap in cap_states(session.budget.run, spend):
        typer.echo(f"cap: {cap.text} ({cap.fraction:.0%})")
    for text in (*_supervisor_lines(state), *_seat_lines(state), *_device_lines(reader)):
        typer.echo(text)
    engine = reader.engine()
    where = f"engine {engine.pid} on {engine.host}" if engine.alive else "no engine"
    if session.engine is not None and session.engine.restarts:
        where += f", started again {session.engine.restarts} times after it was lost"
    typer.echo(f"{where}; last event {ago(session.last_event_at)}")


def _seat_lines(state: SessionState) -> list[str]:
    """Who sits in the seat, and the hints that wait for delivery."""
    lines = []
    sits = state.session.occupant
    if sits is not None:
        way = sits.way.replace("_", " ")
        lines.append(f"seat: {plain(sits.name, 80)} ({way}), since {ago(sits.since)}")
    for hint in state.hints.values():
        if hint.state == "queued":
            lines.append(f"hint not delivered yet: {plain(hint.text, 200)}")
    return lines


def _device_lines(reader: SessionReader) -> list[str]:
    """Of a run that goes on: how many devices can be used, and what became of the others."""
    seen = read_workers(reader.folder)
    if seen is None or not reader.engine().alive:
        return []
    if seen.queue is not None:
        return [plain(queue_text(seen.queue), 400)]
    if len(seen.workers) < 2:
        return []
    out = [w for w in seen.workers if not w.usable and w.state != "starting"]
    lines = [usable_text(seen.workers), *(f"{w.name} is {doing_text(w, now())}" for w in out)]
    return [plain(text, 400) for text in lines]


def _gate_lines(state: SessionState) -> list[str]:
    """What is left of the error budget, and what a commit needs now."""
    lines = []
    ledger = Ledger(state.comparisons.values())
    if ledger.tests:
        lines.append(
            f"gate: {len(ledger.tests)} comparisons, {ledger.budget_left:.2%} of the error budget "
            f"of {ERROR:.0%} left for those to come"
        )
    engine = state.session.engine
    machine = engine.machine if engine is not None else None
    asked = outlook(state, machine.conditions if machine is not None else "")
    return [*lines, f"gate: {asked.text}"] if asked is not None else lines


def _supervisor_lines(state: SessionState) -> list[str]:
    """How near the next intervention is, and which one is in force."""
    ladder = state.session.settings.operator_traits.ladder
    if not ladder or not state.versions:
        return []
    stall = stall_rules.stall(state)
    rules = stall_rules.rules(stall, stall_rules.limits(state.session.settings))
    numbers = [f"{r.used:.6g} of {r.limit:g} {r.words}" for r in rules if r.limit and r.used]
    level = stall_rules.next_level(stall.rung, ladder).replace("_", " ")
    lines = [f"supervisor: {', '.join(numbers) or 'nothing amiss'}; next: {level}"]
    for intervention in state.supervision.values():
        if intervention.state == "active":
            lines += intervention_lines(intervention)
    return lines


def intervention_lines(made: Intervention) -> list[str]:
    """An intervention in the text of a command."""
    lines = [f"! {made.level.replace('_', ' ')} in step {made.step}: {plain(made.trigger, 300)}"]
    lines += [f"  {plain(text, 600)}" for text in (made.diagnosis, made.review) if text]
    lines += [f"  stop: {plain(exhausted, 300)}" for exhausted in made.avoid]
    lines += [f"  → {plain(direction.line, 300)}" for direction in made.directions]
    return lines


@app.command(epilog="Example: avo lineage demo --json")
def lineage(name: Name, as_json: Json = False) -> None:
    """List the versions of a session with their scores."""
    state = SessionReader.open(find_session(name)).state
    if as_json:
        emit(lineage_form(state))
        return
    if not state.versions:
        typer.echo("no versions yet")
        return
    best, rows = state.best, []
    for number in sorted(state.versions):
        v = state.versions[number]
        marks = "".join(
            mark
            for mark, on in (
                ("★", v is best),
                ("◀", number == state.session.head),
                ("✕", not v.holds),
            )
            if on
        )
        parent = "" if v.parent is None else f"v{v.parent}"
        label = f"[{v.bookmark}] " if v.bookmark else ""
        row = [f"v{number}{marks}", parent, f"{v.aggregate:.4f}", f"{v.score.geomean:.1f}"]
        row.append(v.gate.over if v.gate.remeasured else "")
        rows.append([*row, v.author, label + v.title])
    unit = state.session.task.unit
    baseline = state.session.task.reference_baseline
    table(rows, ["version", "parent", f"of {baseline}", unit, "at the gate", "author", "idea"])
    fallen = any(not v.holds for v in state.versions.values())
    typer.echo("★ best  ◀ head" + ("  ✕ does not hold, by an audit" if fallen else ""))
    if any(v.gate.remeasured for v in state.versions.values()):
        typer.echo(
            f"of {baseline}, {unit}: from one run of each version; at the gate: its gain over the"
            " version to beat, timed in turn, which decides which is best"
        )


def _score_table(score: Score) -> tuple[list[list[str]], list[str]]:
    """A row for each configuration and one for all, and the heads: the ratio to every baseline."""
    others, rows = score.other_baselines, []
    for c in score.configurations:
        row = [c.name, f"{c.throughput:.1f}", f"{c.p20:.1f}–{c.p80:.1f}", f"{c.ratio:.4f}"]
        for name in others:
            speed = score.speed_over(c, name)
            row.append(f"{speed:.4f}" if speed > 0 else "")
        rows.append(row)
    last = ["all", f"{score.geomean:.1f}", "", f"{score.aggregate:.4f}"]
    last += [f"{score.ratio_to(name):.4f}" for name in others]
    heads = ["configuration", score.unit, "p20–p80", f"of {score.reference_baseline}"]
    return [*rows, last], [*heads, *(f"of {name}" for name in others)]


@app.command(epilog="Example: avo show demo best --diff")
def show(
    name: Name,
    version: Annotated[
        str,
        typer.Argument(
            help="A version: 12, v12, head or best; or an attempt: 12.3.",
            autocompletion=version_names,
        ),
    ],
    source: Annotated[bool, typer.Option("--source", help="Print the source files.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print the change to the parent.")] = False,
    as_json: Json = False,
) -> None:
    """Show a version, or an attempt such as 12.3: its score, source, or change to the parent."""
    if source and diff:
        raise typer.BadParameter("choose one of --source and --diff", param_hint="--source")
    reader = SessionReader.open(find_session(name))
    state = reader.state
    if "." in version:
        show_attempt(reader, version, source, diff, as_json)
        return
    number = pick(state, version)
    shown = state.versions[number]
    interventions = before_version(state, number)
    candidate, change, damage = _source(reader, number)
    if damage:
        if source or diff:
            raise Failure(damage)
        typer.echo(f"avo: {damage}", err=True)
    if as_json:
        emit(
            {
                "session": state.session.name,
                **version_form(shown),
                "interventions": [intervention_form(i) for i in interventions],
                "files": candidate.files if candidate is not None else {},
                "diff": change.text if change is not None else "",
                **({"damaged": damage} if damage else {}),
            }
        )
        return
    if source and candidate is not None:
        for file, text in candidate.files.items():
            if len(candidate.files) > 1:
                typer.echo(f"==> {file} <==")
            typer.echo(safe(text))
        return
    if diff:
        typer.echo(safe(change.text if change is not None else "(the seed has no parent)"))
        return
    _print_version(shown, interventions)


def _print_version(version: Version, interventions: Sequence[Intervention]) -> None:
    """What `avo show` says of a version; `interventions` are those that led to it."""
    parent = "" if version.parent is None else f" from v{version.parent}"
    typer.echo(
        f"v{version.number}{parent}, {version.author}, step {version.step}, "
        f"{version.created:%Y-%m-%d %H:%M} UTC"
    )
    if version.origin:
        typer.echo(f"carried over from {plain(version.origin, 200)}")
    remark = version.note and f"Note: {version.note}"
    for text in (version.idea, version.plan, version.summary, remark):
        for paragraph in [p for p in text.splitlines() if p.strip()][:PARAGRAPHS]:
            typer.echo(plain(paragraph, 600))
    typer.echo(f"gate {version.gate.gate}: {plain(version.gate.reason, 300)}")
    if version.gate.basis:
        typer.echo(f"rests on {version.gate.basis}")
    for audit in version.audits:
        typer.echo(f"audit {audit.at:%Y-%m-%d %H:%M} UTC: {plain(audit.line, 300)}")
    for note in version.built_on:
        typer.echo(f"built on the note {note.id}, {note.category}: {plain(note.text, 400)}")
    for intervention in interventions:
        for text in intervention_lines(intervention):
            typer.echo(text)
    table(*_score_table(version.score))
    if version.resources.summary():
        typer.echo(plain(version.resources.summary(), 300))
    for again in version.remeasurements:
        typer.echo(f"measured again {again.at:%Y-%m-%d %H:%M} UTC: {again.score.aggregate:.4f}")


def _source(reader: SessionReader, number: int) -> tuple[Candidate | None, Difference | None, str]:
    """(source of a version, its change to the parent, what of them cannot be read)."""
    versions = reader.state.versions
    version, candidate = versions[number], None
    try:
        candidate = reader.candidate(version.candidate)
        if version.parent is None:
            return candidate, None, ""
        if version.parent not in versions:
            return candidate, None, f"v{version.parent}, which v{number} was made from, is lost"
        origin = reader.candidate(versions[version.parent].candidate)
    except DamagedSession as error:
        return candidate, None, str(error)
    return candidate, unified(origin, candidate), ""
