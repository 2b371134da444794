"""Starts commands in the strongest sandbox that this machine offers."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path

from avo_tui.evaluation.sandbox import confine
from avo_tui.evaluation.sandbox.isolation_level import Level
from avo_tui.evaluation.sandbox.policy import (
    COMPILE_DATE,
    DEVICES,
    Isolation,
    Job,
    Limits,
    Outcome,
    SandboxError,
    bubblewrap,
    interpreter,
    readable,
)
from avo_tui.evaluation.sandbox.running_command import Running
from avo_tui.evaluation.sandbox.scratch import give, scratch_folder

HOW_TO_CONFINE = (
    "install bubblewrap (Debian, Ubuntu, Fedora and Arch call the package `bubblewrap`), or allow "
    "user namespaces (`sysctl -w kernel.unprivileged_userns_clone=1`, or "
    "`kernel.apparmor_restrict_unprivileged_userns=0`; in a container "
    "`--security-opt seccomp=unconfined`), or use Linux 6.7 or later with Landlock"
)
_PACKAGES = str(Path(__file__).resolve().parents[3])
_PROGRAM = os.path.realpath(Path(__file__).parents[2])


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
            give(job.scratch, user)
        limits = job.limits
        return {
            "command": list(job.command),
            "environment": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TMPDIR": ".", "HOME": "/"}
            | {"TZ": "UTC", "SOURCE_DATE_EPOCH": str(COMPILE_DATE)}
            # The lent user is in no list of users; torch asks for its name as it is imported.
            | {"LOGNAME": "candidate"}
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
            "fixed": str(job.fixed) if job.fixed is not None else "",
            "network": job.network,
            "user": user,
            "seconds": float(limits.seconds),
            "memory_bytes": limits.memory_bytes,
            "address_bytes": limits.address_bytes,
            "processes": limits.processes,
            "file_bytes": limits.file_bytes,
            "scratch_bytes": limits.scratch_bytes,
            "open_files": limits.open_files,
            "scratch_entries": limits.scratch_entries,
            "cpu_seconds": int(limits.seconds * limits.processes) + 2,
        }

    @cached_property
    def _interpreter(self) -> tuple[str, list[str]]:
        return interpreter()

    def scratch(self) -> AbstractContextManager[Path]:
        """A private folder for one evaluation, removed afterwards with all that is in it."""
        return scratch_folder()
