"""A real sshd of the test's own, on loopback, with keys of its own."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SSHD = shutil.which("sshd") or next(
    (p for p in ("/usr/sbin/sshd", "/usr/local/sbin/sshd") if os.access(p, os.X_OK)), None
)
MISSING = None if SSHD and shutil.which("ssh") else "there is no sshd (Debian: openssh-server)"


LOOPBACK = "127.0.0.1"


@dataclass
class Sshd:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    address: str = LOOPBACK

    @property
    def config(self) -> Path:
        """A configuration of the client, which knows the server's key and has one of its own."""
        return self.folder / "client"

    def end(self) -> None:
        """Ends the server and every connection that it serves."""
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    folder: Path,
    environment: dict[str, str],
    address: str = LOOPBACK,
    inside: Sequence[str] = (),
) -> Iterator[Sshd]:
    """Starts a server; what logs in gets `environment` as well.

    `inside`: what its command begins with, such as `ip netns exec NAME`, which gives it a network
    of its own; `address` is where it listens there.
    """
    assert SSHD is not None
    folder.chmod(0o700)
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
        )
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    (folder / "authorized").chmod(0o600)
    sets = " ".join(f"{k}={v}" for k, v in environment.items())
    if os.geteuid() == 0:  # root's sshd separates privileges in a folder that must be there
        Path("/run/sshd").mkdir(exist_ok=True)
    deadline = time.monotonic() + 240
    while True:
        assert time.monotonic() < deadline
        port = free_port()
        (folder / "server").write_text(
            f"Port {port}\nListenAddress {address}\nHostKey {folder}/host\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
            f"PasswordAuthentication no\nPidFile none\nPermitRootLogin prohibit-password\n"
            f"LogLevel ERROR\nSetEnv {sets}\n"
        )
        log = (folder / "log").open("ab")
        process = subprocess.Popen(
            [*inside, SSHD, "-D", "-e", "-f", str(folder / "server")], stdout=log, stderr=log
        )
        if _answers(process, address, port):
            break
        process.kill()
        process.wait()
    host_key = (folder / "host.pub").read_text().split()
    (folder / "known").write_text(f"[{address}]:{port} {host_key[0]} {host_key[1]}\n")
    (folder / "client").write_text(
        f"Host *\n  User {getpass.getuser()}\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {folder}/known\n  StrictHostKeyChecking yes\n"
    )
    server = Sshd(process, port, folder, address)
    try:
        yield server
    finally:
        server.end()


def _answers(process: subprocess.Popen[bytes], address: str, port: int) -> bool:
    """Waits until the server takes connections; False where it ended, as on a taken port."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 5):
            return True
        time.sleep(0.02)
    return False
