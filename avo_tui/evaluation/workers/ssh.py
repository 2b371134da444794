"""`ssh://[USER@]HOST[:PORT][?python=…&devices=…&option=…]`: devices of a machine over ssh.

The worker is started by the person's own ssh client with their own configuration; it has to log in
without a question (a key or an agent). avo-tui must be installed there; candidates, and the task
where it is not there, go over the line. No key and no environment variable does.
"""

from __future__ import annotations

import re
import shlex
import shutil
from urllib.parse import SplitResult

from avo_tui.evaluation.workers.machine import MachineSite
from avo_tui.evaluation.workers.ports import Site, SiteDescriptor, SiteRequest, only

QUIET_SECONDS, QUIET_COUNT = 10, 3
"""The client gives up a line on which nothing came for so many times so many seconds."""
CONNECT_SECONDS = 15
CLIENTS = frozenset({
    "HOME", "USER", "LOGNAME", "PATH", "SHELL", "TMPDIR", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK",
    "KRB5CCNAME",
})  # fmt: skip
"""Environment variables that the client gets. It has no others to send (`SendEnv`)."""
_USER = r"[A-Za-z0-9_.][A-Za-z0-9_.@-]*"


def make_site(url: SplitResult, wanted: SiteRequest) -> Site:
    only(url, wanted.query, {"devices", "python", "config"})
    host = url.hostname or ""
    if not re.fullmatch(r"[A-Za-z0-9_.:%-]+", host) or host.startswith("-"):
        raise ValueError(
            f"--evaluator {url.geturl()}: name a host, such as ssh://node7?devices=0,1"
        )
    if url.password is not None:
        raise ValueError(
            f"--evaluator ssh://{host}: a password does not belong into a URL; use a key or an "
            "ssh agent"
        )
    if url.username is not None and not re.fullmatch(_USER, url.username):
        raise ValueError(f"--evaluator {url.geturl()}: {url.username!r} is no name of a user")
    python = wanted.query.get("python", "python3")
    remote = [python, "-m", "avo_tui.evaluation"]
    name = f"ssh://{host}" + (f":{url.port}" if url.port else "")
    command = [*ssh_command(url, host, wanted.query.get("config"))]
    return MachineSite(
        name, [*command, shlex.join(remote)], task=wanted.task, kind=wanted.kind,
        chosen=wanted.devices, options=wanted.worker_options, variables=CLIENTS,
    )  # fmt: skip


def what_is_missing() -> str:
    """What must be installed before hosts can be reached; "" where nothing is missing."""
    return "" if shutil.which("ssh") else "there is no ssh client here (Debian: openssh-client)"


def ssh_command(url: SplitResult, host: str, config: str | None) -> list[str]:
    """The client's command line, up to the host."""
    command = [
        "ssh", "-T", "-x", "-a",
        "-o", "BatchMode=yes",
        "-o", f"ConnectTimeout={CONNECT_SECONDS}",
        "-o", f"ServerAliveInterval={QUIET_SECONDS}",
        "-o", f"ServerAliveCountMax={QUIET_COUNT}",
        "-o", "ClearAllForwardings=yes",
        "-o", "ControlMaster=no",
        "-o", "ControlPath=none",
        "-o", "LogLevel=ERROR",
    ]  # fmt: skip
    if config:
        command += ["-F", config]
    if url.port:
        command += ["-p", str(url.port)]
    if url.username:
        command += ["-l", url.username]
    return [*command, "--", host]


DESCRIPTOR = SiteDescriptor("ssh", make_site, what_is_missing)
