"""How `avo campaign` reaches the lines of a campaign and the process that conducts it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable

import typer

from avo_tui.campaign.conductor import settle
from avo_tui.cli.campaign_view import print_status
from avo_tui.cli.control import ANSWER_SECONDS, NOT_TAKEN, answer, deliver
from avo_tui.cli.errors import Failure
from avo_tui.cli.json_output import emit
from avo_tui.cli.session_trust import require_agreement
from avo_tui.domain.campaigns import Line, Order
from avo_tui.domain.commands import Command
from avo_tui.domain.plain import plain
from avo_tui.store import (
    CampaignFolder,
    CampaignReader,
    CampaignWriter,
    SessionLocked,
    SessionNotFound,
    SessionReader,
    find_campaign,
)

ORDER_SECONDS = 60.0
POLL_SECONDS = 0.1
FOLLOW_SECONDS = 1.0


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
        raise typer.Exit(1)


def report(name: str, done: list[dict[str, object]], as_json: bool) -> None:
    """Print what became of a command, line by line."""
    if as_json:
        emit({"campaign": name, "lines": done})
        return
    for row in done:
        refused = f"refused: {row['refused']}" if row.get("refused") else row["effect"]
        typer.echo(f"line {row['line']}: {plain(str(refused), 300)}")


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
        typer.echo(record.effect)


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
    typer.echo(f"campaign {folder.name} at {folder.path}", err=True)
    reader, seen = CampaignReader(folder), set[object]()
    try:
        while True:
            view = reader.view()
            for happening in view.happenings:
                if happening not in seen:
                    seen.add(happening)
                    mark = "best  " if happening.better else ""
                    typer.echo(f"line {happening.line}  {mark}{plain(happening.text, 200)}")
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
        typer.echo(f"the campaign goes on; end it with: avo campaign end {folder.name}", err=True)
        return
    print_status(folder, False)
