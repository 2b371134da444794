"""Devices of one machine, here (`local:`) or over a line such as ssh: a worker process for each.

A device is what candidates are measured on one at a time: a GPU, or a set of processor cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Collection, Sequence
from typing import Annotated
from urllib.parse import SplitResult

from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.domain.plain import plain
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers.link import (
    LEASE_SECONDS,
    WorkerLink,
    environment,
    with_remedy,
)
from avo_tui.evaluation.workers.ports import (
    Device,
    Joined,
    Left,
    Site,
    SiteDescriptor,
    SiteRequest,
    only,
)

ALL = "all"
MOST_DEVICES = 4096
"""GPUs, and cores, that one machine can have."""
_Core = Annotated[int, Field(ge=0, lt=1 << 16)]


class Listing(Value):
    """The devices of a machine that a worker may use, as `--list-devices` prints them."""

    gpus: int = Field(ge=0, le=MOST_DEVICES)
    cores: tuple[_Core, ...] = Field(max_length=MOST_DEVICES)


def of_this_machine() -> Listing:
    """The devices of this machine that this process may use."""
    return Listing(gpus=len(_visible_gpus()), cores=tuple(sorted(os.sched_getaffinity(0))))


def _visible_gpus() -> list[str]:
    own = os.environ.get("CUDA_VISIBLE_DEVICES")
    if own is not None:
        return [name.strip() for name in own.split(",") if name.strip() not in {"", "-1"}]
    try:
        told = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line for line in told.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(lines))]


def one_gpu(number: str) -> dict[str, str]:
    """The environment in which a process sees only this GPU, counted as the process sees them."""
    own = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [n.strip() for n in own.split(",") if n.strip()] if own is not None else []
    index = int(number)
    name = names[index] if index < len(names) else number
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": name}


def parse_cores(text: str) -> frozenset[int]:
    """`0-3` or `0+2` as numbers of cores. Raises ArgumentTypeError, a sentence."""
    cores: set[int] = set()
    for part in text.split("+"):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part)
        if match is None:
            raise argparse.ArgumentTypeError(f"{text!r} is no set of cores, such as 0-3 or 0+2")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise argparse.ArgumentTypeError(f"{text!r}: {part} counts downwards")
        cores.update(range(first, last + 1))
    return frozenset(cores)


def split_devices(text: str, kind: str) -> list[str]:
    """`0,1,3` (GPUs) or `0-1,2-3` (sets of cores) one by one; `all` stays as it is.

    `kind` is `cuda` or `cpu`, as tasks say it. Raises ValueError, one sentence.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ValueError(
            "--devices names no device; write 0,1 for two GPUs or two cores, 0-3,4-7 for two sets "
            "of cores, or all"
        )
    if len(names) < len(text.split(",")):
        raise ValueError(f"--devices {text}: nothing stands beside one of the commas")
    if names == [ALL]:
        return names
    if len(set(names)) < len(names):
        raise ValueError(f"--devices {text}: a device is named twice")
    if kind == "cuda":
        odd = [name for name in names if not name.isdecimal()]
        if odd:
            raise ValueError(f"--devices {text}: {odd[0]!r} is no number of a GPU, such as 0")
        return names
    taken: set[int] = set()
    for name in names:
        try:
            cores = parse_cores(name)
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"--devices {text}: {error}") from None
        if cores & taken:
            raise ValueError(f"--devices {text}: core {min(cores & taken)} is in two devices")
        taken |= cores
    return names


def every_device(listing: Listing, kind: str) -> list[str]:
    """The names of all devices of a machine. Raises ValueError where it has none."""
    if kind == "cuda":
        if not listing.gpus:
            raise ValueError("there is no NVIDIA GPU on it")
        return [str(number) for number in range(listing.gpus)]
    return [str(core) for core in listing.cores]


def restriction(device: str, kind: str) -> Sequence[str]:
    """Arguments that restrict a worker to one device; none for the whole machine."""
    if not device:
        return ()
    return ("--gpu", device) if kind == "cuda" else ("--cores", device)


LIST_SECONDS = 120.0
LIST_BYTES = 1 << 20
"""Bytes that are kept of what a command writes that lists devices."""


async def _both(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    """What a process writes to its two streams until it ends, the first `LIST_BYTES` of each."""
    assert process.stdout is not None and process.stderr is not None

    async def read(stream: asyncio.StreamReader) -> bytes:
        kept = b""
        while part := await stream.read(1 << 16):
            kept += part[: LIST_BYTES - len(kept)]
        return kept

    out, words = await asyncio.gather(read(process.stdout), read(process.stderr))
    await process.wait()
    return out, words


class MachineSite:
    """The devices of one machine, by the command that starts avo-tui's evaluation there."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        task: str,
        kind: str,
        chosen: Sequence[str],
        options: Sequence[str] = (),
        variables: Collection[str] | None = None,
    ) -> None:
        """`command` runs `python -m avo_tui.evaluation` there; arguments are put after it.

        `kind` is the task's device, `cuda` or `cpu`; `chosen` names devices as a person does, ""
        for the machine as it is. `variables`: see `link.environment`.
        """
        self._variables = variables
        self.name = name
        self._command = tuple(command)
        self._task = task
        self._kind = kind
        self._chosen = tuple(chosen)
        self._options = tuple(options)

    async def open(self, joined: Joined, left: Left) -> None:
        chosen = self._chosen
        if chosen == (ALL,):
            try:
                chosen = tuple(every_device(await self._listing(), self._kind))
            except ValueError as error:
                raise EvaluatorError(f"{self.name}: {error}") from error
        for device in chosen:
            restricted = restriction(device, self._kind)
            lease = ("--lease", f"{LEASE_SECONDS:g}")
            command = (*self._command, "--serve", *lease, *self._options, *restricted)
            name = f"{self.name}:{device}" if device else self.name
            link = WorkerLink(command, lease=LEASE_SECONDS, variables=self._variables)
            joined(Device(name, link, self._task))

    async def _listing(self) -> Listing:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            "--list-devices",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(self._variables),
        )
        try:
            out, words = await asyncio.wait_for(_both(process), LIST_SECONDS)
        except TimeoutError:
            raise EvaluatorError(
                f"{self.name} did not list its devices in {LIST_SECONDS:.0f} s"
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        try:
            return Listing.model_validate_json(out, strict=True)
        except ValueError:
            lines = words.decode(errors="replace").strip().splitlines() or ["no answer"]
            last = with_remedy(plain(lines[-1], 300))
            raise EvaluatorError(f"{self.name} does not list its devices: {last}") from None

    async def close(self) -> None:
        """See `Site.close`."""


def make_site(url: SplitResult, wanted: SiteRequest) -> Site:
    only(url, wanted.query, {"devices"})
    if url.netloc or url.path:
        raise ValueError(
            f"--evaluator {url.geturl()}: local is this machine and takes no name; write local, or"
            " local:?devices=0,1"
        )
    if wanted.kind == "cpu":
        _require_cores(wanted.devices)
    command = (sys.executable, "-m", "avo_tui.evaluation")
    return MachineSite(
        "local", command, task=wanted.task, kind=wanted.kind, chosen=wanted.devices,
        options=wanted.worker_options,
    )  # fmt: skip


def _require_cores(devices: Sequence[str]) -> None:
    """Raises ValueError where a set of cores names one that this process may not use."""
    there = os.sched_getaffinity(0)
    for device in devices:
        if device in {"", ALL}:
            continue
        if missing := sorted(parse_cores(device) - there):
            raise ValueError(
                f"--devices {device}: core {missing[0]} is not there; there are"
                f" {', '.join(map(str, sorted(there)))}"
            )


DESCRIPTOR = SiteDescriptor("local", make_site)
