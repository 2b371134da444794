"""Commands that read: sessions, status, workers, lineage, attempts, show."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated

from typer import Argument, BadParameter, Option, Typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.folders import sessions_text
from avo_tui.cli.json_output import (
    attempt_form,
    current_attempt,
    intervention_form,
    lineage_form,
    status_form,
    summary_form,
    workers_form,
)
from avo_tui.cli.parameters import Json, Name, opened, pick, version_names
from avo_tui.cli.terminal import emit, say, table, tell
from avo_tui.domain import stall_rules
from avo_tui.domain.attempts import ORDERS, attempt_matches, attempt_name, attempt_status, ordered
from avo_tui.domain.base import now
from avo_tui.domain.budget import cap_states
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import command_text
from avo_tui.domain.difference import unified
from avo_tui.domain.events import GateDecided
from avo_tui.domain.evidence import ERROR, Ledger
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.outlook import outlook, paired_gains
from avo_tui.domain.plain import plain, safe
from avo_tui.domain.progress import cost_text, progress, progress_text, state_text, waiting_text
from avo_tui.domain.records import Attempt, Intervention, RunState, Version
from avo_tui.domain.score import Score
from avo_tui.domain.state import SessionState
from avo_tui.domain.workers import doing_text, figures_text, loss_text, queue_text, usable_text
from avo_tui.evaluation.report import form as report_form
from avo_tui.export.json_documents import version_form
from avo_tui.operators.toolbox.report_text import report_text
from avo_tui.store import (
    DamagedSession,
    SessionReader,
    by_attention,
    own_root,
    queued_commands,
    read_workers,
    summaries,
)

PARAGRAPHS = 20
"""Paragraphs of a plan, summary or note that are shown."""
MOST = 200
"""Attempts that are printed unless another number is asked for."""

app = Typer()


def ago(at: datetime | None) -> str:
    """A time as the distance to now, such as `3 min ago`."""
    if at is None:
        return "never"
    seconds = max(0.0, (now() - at).total_seconds())
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {word} ago"
    return f"{seconds:.0f} s ago"


def state_word(state: RunState | None) -> str:
    """A run's state in words for the person."""
    return "unreadable" if state is None else "engine lost" if state == "lost" else state


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
        say("no sessions yet; start one with `avo demo` or `avo run TASK`")
    say(f"new sessions go to {sessions_text()}")


@app.command(epilog="Example: avo status demo")
def status(name: Name, as_json: Json = False) -> None:
    """Say how a run stands."""
    reader = opened(name)
    form = status_form(reader)
    if as_json:
        emit(form)
    else:
        say(*_status_lines(reader, form["state"]))


def _status_lines(reader: SessionReader, run_state: RunState) -> Iterator[str]:
    session, state = reader.state.session, reader.state
    reason = reader.standing()[1]
    yield f"{session.name}  {state_word(run_state)}" + (f": {plain(reason)}" if reason else "")
    if run_state == "lost":
        yield f"go on with: avo run --resume {session.name}"
    model = f", {session.settings.model}" if session.settings.model else ""
    yield f"task {session.task.name}, operator {session.settings.operator}{model}"
    if session.task.measured_by:
        yield f"scores: {session.task.measured_by}"
    known, moment = progress(state, run_state), now()
    texts = (waiting_text(known, moment), progress_text(known, moment), cost_text(known))
    yield from filter(None, texts)
    queued = [plain(command_text(command), 80) for command in queued_commands(reader.folder)]
    queued += ["hint" for hint in state.hints.values() if hint.state == "queued"]
    if queued:
        yield f"{len(queued)} command{'s' * (len(queued) != 1)} queued: {', '.join(queued)}"
    if session.engine is not None and session.engine.sandbox_warning:
        yield plain(session.engine.sandbox_warning, 400)
    attempt, stage = current_attempt(state)
    yield f"step {session.step}" + (f", attempt {attempt}, {stage}" if attempt else "")
    if (best := state.best) is not None:
        yield (
            f"best v{best.number}: {best.aggregate:.4f} of {best.score.reference_baseline}, "
            f"{best.score.geomean:.1f} {best.score.unit}; head v{session.head}; "
            f"{len(state.versions)} versions"
        )
        if best.under_load:
            yield f"v{best.number} was committed on a busy machine ({plain(best.under_load, 200)})"
    yield from _gate_lines(state)
    if fallen := [f"v{v.number}" for v in state.versions.values() if not v.holds]:
        yield f"does not hold, by an audit: {', '.join(fallen)}"
    spend = session.spend
    yield (
        f"spent ${spend.usd:.2f}, {spend.tokens} tokens, {spend.seconds / 3600:.2f} h, "
        f"{spend.evaluations} evaluations, {spend.steps} steps"
    )
    for cap in cap_states(session.budget.run, spend):
        yield f"cap: {cap.text} ({cap.fraction:.0%})"
    yield from _supervisor_lines(state)
    if (sits := session.occupant) is not None:
        way = sits.way.replace("_", " ")
        yield f"seat: {plain(sits.name, 80)} ({way}), since {ago(sits.since)}"
    for hint in state.hints.values():
        if hint.state == "queued":
            yield f"hint not delivered yet: {plain(hint.text, 200)}"
    yield from _device_lines(reader)
    engine = reader.engine()
    where = f"engine {engine.pid} on {engine.host}" if engine.alive else "no engine"
    if session.engine is not None and session.engine.restarts:
        where += f", started again {session.engine.restarts} times after it was lost"
    yield f"{where}; last event {ago(session.last_event_at)}"


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


def _gate_lines(state: SessionState) -> Iterator[str]:
    """What is left of the error budget, and what a commit needs now."""
    ledger = Ledger(state.comparisons.values())
    if ledger.tests:
        yield (
            f"gate: {len(ledger.tests)} comparisons, {ledger.budget_left:.2%} of the error budget "
            f"of {ERROR:.0%} left for those to come"
        )
    engine = state.session.engine
    machine = engine.machine if engine is not None else None
    asked = outlook(state, machine.conditions if machine is not None else "")
    if asked is not None:
        yield f"gate: {asked.text}"


def _supervisor_lines(state: SessionState) -> Iterator[str]:
    """How near the next intervention is, and which one is in force."""
    ladder = state.session.settings.operator_traits.ladder
    if not ladder or not state.versions:
        return
    stall = stall_rules.stall(state)
    rules = stall_rules.rules(stall, stall_rules.limits(state.session.settings))
    near = [r for r in rules if r.limit and r.used]
    numbers = [f"{round(r.used, 2):.6g} of {r.limit:g} {r.words}" for r in near]
    level = stall_rules.next_level(stall.rung, ladder).replace("_", " ")
    yield f"supervisor: {', '.join(numbers) or 'nothing amiss'}; next: {level}"
    for intervention in state.supervision.values():
        if intervention.state == "active":
            yield from intervention_lines(intervention)


def intervention_lines(made: Intervention) -> Iterator[str]:
    """An intervention in the text of a command."""
    yield f"! {made.level.replace('_', ' ')} in step {made.step}: {plain(made.trigger, 300)}"
    yield from (f"  {plain(text, 600)}" for text in (made.diagnosis, made.review) if text)
    yield from (f"  stop: {plain(exhausted, 300)}" for exhausted in made.avoid)
    yield from (f"  → {plain(direction.line, 300)}" for direction in made.directions)


@app.command(epilog="Example: avo workers demo --json")
def workers(name: Name, as_json: Json = False) -> None:
    """List the devices of a run: state, host, what each evaluates, rate, failures, last loss."""
    reader = opened(name)
    if as_json:
        emit(workers_form(reader))
        return
    seen, alive = read_workers(reader.folder), reader.engine().alive
    if seen is None:
        raise Failure(
            f"nothing is known of the devices of {reader.name}: its engine tells of them while it "
            "runs"
        )
    # times are told as of the engine's last word where it no longer lives
    moment = now() if alive else seen.at
    seen = seen if alive else seen.ended()
    if not alive:
        say(f"no engine runs; as its last one told at {seen.at:%Y-%m-%d %H:%M:%S} UTC:")
    if seen.queue is not None:
        say(queue_text(seen.queue, moment))
    elif alive:
        say(usable_text(seen.workers))
    rows = []
    for w in seen.workers:
        words = filter(None, [doing_text(w, moment), loss_text(w, moment)])
        rows.append([w.name, w.host, w.device, figures_text(w, moment), "; ".join(words)])
    table(rows, ["worker", "host", "device", "figures", "state"])


@app.command(epilog="Example: avo lineage demo --json")
def lineage(name: Name, as_json: Json = False) -> None:
    """List the versions of a session with their scores."""
    state = opened(name).state
    if as_json:
        emit(lineage_form(state))
        return
    if not state.versions:
        say("no versions yet")
        return
    rows, versions = [], state.versions.values()
    for v in sorted(versions, key=lambda version: version.number):
        marks = (v.star * (v is state.best)) + "◀" * (v.number == state.session.head)
        rows.append([
            f"v{v.number}{marks}{'' if v.holds else '✕'}",
            "" if v.parent is None else f"v{v.parent}",
            f"{v.aggregate:.4f}",
            f"{v.score.geomean:.1f}",
            v.gate.over if v.gate.remeasured else "",
            plain(v.model or v.author, 20),
            (f"[{v.flag}] " if v.flag else "") + v.title,
        ])  # fmt: skip
    unit, baseline = state.session.task.unit, state.session.task.reference_baseline
    table(rows, ["version", "parent", f"of {baseline}", unit, "at the gate", "author", "idea"])
    fallen = any(not v.holds for v in versions)
    loaded = "  ☆ best, timed on a busy machine alone" * any(v.under_load for v in versions)
    say("★ best  ◀ head" + loaded + ("  ✕ does not hold, by an audit" if fallen else ""))
    if any(v.gate.remeasured for v in versions):
        say(
            f"of {baseline}, {unit}: from one run of each version; at the gate: its gain over the"
            " version to beat, timed in turn, which decides which is best"
        )
    if label := state.session.task.measured_by:
        say(f"scores: {label}")


@app.command(epilog="Example: avo attempts demo rejected noise")
def attempts(
    name: Name,
    words: Annotated[
        list[str] | None,
        Argument(
            help="Only those with all of these: rejected, committed, wrong, failed, noise, "
            "suspicious, running, or any other text."
        ),
    ] = None,
    sort: Annotated[str, Option(help="newest, score or status.")] = "newest",
    most: Annotated[int, Option(min=1, help="Rows to print at most.")] = MOST,
    as_json: Json = False,
) -> None:
    """List the attempts of a session with what became of each, and why."""
    order = next((known for known in ORDERS if known == sort), None)
    if order is None:
        raise BadParameter(f"one of {', '.join(ORDERS)}", param_hint="--sort")
    state = opened(name).state
    step, text = state.open_step, " ".join(words or ())
    kept = [a for a in state.attempts.values() if attempt_matches(a, text, step)]
    shown = ordered(kept, order, step)[:most]
    if as_json:
        forms = [attempt_form(a, step) for a in shown]
        emit({"session": state.session.name, "matching": len(kept), "attempts": forms})
        return
    if not shown:
        say("there is no attempt" + (f" that matches {text!r}" if text else ""))
        return
    rows = []
    for a in shown:
        score = f"{a.aggregate:.4f}" if a.aggregate > 0 else ""
        rows.append([attempt_name(a), attempt_status(a, step), score, a.title, a.reason])
    baseline = state.session.task.reference_baseline
    table(rows, ["attempt", "status", f"of {baseline}", "tried", "reason"])
    if len(kept) > len(rows):
        say(f"{len(kept) - len(rows)} more; --most shows them")


@app.command(epilog="Example: avo show demo best --diff")
def show(
    name: Name,
    version: Annotated[
        str,
        Argument(
            help="A version: 12, v12, head or best; or an attempt: 12.3.",
            autocompletion=version_names,
        ),
    ],
    source: Annotated[bool, Option("--source", help="Print the source files.")] = False,
    diff: Annotated[bool, Option("--diff", help="Print the change to the parent.")] = False,
    as_json: Json = False,
) -> None:
    """Show a version, or an attempt such as 12.3: its score, source, or change to the parent."""
    if source and diff:
        raise BadParameter("choose one of --source and --diff", param_hint="--source")
    reader = opened(name)
    state, attempt = reader.state, None
    if "." in version:
        attempt = _attempt(reader, version)
        candidate: Candidate | None = reader.candidate(attempt.candidate)
        assert candidate is not None
        origin = state.versions.get(attempt.parent)
        change = unified(reader.candidate(origin.candidate), candidate).text if origin else ""
        unchanged, damage = "(the same source as its parent)", ""
    else:
        number = pick(state, version)
        candidate, change, damage = _source(reader, number)
        unchanged = "" if state.versions[number].parent is not None else "(the seed has no parent)"
    if damage and (source or diff):
        raise Failure(damage)
    if damage:
        tell(f"avo: {damage}")
    if as_json:
        about = _attempt_form(reader, attempt) if attempt else _version_form(state, number)
        files = candidate.files if candidate is not None else {}
        damaged = {"damaged": damage} if damage else {}
        emit({"session": state.session.name, **about, "files": files, "diff": change, **damaged})
    elif source and candidate is not None:
        for file, text in candidate.files.items():
            if len(candidate.files) > 1:
                say(f"==> {file} <==")
            say(safe(text))
    elif diff:
        say(safe(change or unchanged))
    elif attempt is not None:
        say(*_attempt_lines(reader, attempt))
    else:
        _print_version(state.versions[number], stall_rules.before_version(state, number))
        if label := state.session.task.measured_by:
            say(f"scores: {label}")


def _attempt(reader: SessionReader, name: str) -> Attempt:
    step, _, number = name.partition(".")
    attempts = reader.state.attempts
    if step.isdecimal() and number.isdecimal() and (int(step), int(number)) in attempts:
        return attempts[int(step), int(number)]
    raise Failure(f"there is no attempt {name}; avo attempts {reader.name} lists them")


def decision_on(reader: SessionReader, attempt: Attempt | None) -> GateDecision | None:
    """The gate's decision on an attempt; None if the gate was never asked."""
    decision = None
    for event in reader.events(attempt.step) if attempt is not None else ():
        if isinstance(event, GateDecided) and attempt and event.attempt == attempt.number:
            decision = event.decision
    return decision


def report_forms(reader: SessionReader, attempt: Attempt | None) -> dict[str, object]:
    """The report of an attempt, the gate's decision on it, and how fast it is on other inputs."""
    report = reader.report(attempt) if attempt is not None else None
    decision = decision_on(reader, attempt)
    number = attempt.version if attempt is not None else None
    return {
        "report": report_form(report) if report is not None else None,
        "gate": decision.model_dump(mode="json") if decision is not None else None,
        "breadth": reader.state.versions[number].score.breadth if number is not None else {},
    }


def _attempt_form(reader: SessionReader, attempt: Attempt) -> dict[str, object]:
    return {**attempt_form(attempt, reader.state.open_step), **report_forms(reader, attempt)}


def _version_form(state: SessionState, number: int) -> dict[str, object]:
    interventions = [intervention_form(i) for i in stall_rules.before_version(state, number)]
    return {**version_form(state.versions[number]), "interventions": interventions}


def _attempt_lines(reader: SessionReader, attempt: Attempt) -> Iterator[str]:
    status = attempt_status(attempt, reader.state.open_step)
    about = f"{attempt_name(attempt)} from v{attempt.parent}: {status}"
    yield f"{about}; {plain(attempt.title, 300)}" if attempt.title else about
    if attempt.reason:
        yield f"why not: {plain(attempt.reason, 600)}"
    decision, report = decision_on(reader, attempt), reader.report(attempt)
    if decision is not None:
        yield f"gate {decision.gate}: {plain(decision.reason, 600)}"
        if decision.basis:
            yield f"rests on {decision.basis}"
        if decision.time:
            yield decision.time
    if report is None:
        yield "it was not finished, so there is no report"
        return
    yield safe(report_text(report, paired_gains(reader.state, attempt.candidate)))
    yield from (report.device, *report.seconds.lines())


def _print_version(version: Version, interventions: Sequence[Intervention]) -> None:
    """What `avo show` says of a version; `interventions` are those that led to it."""
    parent = "" if version.parent is None else f" from v{version.parent}"
    say(
        f"v{version.number}{parent}, {plain(version.maker, 100)}, step {version.step}, "
        f"{version.created:%Y-%m-%d %H:%M} UTC"
    )
    if version.origin:
        say(f"carried over from {plain(version.origin, 200)}")
    remark = version.note and f"Note: {version.note}"
    for text in (version.idea, version.plan, version.summary, remark):
        paragraphs = [p for p in text.splitlines() if p.strip()][:PARAGRAPHS]
        say(*(plain(paragraph, 600) for paragraph in paragraphs))
    say(f"gate {version.gate.gate}: {plain(version.gate.reason, 300)}")
    if version.gate.basis:
        say(f"rests on {version.gate.basis}")
    for audit in version.audits:
        say(f"audit {audit.at:%Y-%m-%d %H:%M} UTC: {plain(audit.line, 300)}")
    for note in version.built_on:
        say(f"built on the note {note.id}, {note.category}: {plain(note.text, 400)}")
    for intervention in interventions:
        say(*intervention_lines(intervention))
    _score_table(version.score)
    if version.resources.summary():
        say(plain(version.resources.summary(), 300))
    for again in version.remeasurements:
        say(f"measured again {again.at:%Y-%m-%d %H:%M} UTC: {again.score.aggregate:.4f}")


def _score_table(score: Score) -> None:
    """A row for each configuration and one for all: throughput, the ratio to every baseline."""
    others, rows = score.other_baselines, []
    for c in score.configurations:
        speeds = [score.speed_over(c, name) for name in others]
        row = [c.name, f"{c.throughput:.1f}", f"{c.p20:.1f}–{c.p80:.1f}", f"{c.ratio:.4f}"]
        rows.append([*row, *(f"{speed:.4f}" if speed > 0 else "" for speed in speeds)])
    ratios = [score.aggregate, *(score.ratio_to(name) for name in others)]
    rows.append(["all", f"{score.geomean:.1f}", "", *(f"{ratio:.4f}" for ratio in ratios)])
    baselines = [f"of {name}" for name in (score.reference_baseline, *others)]
    table(rows, ["configuration", score.unit, "p20–p80", *baselines])
    for remark in score.remarks:
        say(plain(remark, 600))


def _source(reader: SessionReader, number: int) -> tuple[Candidate | None, str, str]:
    """(source of a version, its change to the parent, what of them cannot be read)."""
    versions = reader.state.versions
    version, candidate = versions[number], None
    try:
        candidate = reader.candidate(version.candidate)
        if version.parent is None:
            return candidate, "", ""
        if version.parent not in versions:
            lost = f"v{version.parent}, which v{number} was made from, is lost; {reader.mend}"
            return candidate, "", lost
        origin = reader.candidate(versions[version.parent].candidate)
    except DamagedSession as error:
        return candidate, "", str(error)
    return candidate, unified(origin, candidate).text, ""
