"""Starts sandboxed commands from asyncio, limits their output, and ends them reliably."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from avo_tui.evaluation.sandbox import confine
from avo_tui.evaluation.sandbox.policy import (
    COMPILE_DATE,
    DEVICES,
    Isolation,
    Job,
    Limits,
    Outcome,
    Reason,
    SandboxError,
    bubblewrap,
    interpreter,
    readable,
)

LANDLOCK_ENOUGH = 4
"""The first Landlock ABI (Linux 6.7) that covers reading, writing, truncating and TCP."""
HOW_TO_CONFINE = (
    "install bubblewrap (Debian, Ubuntu, Fedora and Arch call the package `bubblewrap`), or allow "
    "user namespaces (`sysctl -w kernel.unprivileged_userns_clone=1`, or "
    "`kernel.apparmor_restrict_unprivileged_userns=0`; in a container "
    "`--security-opt seccomp=unconfined`), or use Linux 6.7 or later with Landlock"
)
_PACKAGES = str(Path(__file__).resolve().parents[3])
_PROGRAM = os.path.realpath(Path(__file__).parents[2])
_GRACE = 15.0
"""Seconds for the launcher to end all processes before it is killed itself."""


_UNCHANGED = 3
"""Turns of the event loop without new output after which a pipe is empty."""


class _Drain:
    """Reads a stream to its end, keeping the beginning and the end of it."""

    def __init__(self, keep: int) -> None:
        self._half = keep // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._kept = 0
        self.keeps = True
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        if not self.keeps:
            return
        self._kept += len(data)
        room = self._half - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail += data[max(0, room) :]
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    def text(self) -> str:
        tail = self._tail[-self._half :] if self._half else bytearray()
        lost = self._kept - len(self._head) - len(tail)
        middle = f"\n… {lost} bytes left out …\n".encode() if lost else b""
        return (bytes(self._head) + middle + bytes(tail)).decode(errors="replace")


@dataclass(frozen=True)
class Level:
    """The isolation available on this machine."""

    isolation: Isolation
    landlock: int
    seccomp: bool
    user: str
    start_ms: float
    """Milliseconds that an empty command takes from start to end."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """The kinds of isolation missing on this machine; empty if candidates are fully
        confined."""
        if self.isolation is not Isolation.PROCESSES:
            return ()
        missing = []
        if self.landlock < LANDLOCK_ENOUGH:
            missing.append("reading and changing the user's files")
        if not self.seccomp:
            missing.append("reaching the network and other processes")
        return tuple(missing)

    @property
    def confined(self) -> bool:
        """True if files, network and other processes are protected and all processes can be
        ended."""
        return not self.gaps

    @property
    def warning(self) -> str:
        """One sentence for every screen and record where the sandbox is weak, else empty."""
        if self.confined:
            return ""
        return f"weak sandbox: nothing keeps a candidate from {' or '.join(self.gaps)}"

    def describe(self) -> str:
        """Such as `namespaces + landlock 7 + seccomp + limits`; says so where it is weak."""
        parts = [] if self.isolation is Isolation.PROCESSES else [str(self.isolation)]
        if self.landlock:
            parts.append(f"landlock {self.landlock}")
        if self.seccomp:
            parts.append("seccomp")
        return " + ".join([*parts, "limits"]) + ("" if self.confined else " (weak)")


class Running:
    """A command that was started. `wait()` must be awaited to its end, or `kill()`."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: int, status: int) -> None:
        self._process = process
        self._lifeline: int | None = lifeline
        self._status = status
        self._reason: Reason | None = None
        self._drains: tuple[_Drain, ...] = ()
        self._began = time.monotonic()

    @property
    def launcher_pid(self) -> int:
        """The launcher's process; the command is among its descendants."""
        return self._process.pid

    def end(self, reason: Reason = "cancelled") -> None:
        """Asks the launcher to end the tree; returns at once."""
        if self._lifeline is not None:
            if self._process.returncode is None:
                self._reason = self._reason or reason
            os.close(self._lifeline)
            self._lifeline = None

    async def keep_nothing_more(self) -> None:
        """Keeps what a stopped command has printed, and counts, but forgets, what comes later."""
        unchanged, before = 0, -1
        while unchanged < _UNCHANGED:  # the loop reads whatever is there each time round
            total = sum(drain.total for drain in self._drains)
            unchanged, before = (unchanged + 1 if total == before else 0), total
            await asyncio.sleep(0.0005)
        for drain in self._drains:
            drain.keeps = False

    async def kill(self) -> None:
        """Ends the whole tree and waits until it is gone."""
        self.end()
        try:
            await asyncio.wait_for(self._process.wait(), _GRACE)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def wait(self, limits: Limits) -> Outcome:
        """Drains the output until the command has ended. A cancellation ends the tree first."""
        out, err = self._drains = (_Drain(limits.keep_bytes), _Drain(limits.keep_bytes))
        assert self._process.stdout is not None and self._process.stderr is not None

        async def drain(stream: asyncio.StreamReader, into: _Drain) -> None:
            while data := await stream.read(65536):
                into.add(data)
                if out.total + err.total > limits.output_bytes:
                    self.end("output")

        try:
            async with asyncio.timeout(limits.seconds + _GRACE):
                await asyncio.gather(
                    drain(self._process.stdout, out), drain(self._process.stderr, err)
                )
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        finally:
            await self.kill()
            facts = self._facts()
        return self._outcome(facts, out.text(), err.text())

    def _facts(self) -> dict[str, str]:
        with os.fdopen(self._status, "rb") as file:
            lines = file.read(65536).decode(errors="replace").splitlines()
        pairs = (line.partition("=") for line in lines)
        facts: dict[str, str] = {}
        for key, _, value in pairs:
            facts.setdefault(key, value)
        self.facts = facts
        return facts

    def _outcome(self, facts: dict[str, str], out: str, err: str) -> Outcome:
        seconds = time.monotonic() - self._began
        number = int(facts["signal"]) if "signal" in facts else None
        code = int(facts["exit"]) if "exit" in facts else None
        reason: Reason
        if "error" in facts:
            reason = "error"
        elif facts.get("reason") in ("time", "memory", "processes", "scratch"):
            reason = facts["reason"]  # type: ignore[assignment]
        elif self._reason is not None and (code is None or self._reason == "output"):
            reason = self._reason
        elif "reason" in facts:
            reason = "cancelled"
        elif number is not None:
            reason = "signalled"
        elif code is not None:
            reason = "exited"
        else:
            reason = "error"
        error = facts.get("error", "") if reason == "error" else ""
        if reason == "error" and not error:
            error = f"the sandbox ended unexpectedly: {err.strip()[-300:] or 'no message'}"
        return Outcome(reason, code, number, out, err, seconds, error)


class Sandbox:
    """Runs jobs at the strongest level of this machine."""

    def __init__(self, allow_weak: bool = False, isolation: Isolation | None = None) -> None:
        """`allow_weak`: go on where the machine cannot confine what is run.

        `isolation` forces one kind; otherwise each is tried, strongest first.
        """
        self.allow_weak = allow_weak
        self._wanted = isolation
        self._level: Level | None = None
        self.hidden: tuple[str, ...] = (_PROGRAM,)
        """Real paths of what no command may read, unless its job asks for it by name."""
        self.landlock = True
        self.seccomp = True

    async def level(self) -> Level:
        """The isolation in force; determined once by running an empty command.

        Raises SandboxError if nothing works, or if the isolation is too weak and that was not
        allowed.
        """
        if self._level is None:
            self._level = await self._probe()
        if not self.allow_weak and not self._level.confined:
            raise SandboxError(
                f"this machine cannot confine a candidate: nothing keeps it from "
                f"{' or '.join(self._level.gaps)}; {HOW_TO_CONFINE}, or go on all the same with "
                "--allow-weak-sandbox"
            )
        return self._level

    async def _probe(self) -> Level:
        tried = []
        kinds = [self._wanted] if self._wanted else list(Isolation)
        for kind in kinds:
            if kind is Isolation.BUBBLEWRAP and bubblewrap() is None:
                tried.append("bubblewrap is not installed")
                continue
            with self.scratch() as folder:
                began = time.monotonic()
                job = Job(command=("/bin/true",), scratch=folder, limits=Limits(seconds=20))
                running = await self._start(job, kind)
                outcome = await running.wait(job.limits)
                if outcome.ok:
                    return Level(
                        isolation=kind,
                        landlock=int(running.facts.get("landlock", 0)),
                        seccomp=running.facts.get("seccomp") == "1",
                        user=running.facts.get("user", ""),
                        start_ms=(time.monotonic() - began) * 1e3,
                    )
                tried.append(f"{kind}: {outcome.error or outcome.stderr.strip()[-200:]}")
        raise SandboxError(f"no sandbox works on this machine ({'; '.join(tried)})")

    async def start(self, job: Job) -> Running:
        """Starts a job; the caller waits for it or kills it."""
        return await self._start(job, (await self.level()).isolation)

    async def run(self, job: Job) -> Outcome:
        """Runs a job to its end."""
        return await (await self.start(job)).wait(job.limits)

    async def _start(self, job: Job, isolation: Isolation) -> Running:
        python, _ = self._interpreter
        status, status_fd = os.pipe()
        lifeline_fd, lifeline = os.pipe()
        spec = self._launch_spec(job, isolation) | {
            "status_fd": status_fd,
            "lifeline_fd": lifeline_fd,
        }
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *confine.python_command(python, _PACKAGES, spec),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={},
                cwd="/",
                start_new_session=True,
                pass_fds=(status_fd, lifeline_fd, *job.pass_fds),
            )
        )
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Cancelled itself, it would kill the launcher and leave what that has started.
            await Running(await starting, lifeline, status).kill()
            os.close(status)
            raise
        except BaseException:
            os.close(status)
            os.close(lifeline)
            raise
        finally:
            os.close(status_fd)
            os.close(lifeline_fd)
        return Running(process, lifeline, status)

    def _launch_spec(self, job: Job, isolation: Isolation) -> dict[str, object]:
        """What the launcher is told to confine and start; it reads this as JSON."""
        python, libraries = self._interpreter
        inside = isolation is not Isolation.PROCESSES
        root = job.scratch.parent / "root"
        root.mkdir(exist_ok=True)
        user = confine.lent_user(secrets.randbelow(1 << 20))
        if os.geteuid() == 0:
            _give(job.scratch, user)
        limits = job.limits
        return {
            "command": list(job.command),
            "environment": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TMPDIR": ".", "HOME": "/"}
            | {"TZ": "UTC", "SOURCE_DATE_EPOCH": str(COMPILE_DATE)}
            | job.environment,
            "scratch": "/scratch" if inside else str(job.scratch),
            "outer_scratch": str(job.scratch),
            "root": str(root),
            "read": readable(job),
            "hidden": list(self.hidden),
            "devices": [*DEVICES, *job.devices],
            "isolation": str(isolation),
            "bubblewrap": bubblewrap(),
            "python": python,
            "interpreter": libraries,
            "landlock": self.landlock,
            "seccomp": self.seccomp,
            "allowed_calls": list(job.allowed_calls),
            "cpu": job.cpu,
            "user": user,
            "seconds": float(limits.seconds),
            "memory_bytes": limits.memory_bytes,
            "address_bytes": limits.address_bytes,
            "processes": limits.processes,
            "file_bytes": limits.file_bytes,
            "scratch_bytes": limits.scratch_bytes,
            "open_files": limits.open_files,
            "cpu_seconds": int(limits.seconds * limits.processes) + 2,
        }

    @cached_property
    def _interpreter(self) -> tuple[str, list[str]]:
        return interpreter()

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A private folder for one evaluation, removed afterwards with all that is in it."""
        try:
            base = Path(tempfile.mkdtemp(prefix=f"avo-{os.getpid()}-", dir=scratch_base()))
        except OSError as error:
            raise SandboxError(
                f"no scratch folder can be made in {scratch_base()} ({error.strerror}); set "
                "AVO_SCRATCH to a folder that can be written"
            ) from error
        try:
            base.chmod(0o711)
            folder = base / "scratch"
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            remove_tree(base)


def scratch_base() -> str:
    """Where scratch folders are made."""
    return os.environ.get("AVO_SCRATCH") or tempfile.gettempdir()


def sweep() -> int:
    """Removes scratch folders of workers that are gone; returns how many."""
    removed = 0
    for folder in Path(scratch_base()).glob("avo-*-*"):
        owner = folder.name.split("-")[1]
        try:
            mine = folder.stat().st_uid == os.geteuid()
        except FileNotFoundError:
            continue
        if mine and owner.isdigit() and not Path("/proc", owner).exists():
            remove_tree(folder)
            removed += 1
    return removed


def remove_tree(folder: Path) -> None:
    """Removes a folder even if what ran in it closed parts of it to its owner."""
    if not folder.exists():
        return
    for path, names, _ in os.walk(folder, topdown=True):
        for inner in (Path(path, name) for name in names):
            if not inner.is_symlink():
                with contextlib.suppress(OSError):
                    inner.chmod(stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def _give(folder: Path, user: int) -> None:
    """Makes `user` the owner of a scratch folder and what was prepared in it."""
    os.chown(folder, user, user)
    for path, names, files in os.walk(folder):
        for name in (*names, *files):
            os.lchown(Path(path, name), user, user)
