"""`avo notify`: reach a person who is away."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Annotated, cast

import platformdirs
from typer import Exit, Option, Typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.terminal import say, tell
from avo_tui.config_place import config_file
from avo_tui.domain.base import now
from avo_tui.notify import KINDS, Alert, Channel, Hook, Kind, Messages, QuietHours, Rules, Watcher
from avo_tui.notify.watch import Told, only_one
from avo_tui.notify.watch import watch as watch_on
from avo_tui.settings import settings
from avo_tui.store import summaries

NOWHERE = (
    "no notifications are set up yet: put urls into the table [notify] of {file}, such as "
    'urls = ["ntfy://ntfy.sh/a-secret-topic"], or a command into [hooks]'
)


app = Typer(help="Reach a person who is away: messages and hooks.")


@app.command(epilog="Example: avo notify test")
def test(
    kind: Annotated[str, Option(help="Run the hook of this kind only.")] = "",
) -> None:
    """Send a test message by every way that is set up, and say which came through."""
    channels, _ = _set_up()
    if kind:
        _kinds([kind], "--kind")
        channels = [one for one in channels if isinstance(one, Hook) and one.kind == kind]
        if not channels:
            raise Failure(f"there is no hook of {kind} in {config_file()}")
    one = Alert(
        kind="test",
        session="test",
        folder="",
        key="test",
        since=now(),
        title="avo: a test",
        text="Messages of avo-tui reach you here.",
    )
    failed = 0
    for channel in channels:
        delivery = channel.send([one])
        if delivery is None:
            continue
        failed += not delivery.ok
        say(f"{delivery.channel}: " + ("came through" if delivery.ok else delivery.why))
    if failed:
        raise Exit(1)


@app.command(epilog="Example: avo notify watch")
def watch(
    while_runs: Annotated[
        bool, Option("--while-runs", help="End when no run has lived for two minutes.")
    ] = False,
) -> None:
    """Watch all sessions and tell what happens; one such process is enough, a second one ends.

    It is started by itself with every run that is started while there is somebody to tell.
    """
    channels, rules = _set_up()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with only_one(_state() / "notify.lock") as alone:
        if not alone:
            say("another process watches already")
            return
        watcher = Watcher(Told(_state() / "told.json"), rules, channels)
        try:
            watch_on(watcher, summaries, while_runs=while_runs)
        except KeyboardInterrupt:
            raise Exit(0) from None


def start_watcher() -> None:
    """Start the watcher beside a run, detached, if notifications are set up. Never raises."""
    chosen = settings()
    if not (chosen.notify.urls or chosen.hooks):
        return
    try:
        _state().mkdir(parents=True, exist_ok=True)
        with (_state() / "notify.log").open("ab") as output:
            subprocess.Popen(
                [sys.executable, "-m", "avo_tui.cli", "notify", "watch", "--while-runs"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    except OSError as error:
        tell(f"notifications will not be sent: {error}")


def _state() -> Path:
    return platformdirs.user_state_path("avo-tui")


def _set_up() -> tuple[list[Channel], Rules]:
    """Channels and rules from the settings. Raises Failure if no notifications are set up."""
    chosen = settings()
    hooks = [
        Hook(kind, command)
        for kind, command in zip(_kinds(chosen.hooks, "hooks"), chosen.hooks.values(), strict=True)
    ]
    channels: list[Channel] = [
        *hooks,
        *(Messages(url, chosen.notify.link) for url in chosen.notify.urls),
    ]
    if not channels:
        raise Failure(NOWHERE.format(file=config_file()))
    try:
        quiet = QuietHours.parse(chosen.notify.quiet)
    except ValueError as error:
        raise Failure(f"{config_file()}: notify.quiet: {error}") from error
    rules = Rules(
        kinds=frozenset(_kinds(chosen.notify.kinds, "notify.kinds") or KINDS),
        most_an_hour=chosen.notify.most_an_hour,
        quiet=quiet,
        urgent=frozenset(_kinds(chosen.notify.urgent, "notify.urgent")),
    )
    return channels, rules


def _kinds(names: object, where: str) -> list[Kind]:
    """Notification kinds by name. Raises Failure for an unknown one."""
    given = [str(name) for name in cast(list[str], names)]
    for name in given:
        if name not in KINDS:
            told = ", ".join(kind for kind in KINDS if kind != "test")
            raise Failure(f"{where}: there is no kind {name!r}; there are {told}")
    return cast("list[Kind]", given)
