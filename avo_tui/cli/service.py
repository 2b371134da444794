"""`avo service`: a systemd user unit that keeps a session's run alive over crashes and reboots."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.parameters import Name
from avo_tui.cli.session_trust import require_agreement
from avo_tui.store import find_session

UNIT = """\
[Unit]
Description=avo-tui: the run of session {name}
Documentation=man:systemd.service(5)

[Service]
Type=simple
ExecStart={python} -m avo_tui.evolution.keep {folder}
# An API key does not belong into a unit: put ANTHROPIC_API_KEY=... into this file, mode 600.
EnvironmentFile=-%h/.config/avo-tui/environment
Restart=on-failure
RestartSec=30
# An engine is made to be killed; an end in good order would be taken for the person's wish, and
# the run would not go on after a reboot.
KillSignal=SIGKILL

[Install]
WantedBy=default.target
"""


app = typer.Typer()


@app.command(epilog="Example: avo service attention_cpu")
def service(
    name: Name,
    remove: Annotated[bool, typer.Option("--remove", help="Remove its unit.")] = False,
    show: Annotated[bool, typer.Option("--print", help="Print the unit, write nothing.")] = False,
) -> None:
    """Write a systemd user unit that starts the run again after a crash or a reboot."""
    folder = find_session(name)
    path = _units() / f"avo-{folder.name}.service"
    if remove:
        if not path.exists():
            raise Failure(f"there is no unit at {path}")
        path.unlink()
        typer.echo(f"removed {path}; now: systemctl --user disable --now {path.name}")
        return
    text = UNIT.format(name=folder.name, python=_quoted(sys.executable), folder=_quoted(folder))
    if show:
        typer.echo(text, nl=False)
        return
    require_agreement(folder)  # nobody can be asked when the unit starts
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    typer.echo(f"wrote {path}; now:")
    typer.echo(f"  systemctl --user daemon-reload && systemctl --user enable --now {path.name}")
    typer.echo("  loginctl enable-linger   # so that it also runs while you are logged out")


def _units() -> Path:

    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "systemd" / "user"


def _quoted(value: object) -> str:
    """As systemd reads an argument: in quotes, with its specifiers and escapes doubled."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'.replace("%", "%%").replace("$", "$$")
