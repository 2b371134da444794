"""`avo set`: options of a run, read and changed while it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from avo_tui.cli.control import send
from avo_tui.cli.folders import take_from_settings
from avo_tui.cli.json_output import emit
from avo_tui.cli.parameters import Json, Name
from avo_tui.domain.commands import SetOptions
from avo_tui.domain.plain import plain
from avo_tui.domain.run_settings import OptionValue, RunSettings
from avo_tui.evolution.options import known_options
from avo_tui.store import SessionReader, StoreError, find_session


def option_names(context: typer.Context, incomplete: str) -> list[str]:
    """The options of the session that stands on the line already, each with its `=`."""
    take_from_settings()
    try:
        settings = SessionReader.open(find_session(context.params["name"])).state.session.settings
        names = [f"{option.name}=" for option in known_options(settings)]
    except (StoreError, ValueError, KeyError):
        return []
    return [name for name in names if name.startswith(incomplete)]


Pairs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME=VALUE]...",
        help="`NAME=` alone puts back the default.",
        autocompletion=option_names,
    ),
]


app = typer.Typer()


@app.command("set", epilog="Example: avo set my-run agent.effort=low agent.max_tokens=16000")
def set_options(name: Name, options: Pairs = None, as_json: Json = False) -> None:
    """Change options of a run, such as the agent's model; without any, list them."""
    if options:
        send(name, SetOptions.model_validate({"options": parse_pairs(options)}), as_json)
        return
    session = SessionReader.open(find_session(name)).state.session
    _list(session.name, session.settings, as_json)


def parse_pairs(pairs: Sequence[str]) -> dict[str, OptionValue | None]:
    """`NAME=VALUE` → value; None for `NAME=`. Raises typer.BadParameter."""
    changes: dict[str, OptionValue | None] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE, such as agent.effort=low")
        if name in changes:
            raise typer.BadParameter(f"{name} is named twice")
        changes[name] = value or None
    return changes


def _list(name: str, settings: RunSettings, as_json: bool) -> None:

    rows = [(option, settings.option(option.name)) for option in known_options(settings)]
    if as_json:
        options = [
            {
                "name": option.name,
                "value": value,
                "default": option.default or None,
                "meaning": option.meaning,
            }
            for option, value in rows
        ]
        emit({"session": name, "options": options})
        return
    width = max(len(option.name) for option, _ in rows)
    for option, value in rows:
        shown = (
            option.default or "–"
            if value is None
            else f"{value}"
            if str(value) == option.default
            else f"{value} (default {option.default or '–'})"
        )
        typer.echo(f"{option.name:{width}}  {plain(shown, 200)}")
        typer.echo(f"{'':{width}}    {option.meaning}")
