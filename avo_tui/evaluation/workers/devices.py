"""The devices of one machine: how a person names them, and how a worker keeps to its own.

A device is what candidates are measured on one at a time: a GPU, or a set of processor cores.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
from collections.abc import Sequence
from typing import TypedDict

ALL = "all"


class Listing(TypedDict):
    """The devices of a machine, as `--list-devices` prints them."""

    gpus: int
    """How many GPUs a worker may use there."""
    cores: list[int]
    """Processor cores that a worker may use there."""


def of_this_machine() -> Listing:
    """The devices of this machine that this process may use."""
    return Listing(gpus=len(_visible_gpus()), cores=sorted(os.sched_getaffinity(0)))


MOST_DEVICES = 4096
"""GPUs, and cores, that one machine can have."""


def read_listing(text: bytes) -> Listing:
    """What `--list-devices` printed. Raises ValueError for anything else."""
    try:
        body = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    gpus, cores = (body.get("gpus"), body.get("cores")) if isinstance(body, dict) else (None, None)
    if type(gpus) is not int or not isinstance(cores, list):
        raise ValueError("no list of devices")
    if not all(type(core) is int and 0 <= core < 1 << 16 for core in cores):
        raise ValueError("cores that are no numbers")
    if not 0 <= gpus <= MOST_DEVICES or len(cores) > MOST_DEVICES:
        raise ValueError("more devices than a machine has")
    return Listing(gpus=gpus, cores=cores)


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
        if not listing["gpus"]:
            raise ValueError("there is no NVIDIA GPU on it")
        return [str(number) for number in range(listing["gpus"])]
    return [str(core) for core in listing["cores"]]


def restriction(device: str, kind: str) -> Sequence[str]:
    """Arguments that restrict a worker to one device; none for the whole machine."""
    if not device:
        return ()
    return ("--gpu", device) if kind == "cuda" else ("--cores", device)
