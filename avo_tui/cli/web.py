"""`avo web`: the app in a browser, on this machine's loopback address."""

from __future__ import annotations

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from avo_tui.cli.app import open_app
from avo_tui.cli.errors import Failure
from avo_tui.cli.parameters import session_names
from avo_tui.store import find_session

PORT = 8417

Name = Annotated[
    str | None,
    typer.Argument(help="A session; without one the list of them.", autocompletion=session_names),
]
Changes = Annotated[
    bool,
    typer.Option("--allow-changes", help="Let who has the link steer runs, not only look on."),
]


app = typer.Typer()


@app.command(epilog="Example: avo web my-run")
def web(
    name: Name = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = PORT,
    changes: Changes = False,
    viewers: Annotated[
        int, typer.Option(min=1, help="Most browsers at a time; each is a process of its own.")
    ] = 4,
) -> None:
    """Serve the app to browsers on this machine, until ctrl+c.

    It listens on 127.0.0.1 only; from elsewhere, tunnel the port through SSH (`avo docs away`). Who
    opens it needs the token in the link that is printed.
    """
    if find_spec("textual_serve") is None:
        raise Failure("avo web needs textual-serve: pip install 'avo-tui[web]'")
    from avo_tui.web.serving import serve  # of the extra

    if name is not None:
        find_session(name)

    parts = [sys.executable, "-m", "avo_tui.cli", "web-app", *([name] if name else [])]
    command = shlex.join([*parts, *(["--allow-changes"] if changes else [])])

    def ready(link: str) -> None:
        typer.echo(link)
        what = "can steer the runs" if changes else "can look on, and change nothing"
        typer.echo(f"who has this link {what}; ctrl+c ends", err=True)

    try:
        serve(command, port=port, viewers=viewers, ready=ready)
    except (OSError, OverflowError) as error:
        why = f"port {port} cannot be listened on: {error}; --port takes another"
        raise Failure(why) from error


@app.command("web-app", hidden=True)
def web_app(name: Name = None, changes: Changes = False) -> None:
    """Run the app for one browser; `avo web` starts this."""
    if not os.environ.get("TEXTUAL_DRIVER"):
        raise Failure("this is what avo web starts; use avo attach in a terminal")
    folder: Path | None = find_session(name) if name is not None else None
    open_app(folder, read_only=not changes, in_browser=True)
