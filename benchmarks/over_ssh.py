"""The app over a real SSH line that is thin, slow and loses packets, and is dropped meanwhile.

    python benchmarks/over_ssh.py [SESSION] [--kib 8] [--delay-ms 150] [--loss 2] [--away 60]

Starts an sshd of this user's on loopback (Debian: openssh-server) and a relay between it and the
client; the app runs at 120x40, plainly and under tmux. Without SESSION, it follows a session that
this script writes as a busy engine does: the load of `ui_bandwidth.py`, ten events a second.
The relay passes `--kib` KiB/s each way (8 is 64 kbit/s), each piece `--delay-ms` later (twice that
is the round trip). TCP over a relay loses nothing; a lost packet shows as a stall until it is sent
again, so `--loss` per cent of the pieces, and all behind them, come one round trip and 200 ms late.
Then the line is cut for `--away` seconds and a new connection is made.

Prints: seconds to the first picture, bytes of it, KiB/s afterwards, seconds from a key to its
effect (median, worst), seconds to a picture after the cut, events that the engine recorded
meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import os
import pty
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from avo_tui.store import SessionReader, SessionWriter, find_session
from benchmarks.ui_bandwidth import engine, ten_a_second
from benchmarks.ui_load import unsynced, week

PATIENCE = 300.0


@dataclass(frozen=True)
class Line:
    """What the relay does to each direction."""

    bytes_per_second: float
    delay: float
    loss: float


class Relay:
    """Passes connections on to a port, as slowly as the line; `cut` ends them all."""

    def __init__(self, line: Line, target: int) -> None:
        self.line, self._target, self.received = line, target, 0
        self._random, self._writers = random.Random(1), set[asyncio.StreamWriter]()
        self.loop = asyncio.new_event_loop()
        self._up = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()
        self._up.wait()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        self.loop.run_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = socket.socket()
        # a sender's buffers hold little over a thin line, and much over loopback
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        upstream.setblocking(False)
        await self.loop.sock_connect(upstream, ("127.0.0.1", self._target))
        to_reader, to_writer = await asyncio.open_connection(sock=upstream, limit=4096)
        self._writers |= {writer, to_writer}
        await asyncio.gather(
            self._pass(reader, to_writer, False), self._pass(to_reader, writer, True)
        )

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, down: bool
    ) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=16)

        async def deliver() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            writer.close()

        delivery = asyncio.create_task(deliver())
        due = 0.0
        with contextlib.suppress(OSError):
            while data := await reader.read(512):
                self.received += len(data) if down else 0
                await asyncio.sleep(len(data) / self.line.bytes_per_second)
                late = 2 * self.line.delay + 0.2 if self._random.random() < self.line.loss else 0
                due = max(due, time.monotonic() + self.line.delay + late)
                await queue.put((due, data))
        await queue.put((0.0, b""))
        with contextlib.suppress(OSError):
            await delivery

    def cut(self) -> None:
        """End every connection, as a network that is gone does."""

        def end() -> None:
            for writer in self._writers:
                writer.transport.abort()
            self._writers.clear()

        self.loop.call_soon_threadsafe(end)


@contextlib.contextmanager
def sshd(folder: Path) -> Iterator[int]:
    """A server for this user, with a key of its own; gives its port."""
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    Path("/run/sshd").mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "HostKey": folder / "host", "AuthorizedKeysFile": folder / "authorized", "Port": port,
        "ListenAddress": "127.0.0.1", "StrictModes": "no", "UsePAM": "no", "PidFile": "none",
        "PermitRootLogin": "yes", "AcceptEnv": "AVO_* TERM COLORTERM",
    }  # fmt: skip
    arguments = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    server = subprocess.Popen(
        [program, "-D", "-f", "/dev/null", *arguments], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("sshd did not start")
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait()


class Client:
    """ssh in a terminal of 120x40, and what came through it."""

    def __init__(self, folder: Path, port: int, command: str) -> None:
        self.text = b""
        pid, self._terminal = pty.fork()
        if pid == 0:
            os.environ |= {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
            os.execvp(
                "ssh",
                [
                    "ssh", "-tt", "-F", "none", "-p", str(port), "-i", str(folder / "user"),
                    "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={folder}/known",
                    "-o", "LogLevel=ERROR", "-o", "Compression=no",
                    f"{getpass.getuser()}@127.0.0.1", command,
                ],
            )  # fmt: skip
        self.pid = pid
        self._resize(pid)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _resize(self, pid: int) -> None:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._terminal, 65536):
                self.text += data
                for _ in range(data.count(b"\x1b[6n")):  # as terminals do: where the cursor is
                    os.write(self._terminal, b"\x1b[1;1R")

    def press(self, key: str) -> None:
        os.write(self._terminal, key.encode())

    def until(self, text: str, after: int = 0) -> float:
        """Seconds until a text comes. Raises TimeoutError."""
        began = time.monotonic()
        while text.encode() not in self.text[after:]:
            if time.monotonic() - began > PATIENCE or not self._reader.is_alive():
                raise TimeoutError(f"{text!r} did not come; the last: {self.text[-400:]!r}")
            time.sleep(0.01)
        return time.monotonic() - began

    def ended(self) -> float:
        """Seconds until ssh has ended."""
        began = time.monotonic()
        os.waitpid(self.pid, 0)
        return time.monotonic() - began


def recorded(session: str) -> int:
    """Number of the session's last event."""
    return SessionReader.open(find_session(session)).state.session.applied


@contextlib.contextmanager
def invented() -> Iterator[str]:
    """A session of 48 attempts that a busy engine writes; gives its name."""
    with tempfile.TemporaryDirectory() as root, unsynced():
        os.environ["AVO_SESSIONS"] = root
        folder = Path(root) / "study"
        week(folder, 48)
        with SessionWriter.open(folder) as writer, ten_a_second(engine(writer)):
            yield folder.name


def measure(kind: str, folder: Path, relay: Relay, away: float, session: str) -> list[str]:
    """One row of the table."""
    avo = f"{sys.executable} -m avo_tui.cli attach --no-start {session}"
    exports = f"export AVO_SESSIONS={os.environ['AVO_SESSIONS']} COLORTERM=truecolor;"
    name = f"avo-{os.getpid()}"
    command = f"{exports} {avo}"
    if kind == "tmux":
        command = f"{exports} exec tmux -L {name} new-session -A -s {name} '{avo}'"
    before = relay.received
    client = Client(folder, relay.port, command)
    first = client.until("Lineage")
    bytes_first = relay.received - before
    start, began = relay.received, time.monotonic()
    time.sleep(10)
    rate = (relay.received - start) / (time.monotonic() - began) / 1024
    keys = []
    for key, text in (("M", "Memory"), ("q", "Lineage")) * 3:
        after = len(client.text)
        client.press(key)
        keys.append(client.until(text, after))
        time.sleep(0.5)
    relay.cut()
    client.ended()
    events = recorded(session)
    time.sleep(away)
    events = recorded(session) - events
    again = Client(folder, relay.port, command)
    back = again.until("Lineage")
    relay.cut()
    again.ended()
    if kind == "tmux":
        subprocess.run(["tmux", "-L", name, "kill-server"], check=False)
    keys.sort()
    return [
        kind, f"{first:.1f}", f"{bytes_first / 1024:.1f}", f"{rate:.2f}",
        f"{keys[len(keys) // 2]:.2f}", f"{keys[-1]:.2f}", f"{back:.1f}",
        f"{events}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("session", nargs="?", help="name of a session, best one that runs")
    parser.add_argument("--kinds", nargs="+", default=["plain", "tmux"], choices=["plain", "tmux"])
    parser.add_argument("--kib", type=float, default=8.0, help="KiB/s each way")
    parser.add_argument("--delay-ms", type=float, default=150.0, help="one way")
    parser.add_argument("--loss", type=float, default=2.0, help="per cent of the pieces")
    parser.add_argument("--away", type=float, default=300.0, help="seconds without a line")
    arguments = parser.parse_args()
    line = Line(arguments.kib * 1024, arguments.delay_ms / 1000, arguments.loss / 100)
    heads = ["", "first s", "KiB", "KiB/s", "key s", "worst", "back s", "events"]
    print("".join(f"{head:>9}" for head in heads))
    session = contextlib.nullcontext(arguments.session) if arguments.session else invented()
    with session as followed, tempfile.TemporaryDirectory() as name, sshd(Path(name)) as port:
        relay = Relay(line, port)
        for kind in arguments.kinds:
            row = measure(kind, Path(name), relay, arguments.away, followed)
            print("".join(f"{cell:>9}" for cell in row), flush=True)


if __name__ == "__main__":
    main()
