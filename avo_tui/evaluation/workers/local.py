"""`local:`: devices of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from urllib.parse import SplitResult

from avo_tui.evaluation.workers.devices import ALL, parse_cores
from avo_tui.evaluation.workers.machine import MachineSite
from avo_tui.evaluation.workers.ports import Site
from avo_tui.evaluation.workers.sites import SiteRequest, only


def make_site(url: SplitResult, wanted: SiteRequest) -> Site:
    """The site of a URL. Raises ValueError, one sentence."""
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
