"""`avo campaign`: several sessions on one task that pass on their best versions."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from itertools import count
from typing import Annotated, Any

from typer import Argument, Exit, Option, Typer

from avo_tui.campaign.conductor import settle
from avo_tui.campaign.process import start_conductor
from avo_tui.cli import opening
from avo_tui.cli.app import open_app
from avo_tui.cli.control import ANSWER_SECONDS, NOT_TAKEN, answer, deliver, parse_pairs
from avo_tui.cli.errors import Failure
from avo_tui.cli.notify import start_watcher
from avo_tui.cli.parameters import (
    Evaluations,
    Hours,
    Json,
    Steps,
    TaskName,
    Tokens,
    Usd,
    completing,
    operator_names,
)
from avo_tui.cli.session_trust import require_agreement
from avo_tui.cli.starting import Evaluators
from avo_tui.cli.terminal import emit, in_terminal, say, table, tell
from avo_tui.domain.base import now
from avo_tui.domain.budget import Budget, Caps, cap_states, exhausted
from avo_tui.domain.campaigns import (
    Campaign,
    Line,
    Order,
    SetCaps,
    Split,
    first_shares,
    line_session,
)
from avo_tui.domain.commands import Command, Pause, Resume, SendHint, Stop
from avo_tui.domain.plain import plain
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evaluation.workers.machine import split_devices
from avo_tui.evolution.options import changed_settings
from avo_tui.evolution.process import start_after_inbox, wait_for_end
from avo_tui.export.json_documents import moment
from avo_tui.store import (
    CampaignFolder,
    CampaignReader,
    CampaignView,
    CampaignWriter,
    LineView,
    SessionLocked,
    SessionNotFound,
    SessionReader,
    StoreError,
    campaign_folders,
    check_name,
    create_campaign,
    find_campaign,
    known_sessions,
)

ORDER_SECONDS = 60.0
POLL_SECONDS = 0.1
FOLLOW_SECONDS = 1.0

CampaignName = Annotated[
    str,
    Argument(
        metavar="CAMPAIGN",
        help="Name of a campaign.",
        autocompletion=completing(lambda _: (folder.name for folder in campaign_folders())),
    ),
]
OneLine = Annotated[
    int | None, Option("--line", min=1, help="Only this line; without it all of them.")
]

_HELP = "Run several sessions on one task that now and then pass on their best version."

app = Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)


@app.command("list", epilog="Example: avo campaign list --json")
def list_campaigns(as_json: Json = False) -> None:
    """List the campaigns on this machine."""
    forms: list[dict[str, object]] = []
    rows = []
    for folder in campaign_folders():
        try:
            view = CampaignReader(folder).view()
        except StoreError as error:
            forms.append({"campaign": folder.name, "error": str(error)})
            rows.append([folder.name, "", "broken", "", "", str(error)])
            continue
        form = view_form(view)
        forms.append({k: v for k, v in form.items() if k not in {"migrations", "happenings"}})
        best = view.best
        ratio = f"{best.best.aggregate:.3f}x" if best is not None and best.best else ""
        row = [folder.name, view.campaign.task.name, view.state, str(len(view.lines)), ratio]
        rows.append([*row, f"{view.spend.evaluations} evaluations"])
    if as_json:
        emit({"campaigns": forms})
    elif rows:
        table(rows, ["campaign", "task", "state", "lines", "best", "spent"])
    else:
        say("no campaigns yet; begin one with `avo campaign run TASK`")


@app.command(epilog="Example: avo campaign run attention_cpu --lines 4 --evaluations 400")
def run(
    task: TaskName,
    lines: Annotated[int, Option(min=1, max=64, help="Sessions to run.")] = 4,
    migrate: Annotated[
        int,
        Option(
            min=0, help="Evaluations of a line between two versions that it sends on; 0 for none."
        ),
    ] = 20,
    name: Annotated[str | None, Option(help="Name of the campaign.")] = None,
    operator: Annotated[
        list[str] | None,
        Option(
            help="What makes the steps; several are dealt to the lines.",
            autocompletion=operator_names,
        ),
    ] = None,
    model: Annotated[str | None, Option(help="Model of the agent.")] = None,
    usd: Usd = None,
    hours: Hours = None,
    evaluations: Evaluations = None,
    tokens: Tokens = None,
    steps: Steps = None,
    shared_memory: Annotated[
        bool, Option("--shared-memory", help="Agents read each other's notes.")
    ] = False,
    evaluator: Evaluators = None,
    devices: Annotated[
        str | None,
        Option(metavar="LIST", help="Devices such as 0,1; they are dealt to the lines."),
    ] = None,
    seed: Annotated[int, Option(help="Seed of the first line; the others count on.")] = 0,
    options: Annotated[
        list[str] | None,
        Option("--set", metavar="NAME=VALUE", help="An option of every line."),
    ] = None,
    weak: Annotated[
        bool, Option("--allow-weak-sandbox", help="Go on where candidates cannot be confined.")
    ] = False,
    headless: Annotated[
        bool, Option("--headless", help="No app: print a line per event until the end.")
    ] = False,
    detach: Annotated[
        bool, Option("--detach", help="Begin it, say so, and return at once.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Begin a campaign. Each line is a session, NAME.1, NAME.2, …, for which every command works.

    Each line sends its best version to the next one on a ring every so many evaluations; the
    receiving line's own gate decides. All lines share one budget; its hours are those of each line.
    """
    info = opening.find_task(task)
    if name is None:
        stem, taken = task.replace("@", "-")[:40], {folder.name for folder in campaign_folders()}
        name = next(n for i in count() if (n := f"{stem}-lines{i or ''}") not in taken)
    check_name(line_session(name, lines))
    total = Caps(usd=usd, hours=hours, evaluations=evaluations, tokens=tokens, steps=steps)
    caps = opening.with_defaults(RunSettings(budget=Budget(run=total))).budget.run
    base = RunSettings(
        model=model, evaluator=opening.evaluators(evaluator),
        options={"allow_weak_sandbox": True} if weak else {},
    )  # fmt: skip
    shares = first_shares(caps, lines)
    places = _dealt_devices(devices, info.device, lines)
    chosen_lines: list[Line] = []
    for index in range(lines):
        dealt = operator[index % len(operator)] if operator else None  # round robin
        named = base.model_copy(update={"operator": opening.named_operator(dealt)})
        chosen = opening.with_defaults(named)
        if options:
            chosen = changed_settings(chosen, parse_pairs(options))
        own = {"random_seed": seed + index, "devices": places[index]}
        budget = chosen.budget.replaced(run=shares[index])
        chosen = chosen.model_copy(update={**own, "budget": budget})
        opening.check(chosen, info)
        session = line_session(name, index + 1)
        chosen_lines.append(Line(number=index + 1, session=session, settings=chosen))
    campaign = Campaign(
        name=name, task=info, created=now(), migrate=migrate, caps=caps,
        shared_memory=shared_memory, lines=tuple(chosen_lines),
    )  # fmt: skip
    for line in chosen_lines:
        tell(*(f"line {line.number}: {text}" for text in opening.estimate(line.settings)))
    folder = create_campaign(campaign)
    known_sessions.remember_own(folder.path)
    start_conductor(folder)
    start_watcher()
    if as_json:
        print_status(folder, True)
    elif detach:
        say(f"campaign {folder.name} runs; look at it: avo campaign show {folder.name}")
    elif headless or not in_terminal():
        follow(folder)
    else:
        open_app(campaign=folder.path)


@app.command(epilog="Example: avo campaign status race")
def status(name: CampaignName, as_json: Json = False) -> None:
    """Say how a campaign stands: lines, budget, versions that were passed on, what happened."""
    print_status(find_campaign(name), as_json)


@app.command(epilog="Example: avo campaign show race")
def show(name: CampaignName) -> None:
    """Open the app on all lines of a campaign."""
    open_app(campaign=find_campaign(name).path)


@app.command(epilog="Example: avo campaign pause race --line 2")
def pause(name: CampaignName, line: OneLine = None, as_json: Json = False) -> None:
    """Pause all lines, or one."""
    tell_lines(name, line, Pause(), as_json, lambda state: state not in {"paused", "pausing"})


@app.command(epilog="Example: avo campaign resume race")
def resume(name: CampaignName, line: OneLine = None, as_json: Json = False) -> None:
    """Go on after a pause, after a loss of the processes, or after the end."""
    folder = find_campaign(name)
    require_agreement(folder.path)
    conducted = folder.conductor().alive
    if not conducted:
        settle_here(folder, revive=True)
    lines = list(line_readers(folder, line))
    states = {reader.run_state() for _, reader in lines} - {"stopped", "finished"}
    # what is asked for is then the processes: a line that was paused alone stays as it is
    leave_paused = line is None and not conducted and not states <= {"paused", "pausing"}
    done: list[dict[str, object]] = []
    for one, reader in lines:
        session, state = reader.state.session, reader.run_state()
        spent = exhausted(session.budget.run, session.spend)
        over = state in {"stopped", "finished"} or (state == "lost" and one.problem)
        effect = ""
        if over and spent is not None:
            effect = f"has spent its share of {spent.unit} and is not started"
        elif over:
            start_after_inbox(reader.folder)
            effect = "its engine was started"
        elif leave_paused and state in {"paused", "pausing"}:
            effect = f"stays paused, as it was paused alone; --line {one.number} goes on with it"
        elif state in {"paused", "pausing", "parked"}:
            deliver(reader, Resume())
            effect = "goes on"
        elif state == "lost":
            effect = "is started again"
        done.append({"line": one.number, "session": one.session, "effect": effect or f"is {state}"})
    start_conductor(folder)
    start_watcher()
    report(name, done, as_json)


@app.command(epilog="Example: avo campaign end race --line 2")
def end(
    name: CampaignName,
    line: OneLine = None,
    wait: Annotated[float, Option(help="Seconds to wait for the end.")] = 60.0,
    as_json: Json = False,
) -> None:
    """End all lines in good order, or one; what it has left of the budget goes to the others."""
    folder = find_campaign(name)
    if line is None:
        end_conductor(folder)
    tell_lines(name, line, Stop(), as_json, lambda state: True, quiet=line is None)
    for one, reader in line_readers(folder, line):
        if wait > 0 and not wait_for_end(reader.folder, wait):
            raise Failure(f"{one.session} has not ended within {wait:g} s; it will")


@app.command(epilog="Example: avo campaign hint race TILE_K=64 --line 1")
def hint(
    name: CampaignName,
    text: Annotated[list[str], Argument(help="The message; for the tuner NAME=value.")],
    line: OneLine = None,
    until_cleared: Annotated[
        bool, Option("--until-cleared", help="It holds until it is cleared.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Give all lines a hint, or one."""
    scope = "until_cleared" if until_cleared else "once"
    command = SendHint.model_validate({"text": " ".join(text), "scope": scope})
    tell_lines(name, line, command, as_json, lambda state: True)


@app.command(epilog="Example: avo campaign split race 2 --version 5")
def split(
    name: CampaignName,
    line: Annotated[int, Argument(min=1, help="Number of the line to split.")],
    version: Annotated[
        int | None, Option(min=0, help="Version to start from; else the best.")
    ] = None,
    operator: Annotated[str | None, Option(help="What makes the new line's steps.")] = None,
    as_json: Json = False,
) -> None:
    """Begin a further line from a version of another, with half of the budget it has left."""
    folder = find_campaign(name)
    require_agreement(folder.path)
    give_order(folder, Split(line=line, version=version, operator=operator), as_json)
    start_conductor(folder)


@app.command(epilog="Example: avo campaign budget race --evaluations 800")
def budget(
    name: CampaignName,
    usd: Usd = None,
    hours: Hours = None,
    evaluations: Evaluations = None,
    tokens: Tokens = None,
    steps: Steps = None,
    as_json: Json = False,
) -> None:
    """Change the budget of a campaign, or show it where nothing is given."""
    folder = find_campaign(name)
    caps = Caps(usd=usd, hours=hours, evaluations=evaluations, tokens=tokens, steps=steps)
    if caps.model_dump(exclude_none=True):
        give_order(folder, SetCaps(caps=caps), as_json)
    elif as_json:
        print_status(folder, True)
    else:
        say(*budget_lines(CampaignReader(folder).view()))


def _dealt_devices(named: str | None, kind: str, lines: int) -> list[str | None]:
    """The devices of each line: with more devices than lines each has several of its own, with
    fewer the lines take turns on them."""
    if named is None:
        return [None] * lines
    devices = split_devices(named, kind)
    if len(devices) >= lines:
        return [",".join(devices[index::lines]) for index in range(lines)]
    return [devices[index % len(devices)] for index in range(lines)]


def line_readers(folder: CampaignFolder, number: int | None) -> list[tuple[Line, SessionReader]]:
    """The lines that have a session, or the one with that number. Raises Failure."""
    campaign = folder.read()
    try:
        chosen = campaign.lines if number is None else (campaign.line(number),)
    except ValueError as error:
        raise Failure(str(error)) from None
    readers = []
    for line in chosen:
        try:
            readers.append((line, SessionReader.open(folder.session(line))))
        except SessionNotFound:
            if number is not None:
                why = line.problem or "wait a moment"
                raise Failure(f"line {number} has not begun yet: {why}") from None
    return readers


def tell_lines(
    name: str,
    number: int | None,
    command: Command,
    as_json: bool,
    wanted: Callable[[str], bool],
    *,
    quiet: bool = False,
) -> None:
    """Send a command to the lines that run, and say what each answered."""
    folder = find_campaign(name)
    sent = []
    for line, reader in line_readers(folder, number):
        state = reader.run_state()
        if state in {"stopped", "finished"} or not reader.engine().alive:
            sent.append((line, reader, "", f"is {state}"))
        elif not wanted(state):
            sent.append((line, reader, "", f"is {state} already"))
        else:
            sent.append((line, reader, deliver(reader, command), ""))
    done: list[dict[str, object]] = []
    for line, reader, identity, effect in sent:
        refused = None
        if identity:
            record = answer(reader, identity, ANSWER_SECONDS)
            effect = NOT_TAKEN if record is None else record.effect
            refused = None if record is None else record.refused
        done.append(
            {
                "line": line.number, "session": line.session, "sent": bool(identity),
                "effect": effect, "refused": refused,
            }
        )  # fmt: skip
    if number is not None and not sent[0][2]:
        raise Failure(f"line {number} {sent[0][3]}")
    if not any(row["sent"] for row in done) and not quiet:
        raise Failure(f"no line of {name} runs; go on with: avo campaign resume {name}")
    report(name, done, as_json)
    if any(row["sent"] and row["effect"] == NOT_TAKEN for row in done):
        raise Exit(1)


def report(name: str, done: list[dict[str, object]], as_json: bool) -> None:
    """Print what became of a command, line by line."""
    if as_json:
        emit({"campaign": name, "lines": done})
        return
    for row in done:
        refused = f"refused: {row['refused']}" if row.get("refused") else row["effect"]
        say(f"line {row['line']}: {plain(str(refused), 300)}")


def give_order(folder: CampaignFolder, order: Order, as_json: bool) -> None:
    """Give an order to the campaign's process, or carry it out here where none runs."""
    identity = folder.send(order)
    deadline = time.monotonic() + ORDER_SECONDS
    while True:
        if not folder.conductor().alive:  # none runs, or it ended before it saw the order
            settle_here(folder, revive=False)
        record = next((r for r in folder.read().orders if r.id == identity), None)
        if record is not None or time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
    if record is None:
        raise Failure("the order was sent; the campaign's process has not taken it yet")
    if as_json:
        emit({"campaign": folder.name, "effect": record.effect, "refused": record.refused})
    if record.refused is not None:
        raise Failure(f"refused: {record.refused}")
    if not as_json:
        say(record.effect)


def settle_here(folder: CampaignFolder, *, revive: bool) -> None:
    """Take the orders that wait and share the budget anew, in this process."""
    require_agreement(folder.path)
    try:
        store = CampaignWriter(folder.path)
    except SessionLocked:  # a process began meanwhile, and takes them
        return
    try:
        settle(store, revive=revive)
    finally:
        store.close()


def end_conductor(folder: CampaignFolder) -> None:
    """End the campaign's process, so that it does not start again what is being ended."""
    conductor = folder.conductor()
    if not conductor.alive or conductor.pid is None:
        return
    if conductor.host != socket.gethostname():
        raise Failure(f"the campaign's process runs on {conductor.host}; end the campaign there")
    os.kill(conductor.pid, signal.SIGTERM)
    deadline = time.monotonic() + ORDER_SECONDS
    while folder.conductor().alive:
        if time.monotonic() > deadline:
            raise Failure(
                f"the campaign's process {conductor.pid} has not ended within {ORDER_SECONDS:g} s, "
                f"so no line was ended: it would start them again; what it does is in {folder.log}"
            )
        time.sleep(POLL_SECONDS)


def follow(folder: CampaignFolder) -> None:
    """Print what happens until every line is over; ending this ends nothing else."""
    tell(f"campaign {folder.name} at {folder.path}")
    reader, seen = CampaignReader(folder), set[object]()
    try:
        while True:
            view = reader.view()
            for happening in view.happenings:
                if happening not in seen:
                    seen.add(happening)
                    mark = "best  " if happening.better else ""
                    say(f"line {happening.line}  {mark}{plain(happening.text, 200)}")
            sys.stdout.flush()
            if view.over and not view.conductor.alive:
                break
            if view.state == "lost":
                raise Failure(
                    f"the campaign's process is gone, its lines go on without an exchange; "
                    f"go on with: avo campaign resume {folder.name}"
                )
            time.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        tell(f"the campaign goes on; end it with: avo campaign end {folder.name}")
        return
    print_status(folder, False)


def print_status(folder: CampaignFolder, as_json: bool) -> None:
    """Print how a campaign stands."""
    view = CampaignReader(folder).view()
    if as_json:
        emit(view_form(view))
        return
    campaign = view.campaign
    say(f"{campaign.name}  {view.state}")
    if view.state == "lost":
        say(f"its process is gone; go on with: avo campaign resume {campaign.name}")
    exchange = (
        f"each sends its best to the next every {campaign.migrate} evaluations"
        if campaign.migrate
        else "no exchange"
    )
    memory = ", shared memory" if campaign.shared_memory else ""
    say(f"task {campaign.task.name}, {len(view.lines)} lines, {exchange}{memory}")
    best = view.best
    if best is not None and best.best is not None:
        say(
            f"best: line {best.line.number}, v{best.best.number} "
            f"{best.best.aggregate:.4f} of {campaign.task.reference_baseline}"
        )
    say(*budget_lines(view))
    rows = []
    for one in view.lines:
        share = "" if one.cap is None else f"/{one.cap:g}"
        best_text = "" if one.best is None else f"v{one.best.number} {one.best.aggregate:.3f}x"
        row = [str(one.line.number), one.line.session, one.line.settings.operator, one.state]
        spent = f"{one.spend.evaluations}{share}"
        rows.append([*row, best_text, spent, str(one.versions), one.reason])
    heads = ["line", "session", "operator", "state", "best", "evaluations", "versions", ""]
    table(rows, heads)
    if view.migrations:
        count = sum(1 for m in view.migrations if m.fate == "committed")
        sent = len(view.migrations)
        say(f"{sent} {'version' if sent == 1 else 'versions'} sent on, {count} committed")
    for happening in view.happenings[-12:]:
        mark = "*" if happening.better else " "
        say(
            f"{happening.at.astimezone():%H:%M:%S} {mark} line {happening.line}: "
            f"{plain(happening.text, 160)}"
        )


def budget_lines(view: CampaignView) -> list[str]:
    """What all lines have spent together, and of which caps."""
    spend = view.spend
    texts = [f"spent {spend.evaluations} evaluations, ${spend.usd:.2f}, {spend.tokens} tokens"]
    caps = view.campaign.caps
    states = cap_states(caps.model_copy(update={"hours": None}), spend)
    texts += [f"cap: {c.text} ({c.fraction:.0%})" for c in states]
    if caps.hours is not None:
        texts.append(f"cap hours: {caps.hours:g} of each line")
    return texts


def view_form(view: CampaignView) -> dict[str, Any]:
    """A campaign as JSON."""
    campaign, best = view.campaign, view.best
    return {
        "campaign": campaign.name,
        "task": campaign.task.name,
        "state": view.state,
        "created": moment(campaign.created),
        "process": view.conductor.pid if view.conductor.alive else None,
        "migrate": campaign.migrate,
        "shared_memory": campaign.shared_memory,
        "budget": campaign.caps.model_dump(mode="json"),
        "spend": view.spend.model_dump(mode="json"),
        "best": None
        if best is None or best.best is None
        else {
            "line": best.line.number,
            "session": best.line.session,
            "version": best.best.number,
            "ratio": best.best.aggregate,
        },
        "lines": [_line_form(one) for one in view.lines],
        "migrations": [
            {
                "at": moment(m.migration.at),
                "from_line": m.migration.source,
                "version": m.migration.version,
                "to_line": m.migration.target,
                "ratio": m.migration.ratio,
                "fate": m.fate,
                "became": m.version,
                "reason": m.reason,
            }
            for m in view.migrations
        ],
        "happenings": [
            {"at": moment(h.at), "line": h.line, "text": h.text, "better": h.better}
            for h in view.happenings
        ],
    }


def _line_form(one: LineView) -> dict[str, object]:
    return {
        "line": one.line.number,
        "session": one.line.session,
        "operator": one.line.settings.operator,
        "devices": one.line.settings.devices,
        "split_from": one.line.split_from,
        "origin": one.line.origin,
        "state": one.state,
        "reason": one.reason,
        "best": None if one.best is None else one.best.number,
        "best_ratio": None if one.best is None else one.best.aggregate,
        "versions": one.versions,
        "evaluations": one.spend.evaluations,
        "evaluations_cap": one.cap,
        "spend": one.spend.model_dump(mode="json"),
        "points": [list(point) for point in one.points],
    }
