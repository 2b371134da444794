"""The limits of a sandboxed command, and its result."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

MIB = 1 << 20
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store",
    "/etc/alternatives", "/etc/ld.so.cache",
)  # fmt: skip
"""Folders that compilers and shared libraries need; nothing else of the machine is visible."""


class SandboxError(RuntimeError):
    """No sandbox can be set up; the message is one sentence that says what to do."""


class Isolation(StrEnum):
    """How the command is kept apart, in the order they are tried.

    Our own namespaces come first: they give what bubblewrap gives in half the time. bubblewrap
    serves where only it may make them, as on systems that restrict user namespaces by profile.
    """

    NAMESPACES = "namespaces"
    BUBBLEWRAP = "bubblewrap"
    PROCESSES = "processes"
    """No namespaces: Landlock and seccomp where the kernel has them, limits, and the subreaper."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one command and everything it starts."""

    seconds: float = 60.0
    memory_bytes: int = 2048 * MIB
    """Resident memory in bytes, summed over all processes."""
    address_bytes: int | None = 8192 * MIB
    """Address space of each process; None where a driver maps more than it uses."""
    processes: int = 32
    """Number of processes and threads."""
    file_bytes: int = 256 * MIB
    scratch_bytes: int = 512 * MIB
    output_bytes: int = 4 * MIB
    """Standard output and error together; more ends the command."""
    keep_bytes: int = 128 * 1024
    """How much of each stream is kept: its beginning and its end."""
    open_files: int = 256
    scratch_entries: int = 20_000
    """Files and folders in the scratch folder."""


COMPILE_DATE = 315_619_200
"""2 January 1980, 00:00 UTC, in seconds since 1970: what compilers take for the current time
(https://reproducible-builds.org/specs/source-date-epoch/). A source that asks for it
(`__DATE__`, `__TIME__`, `__TIMESTAMP__`) then means the same whenever it is compiled."""


@dataclass(frozen=True)
class Job:
    """One command. Paths in it are relative to the scratch folder, where it starts."""

    command: tuple[str, ...]
    scratch: Path
    limits: Limits = Limits()
    read: tuple[str, ...] = ()
    """Further files and folders that may be read, in addition to those of the system."""
    devices: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    pass_fds: tuple[int, ...] = ()
    allowed_calls: tuple[str, ...] = ()
    """System calls that the general filter refuses but this command needs."""
    cpu: int | tuple[int, ...] | None = None
    """Processor, or processors, that it is kept to."""
    fixed: Path | None = None
    """A file that names files of the scratch folder, one a line, that stay as they are: they are
    mounted read-only where the sandbox mounts."""
    network: bool = False


Reason = Literal[
    "exited", "signalled", "time", "memory", "processes", "scratch", "output", "cancelled", "error"
]


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    reason: Reason
    exit_code: int | None
    signal: int | None
    stdout: str
    stderr: str
    seconds: float
    error: str = ""
    """Why the sandbox could not start it; empty otherwise."""
    inside: float = 0.0
    """Seconds from the command's own start to its end; 0 where it did not end by itself."""

    @property
    def ok(self) -> bool:
        """True if it ended by itself with exit code 0."""
        return self.reason == "exited" and self.exit_code == 0


def readable(job: Job) -> list[str]:
    """Everything the command may read, and execute."""
    paths = [*SYSTEM, *DEVICES, *job.read, *job.devices]
    program = job.command[0]
    if program.startswith("/"):
        paths += toolchain(program)
    folders = [path for path in paths if not Path(path).is_symlink()]
    return list(dict.fromkeys(_behind_link(path, folders) for path in paths))


def _behind_link(path: str, folders: list[str]) -> str:
    """What a link leads to, where a readable folder shows the link already, such as
    /usr/local/cuda; else the path itself."""
    if Path(path).is_symlink() and any(path.startswith(f"{folder}/") for folder in folders):
        return os.path.realpath(path)
    return path


def toolchain(program: str) -> list[str]:
    """Where a tool outside the system folders lives: the prefix that holds its `bin`."""
    folders = []
    for path in {program, os.path.realpath(program)}:
        if not path.startswith(("/usr/", "/bin/", "/nix/store/")):
            folders.append(str(Path(path).parent.parent))
    return folders


def interpreter() -> tuple[str, list[str]]:
    """The Python that runs the launcher, and what it reads to start without site packages."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    python = os.path.realpath(base)
    paths = [str(Path(python).parent.parent / "lib"), python]
    for key in ("stdlib", "platstdlib"):
        paths.append(sysconfig.get_path(key))
    paths += [
        sysconfig.get_config_var("LIBDIR") or "",
        sysconfig.get_config_var("DESTSHARED") or "",
    ]
    known = [p for p in dict.fromkeys(paths) if p and Path(p).exists()]
    return python, [p for p in known if not p.startswith(("/usr/", "/lib/"))]


def bubblewrap() -> str | None:
    """The bubblewrap program, where it is installed."""
    return shutil.which("bwrap")
