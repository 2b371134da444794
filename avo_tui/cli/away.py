"""Commands that serve others, or outlive a login: web, metrics, service, worker."""

import errno
import os
import shlex
import socket
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from typer import Argument, Exit, Option, Typer, echo

from avo_tui.cli.app import open_app
from avo_tui.cli.errors import Failure
from avo_tui.cli.parameters import Name, session_names
from avo_tui.cli.session_trust import require_agreement
from avo_tui.cli.terminal import say, tell
from avo_tui.domain.base import now
from avo_tui.evaluation.workers.spool_worker import work
from avo_tui.store import find_session, summaries

AnyName = Annotated[
    str | None,
    Argument(help="A session; without one the list of them.", autocompletion=session_names),
]
Changes = Annotated[
    bool, Option("--allow-changes", help="Let who has the link steer runs, not only look on.")
]
Port = Annotated[int, Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")]

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

app = Typer()


@app.command(epilog="Example: avo web my-run")
def web(
    name: AnyName = None,
    port: Port = 8417,
    changes: Changes = False,
    viewers: Annotated[
        int, Option(min=1, help="Most browsers at a time; each is a process of its own.")
    ] = 4,
    address: Annotated[
        str,
        Option(help="Where a tunnel of yours leads here, such as https://desk.example: for links."),
    ] = "",
) -> None:
    """Serve the app to browsers, until ctrl+c; a phone, too.

    It listens on 127.0.0.1 only; from elsewhere, tunnel the port (`avo docs away`). The link that
    is printed opens once, within an hour; then another one is printed. With `--address` its QR code
    is shown for a phone.
    """
    if find_spec("textual_serve") is None:
        raise Failure("avo web needs textual-serve: pip install 'avo-tui[web]'")
    from avo_tui.web.serving import serve  # of the extra

    if name is not None:
        find_session(name)
    parts = [sys.executable, "-m", "avo_tui.cli", "web-app", *([name] if name else [])]
    command = shlex.join([*parts, *(["--allow-changes"] if changes else [])])

    if address and urlsplit(address)[:1] not in {("https",), ("http",)}:
        raise Failure(f"--address is an address such as https://desk.example, not {address!r}")

    def ready(link: str) -> None:
        say(link)
        if address and find_spec("segno") is not None:
            import segno  # of the extra

            segno.make(link).terminal(sys.stderr, compact=True)
        what = "can steer the runs" if changes else "can look on, and change nothing"
        tell(f"who opens this link first {what}; ctrl+c ends")

    try:
        serve(command, port=port, viewers=viewers, address=address.rstrip("/"), ready=ready)
    except (OSError, OverflowError) as error:
        why = f"port {port} cannot be listened on: {error}; --port takes another"
        raise Failure(why) from error


@app.command("web-app", hidden=True)
def web_app(name: AnyName = None, changes: Changes = False) -> None:
    """Run the app for one browser; `avo web` starts this."""
    if not os.environ.get("TEXTUAL_DRIVER"):
        raise Failure("this is what avo web starts; use avo attach in a terminal")
    folder = find_session(name) if name is not None else None
    open_app(folder, read_only=not changes, in_browser=True)


@app.command(epilog="Example: avo metrics --port 9464")
def metrics(
    port: Port = 9464,
    host: Annotated[
        str, Option(help="Address to listen on. Metrics name sessions and tasks.")
    ] = "127.0.0.1",
    once: Annotated[
        bool, Option("--once", help="Write the metrics to standard output, and end.")
    ] = False,
    dashboard: Annotated[
        bool, Option("--dashboard", help="Write a dashboard for Grafana as JSON, and end.")
    ] = False,
) -> None:
    """Serve all sessions and their devices to Prometheus, at /metrics, until ctrl+c."""
    if find_spec("prometheus_client") is None:
        raise Failure("avo metrics needs prometheus-client: pip install 'avo-tui[metrics]'")
    from avo_tui.metrics import collector, serving  # of the extra

    if dashboard:
        echo(serving.dashboard(), nl=False)
        return
    sessions = collector.Sessions(summaries, now)
    if once:
        echo(serving.text(sessions), nl=False)
        return
    try:
        with serving.served(sessions, host, port) as chosen:
            say(f"metrics at http://{host}:{chosen}/metrics; ctrl+c ends")
            threading.Event().wait()
    except KeyboardInterrupt:
        raise Exit(0) from None
    except (OSError, UnicodeError) as error:
        raise Failure(_why(host, port, error)) from error


def _why(host: str, port: int, error: OSError | UnicodeError) -> str:
    """Why an address cannot be listened on, and what to do."""
    if isinstance(error, UnicodeError | socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return (
            f"{host!r} is no address of this machine; --host takes one, such as 127.0.0.1 for"
            " programs of this machine or 0.0.0.0 for all who can reach it"
        )
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken by another program; --port takes another, 0 a free one"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"port {port} is not open to you; --port takes another, from 1024 on"
    return f"{host}:{port} cannot be listened on: {error.strerror or error}; --port takes another"


@app.command(epilog="Example: avo service attention_cpu")
def service(
    name: Name,
    remove: Annotated[bool, Option("--remove", help="Remove its unit.")] = False,
    show: Annotated[bool, Option("--print", help="Print the unit, write nothing.")] = False,
) -> None:
    """Write a systemd user unit that starts the run again after a crash or a reboot."""
    folder = find_session(name)
    base = os.environ.get("XDG_CONFIG_HOME")
    units = (Path(base) if base else Path.home() / ".config") / "systemd" / "user"
    path = units / f"avo-{folder.name}.service"
    if remove:
        if not path.exists():
            raise Failure(f"there is no unit at {path}")
        path.unlink()
        say(f"removed {path}; now: systemctl --user disable --now {path.name}")
        return
    text = UNIT.format(name=folder.name, python=_quoted(sys.executable), folder=_quoted(folder))
    if show:
        echo(text, nl=False)
        return
    require_agreement(folder)  # nobody can be asked when the unit starts
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    say(
        f"wrote {path}; now:",
        f"  systemctl --user daemon-reload && systemctl --user enable --now {path.name}",
        "  loginctl enable-linger   # so that it also runs while you are logged out",
    )


def _quoted(value: object) -> str:
    """As systemd reads an argument: in quotes, with its specifiers and escapes doubled."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'.replace("%", "%%").replace("$", "$$")


@app.command(epilog="Example: avo worker --spool /shared/avo --until-empty")
def worker(
    spool: Annotated[
        Path, Option(exists=True, file_okay=False, help="The folder of --evaluator spool:FOLDER.")
    ],
    until_empty: Annotated[
        bool, Option("--until-empty", help="End when no request is left.")
    ] = False,
    seconds: Annotated[
        float | None, Option(min=1.0, help="End after so long; what is cut off is given back.")
    ] = None,
    weak: Annotated[
        bool,
        Option("--allow-weak-sandbox", help="Measure also where nothing confines candidates."),
    ] = False,
) -> None:
    """Measure what waits in a folder, on this machine; exit status 3 where requests are left."""
    options = ("--allow-weak-sandbox",) if weak else ()
    raise Exit(work(spool, until_empty=until_empty, seconds=seconds, options=options))
