"""`local:`: devices of this machine."""

from __future__ import annotations

import sys
from urllib.parse import SplitResult

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
    command = (sys.executable, "-m", "avo_tui.evaluation")
    return MachineSite(
        "local", command, task=wanted.task, kind=wanted.kind, chosen=wanted.devices,
        options=wanted.worker_options,
    )  # fmt: skip
