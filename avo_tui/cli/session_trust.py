"""Asks the person once before a session or campaign that was made elsewhere is gone on with."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, Typer, confirm

from avo_tui.cli.errors import Failure
from avo_tui.cli.parameters import session_names
from avo_tui.cli.terminal import in_terminal, say, tell
from avo_tui.domain.budget import Caps
from avo_tui.domain.plain import plain
from avo_tui.domain.run_settings import RunSettings
from avo_tui.store import (
    CampaignFolder,
    SessionNotFound,
    SessionReader,
    campaign_folders,
    find_session,
    known_sessions,
)
from avo_tui.user_paths import from_home

_HELP = "Agree to go on with a session that somebody else made."


app = Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog="Example: avo session trust ./from-a-colleague")
def trust(
    name: Annotated[
        str,
        Argument(help="A session, by name or path, or a campaign.", autocompletion=session_names),
    ],
    show: Annotated[
        bool, Option("--show", help="Only show what it starts; agree to nothing.")
    ] = False,
) -> None:
    """Show what going on with a session or campaign starts, and allow it from now on.

    Sessions that you make yourself, and those that you only read, need no such word.
    """
    folder = _folder_of(name)
    say(*_what_it_starts(folder))
    if show:
        known = known_sessions.is_known(folder)
        say(f"{'trusted already' if known else 'not trusted'}: {folder.resolve()}")
        return
    _remember(folder)
    say(f"trusted from now on: {folder.resolve()}")


def require_agreement(folder: Path) -> None:
    """Ask, in a terminal, before a session or campaign of unknown origin is gone on with.

    Raises Failure where the person refuses, and NotTrusted where nobody can be asked.
    """
    if known_sessions.is_known(folder):
        return
    if not in_terminal():
        raise known_sessions.NotTrusted(folder)
    tell(f"{folder} was not made by you on this machine. Going on with it:")
    tell(*(f"  {line}" for line in _what_it_starts(folder)))
    if not confirm("Go on with it, now and in future?", err=True):
        raise Failure(f"{folder.name} was not started; avo replay and avo status only read")
    _remember(folder)


def _folder_of(name: str) -> Path:
    """The folder of a session or campaign, by name or path. Raises SessionNotFound."""
    if "/" in name:
        campaign = CampaignFolder(from_home(name).absolute())
        if campaign.record.is_file() or campaign.previous.is_file():
            return campaign.path
    try:
        return find_session(name)
    except SessionNotFound:
        for folder in campaign_folders():
            if name in {folder.name, folder.path.name}:
                return folder.path
        raise


def _remember(folder: Path) -> None:
    """Note the agreement; of a campaign, that to the sessions of its lines too."""
    for one in [folder, *(session for session, _ in _lines(folder) if session.is_dir())]:
        known_sessions.remember(one)


def _lines(folder: Path) -> list[tuple[Path, RunSettings]]:
    """The sessions of a campaign's lines, there or not, with their settings; none for a session."""
    campaign = CampaignFolder(folder)
    if not (campaign.record.is_file() or campaign.previous.is_file()):
        return []
    return [(campaign.session(line), line.settings) for line in campaign.read().lines]


def _what_it_starts(folder: Path) -> list[str]:
    """What the settings of a session, or of the lines of a campaign, name; safe to print."""
    lines = _lines(folder)
    if not lines:
        return starts(SessionReader.open(folder).state.session.settings)
    told: list[str] = []
    for session, planned in lines:
        begun = session.is_dir()
        settings = SessionReader.open(session).state.session.settings if begun else planned
        told += [f"{session.name}: {text}" for text in starts(settings)]
    return told


def starts(settings: RunSettings) -> list[str]:
    """One line for each thing that an engine with these settings does on this machine."""
    options = {name: plain(str(value), 300) for name, value in sorted(settings.options.items())}
    told = [f"operator {plain(settings.operator)}"]
    if options.get("acp.agent"):
        told.append(f"runs the command: {options['acp.agent']}")
    if settings.evaluator:
        told.append(f"measures at: {plain(settings.evaluator, 300)}")
    if settings.recording:
        told.append(f"plays the recording: {plain(settings.recording, 300)}")
    if settings.options.get("allow_weak_sandbox") is True:
        told.append("runs its candidates also where this machine cannot confine them")
    if options.get("origin_candidate"):
        told.append("begins with a kernel that it brings along, in place of the task's own")
    told += [f"option {n} = {v}" for n, v in options.items() if n not in _TOLD]
    if settings.budget.run == Caps():
        told.append("no cap on what it spends")
    return told


_TOLD = {"acp.agent", "allow_weak_sandbox", "origin_candidate"}
