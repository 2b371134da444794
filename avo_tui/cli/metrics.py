"""`avo metrics`: sessions and devices for Prometheus."""

from __future__ import annotations

import errno
import socket
import threading
from importlib.util import find_spec
from typing import Annotated

import typer

from avo_tui.cli.errors import Failure
from avo_tui.domain.base import now
from avo_tui.store import summaries

PORT = 9464


app = typer.Typer()


@app.command(epilog="Example: avo metrics --port 9464")
def metrics(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = PORT,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Metrics name sessions and tasks.")
    ] = "127.0.0.1",
    once: Annotated[
        bool, typer.Option("--once", help="Write the metrics to standard output, and end.")
    ] = False,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Write a dashboard for Grafana as JSON, and end.")
    ] = False,
) -> None:
    """Serve all sessions and their devices to Prometheus, at /metrics, until ctrl+c."""
    if find_spec("prometheus_client") is None:
        raise Failure("avo metrics needs prometheus-client: pip install 'avo-tui[metrics]'")
    from avo_tui.metrics import collector, serving  # of the extra

    if dashboard:
        typer.echo(serving.dashboard(), nl=False)
        return
    sessions = collector.Sessions(summaries, now)
    if once:
        typer.echo(serving.text(sessions), nl=False)
        return
    try:
        with serving.served(sessions, host, port) as chosen:
            typer.echo(f"metrics at http://{host}:{chosen}/metrics; ctrl+c ends")
            threading.Event().wait()
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
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
