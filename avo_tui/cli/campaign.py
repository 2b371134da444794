"""`avo campaign`: several sessions on one task that pass on their best versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from avo_tui.campaign.process import start_conductor
from avo_tui.cli import opening
from avo_tui.cli.app import open_app
from avo_tui.cli.campaign_lines import (
    end_conductor,
    follow,
    give_order,
    line_readers,
    report,
    settle_here,
    tell_lines,
)
from avo_tui.cli.campaign_view import budget_lines, list_campaigns, print_status
from avo_tui.cli.control import deliver
from avo_tui.cli.errors import Failure
from avo_tui.cli.folders import take_from_settings
from avo_tui.cli.notify import start_watcher
from avo_tui.cli.opening import default_operator, with_defaults
from avo_tui.cli.options import parse_pairs
from avo_tui.cli.parameters import Json, TaskName
from avo_tui.cli.session_trust import require_agreement
from avo_tui.cli.starting import Evaluators
from avo_tui.cli.terminal import in_terminal
from avo_tui.domain.base import now
from avo_tui.domain.budget import Budget, Caps, exhausted
from avo_tui.domain.campaigns import Campaign, Line, SetCaps, Split, first_shares, line_session
from avo_tui.domain.commands import Pause, Resume, SendHint, Stop
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evaluation.workers.machine import split_devices
from avo_tui.evolution.options import changed_settings
from avo_tui.evolution.process import start_after_inbox, wait_for_end
from avo_tui.operators import registry
from avo_tui.store import (
    CampaignFolder,
    CampaignReader,
    campaign_folders,
    check_name,
    create_campaign,
    find_campaign,
    known_sessions,
)

_HELP = "Run several sessions on one task that now and then pass on their best version."


def campaign_names(incomplete: str) -> list[str]:
    take_from_settings()
    return [f.name for f in campaign_folders() if f.name.startswith(incomplete)]


CampaignName = Annotated[
    str,
    typer.Argument(metavar="CAMPAIGN", help="Name of a campaign.", autocompletion=campaign_names),
]
OneLine = Annotated[
    int | None, typer.Option("--line", min=1, help="Only this line; without it all of them.")
]
Usd = Annotated[float | None, typer.Option("--budget-usd", "--usd", min=0)]
Hours = Annotated[
    float | None,
    typer.Option("--budget-hours", "--hours", min=0, help="Running hours of each line."),
]
Evaluations = Annotated[
    int | None,
    typer.Option("--budget-evaluations", "--evaluations", min=0, help="Of all lines together."),
]
Tokens = Annotated[int | None, typer.Option("--budget-tokens", "--tokens", min=0)]
Steps = Annotated[
    int | None, typer.Option("--budget-steps", "--steps", min=0, help="Of all lines together.")
]


app = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)
app.command("list", epilog="Example: avo campaign list --json")(list_campaigns)


@app.command("run", epilog="Example: avo campaign run attention_cpu --lines 4 --evaluations 400")
def run(
    task: TaskName,
    lines: Annotated[int, typer.Option("--lines", min=1, max=64, help="Sessions to run.")] = 4,
    migrate: Annotated[
        int,
        typer.Option(
            "--migrate",
            min=0,
            help="Evaluations of a line between two versions that it sends on; 0 for none.",
        ),
    ] = 20,
    name: Annotated[str | None, typer.Option("--name", help="Name of the campaign.")] = None,
    operator: Annotated[
        list[str] | None,
        typer.Option("--operator", help="What makes the steps; several are dealt to the lines."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Model of the agent.")] = None,
    usd: Usd = None,
    hours: Hours = None,
    evaluations: Evaluations = None,
    tokens: Tokens = None,
    steps: Steps = None,
    shared_memory: Annotated[
        bool, typer.Option("--shared-memory", help="Agents read each other's notes.")
    ] = False,
    evaluator: Evaluators = None,
    devices: Annotated[
        str | None,
        typer.Option(
            "--devices", metavar="LIST", help="Devices such as 0,1; they are dealt to the lines."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the first line; the others count on.")
    ] = 0,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of every line."),
    ] = None,
    weak: Annotated[
        bool,
        typer.Option("--allow-weak-sandbox", help="Go on where candidates cannot be confined."),
    ] = False,
    headless: Annotated[
        bool, typer.Option("--headless", help="No app: print a line per event until the end.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Begin it, say so, and return at once.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Begin a campaign. Each line is a session, NAME.1, NAME.2, …, for which every command works.

    Each line sends its best version to the next one on a ring every so many evaluations; the
    receiving line's own gate decides. All lines share one budget.
    """
    info = opening.find_task(task)
    name = name or _free_name(task)
    check_name(line_session(name, lines))
    total = opening.with_defaults(
        RunSettings(budget=_budget(usd, hours, evaluations, tokens, steps))
    )
    caps: Caps = total.budget.run
    base = RunSettings(
        model=model, evaluator=opening.evaluators(evaluator),
        options={"allow_weak_sandbox": True} if weak else {},
    )  # fmt: skip
    shares = first_shares(caps, lines)
    places = _dealt_devices(devices, info.device, lines)
    chosen_lines: list[Line] = []
    for index in range(lines):
        chosen = _line_settings(base, operator, index, options)
        chosen = chosen.model_copy(
            update={
                "random_seed": seed + index,
                "devices": places[index],
                "budget": chosen.budget.replaced(run=shares[index]),
            }
        )
        opening.check(chosen, info)
        chosen_lines.append(
            Line(number=index + 1, session=line_session(name, index + 1), settings=chosen)
        )
    campaign = Campaign(
        name=name, task=info, created=now(), migrate=migrate, caps=caps,
        shared_memory=shared_memory, lines=tuple(chosen_lines),
    )  # fmt: skip
    for line in chosen_lines:
        for text in opening.estimate(line.settings):
            typer.echo(f"line {line.number}: {text}", err=True)
    folder = create_campaign(campaign)
    known_sessions.remember_own(folder.path)
    start_conductor(folder)
    start_watcher()
    _after_start(folder, headless=headless, detach=detach or as_json, as_json=as_json)


def _after_start(folder: CampaignFolder, *, headless: bool, detach: bool, as_json: bool) -> None:

    if as_json:
        print_status(folder, True)
    elif detach:
        typer.echo(f"campaign {folder.name} runs; look at it: avo campaign show {folder.name}")
    elif headless or not in_terminal():
        follow(folder)
    else:
        _open(folder)


@app.command("status", epilog="Example: avo campaign status race")
def status(name: CampaignName, as_json: Json = False) -> None:
    """Say how a campaign stands: lines, budget, versions that were passed on, what happened."""
    print_status(find_campaign(name), as_json)


@app.command("show", epilog="Example: avo campaign show race")
def show(name: CampaignName) -> None:
    """Open the app on all lines of a campaign."""
    _open(find_campaign(name))


@app.command("pause", epilog="Example: avo campaign pause race --line 2")
def pause(name: CampaignName, line: OneLine = None, as_json: Json = False) -> None:
    """Pause all lines, or one."""
    tell_lines(name, line, Pause(), as_json, lambda state: state not in {"paused", "pausing"})


@app.command("resume", epilog="Example: avo campaign resume race")
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


@app.command("end", epilog="Example: avo campaign end race --line 2")
def end(
    name: CampaignName,
    line: OneLine = None,
    wait: Annotated[float, typer.Option("--wait", help="Seconds to wait for the end.")] = 60.0,
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


@app.command("hint", epilog="Example: avo campaign hint race TILE_K=64 --line 1")
def hint(
    name: CampaignName,
    text: Annotated[list[str], typer.Argument(help="The message; for the tuner NAME=value.")],
    line: OneLine = None,
    until_cleared: Annotated[
        bool, typer.Option("--until-cleared", help="It holds until it is cleared.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Give all lines a hint, or one."""
    scope = "until_cleared" if until_cleared else "once"
    command = SendHint.model_validate({"text": " ".join(text), "scope": scope})
    tell_lines(name, line, command, as_json, lambda state: True)


@app.command("split", epilog="Example: avo campaign split race 2 --version 5")
def split(
    name: CampaignName,
    line: Annotated[int, typer.Argument(min=1, help="Number of the line to split.")],
    version: Annotated[
        int | None, typer.Option("--version", min=0, help="Version to start from; else the best.")
    ] = None,
    operator: Annotated[
        str | None, typer.Option("--operator", help="What makes the new line's steps.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Begin a further line from a version of another, with half of the budget it has left."""
    folder = find_campaign(name)
    require_agreement(folder.path)
    give_order(folder, Split(line=line, version=version, operator=operator), as_json)
    start_conductor(folder)


@app.command("budget", epilog="Example: avo campaign budget race --evaluations 800")
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
    caps = _budget(usd, hours, evaluations, tokens, steps).run
    if caps.model_dump(exclude_none=True):
        give_order(folder, SetCaps(caps=caps), as_json)
    elif as_json:
        print_status(folder, True)
    else:
        for text in budget_lines(CampaignReader(folder).view()):
            typer.echo(text)


# -- helpers


def _budget(
    usd: float | None,
    hours: float | None,
    evaluations: int | None,
    tokens: int | None,
    steps: int | None,
) -> Budget:

    return Budget(
        run=Caps(usd=usd, hours=hours, evaluations=evaluations, tokens=tokens, steps=steps)
    )


def _free_name(task: str) -> str:

    stem = task.replace("@", "-")[:40]
    taken = {folder.name for folder in campaign_folders()}
    names: Iterator[str] = (f"{stem}-lines{n or ''}" for n in range(10_000))
    return next(name for name in names if name not in taken)


def _line_settings(
    base: RunSettings, operators: list[str] | None, index: int, pairs: list[str] | None
) -> RunSettings:
    """The settings of line `index`, counted from 0; operators are dealt round robin."""
    try:
        name = (
            registry.descriptor(operators[index % len(operators)]).name
            if operators
            else default_operator()
        )
    except registry.UnknownOperator as error:
        raise typer.BadParameter(str(error), param_hint="--operator") from error
    chosen = with_defaults(base.model_copy(update={"operator": name}))
    return changed_settings(chosen, parse_pairs(pairs)) if pairs else chosen


def _dealt_devices(named: str | None, kind: str, lines: int) -> list[str | None]:
    """The devices of each line: with more devices than lines each has several of its own, with
    fewer the lines take turns on them."""
    if named is None:
        return [None] * lines
    devices = split_devices(named, kind)
    if len(devices) >= lines:
        return [",".join(devices[index::lines]) for index in range(lines)]
    return [devices[index % len(devices)] for index in range(lines)]


def _open(folder: CampaignFolder) -> None:

    open_app(campaign=folder.path)
