"""One benchmark at a time per device, over all sessions on the machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from avo_tui.domain.verdict import EvaluationProgress
from avo_tui.evaluation.paths import lock_file

_POLL_SECONDS = 0.1
_SAY_SECONDS = 2.0


@dataclass
class Waited:
    """How long the lock was waited for."""

    seconds: float = 0.0


@contextlib.asynccontextmanager
async def device_lock(
    device: str, progress: Callable[[EvaluationProgress], None]
) -> AsyncIterator[Waited]:
    """Holds the device's lock; says who is waited for, at once and every two seconds.

    The lock is the kernel's, on an open file: a holder that crashes releases it.
    """
    path = lock_file(device)
    about = path.with_suffix(".holder")
    lock = FileLock(path)
    waited = Waited()
    began = time.monotonic()
    told = -_SAY_SECONDS
    while True:
        try:
            lock.acquire(blocking=False)
            break
        except Timeout:
            waited.seconds = time.monotonic() - began
        if waited.seconds - told >= _SAY_SECONDS:
            told = waited.seconds
            detail = f"{device} is in use by {_holder(about)}; waited {told:.0f} s"
            progress(EvaluationProgress(stage="waiting", state="started", detail=detail))
        await asyncio.sleep(_POLL_SECONDS)
    try:
        if waited.seconds:
            progress(EvaluationProgress(stage="waiting", state="finished", seconds=waited.seconds))
        about.write_text(f"process {os.getpid()}")
        yield waited
    finally:
        lock.release()


def _holder(path: Path) -> str:
    try:
        return path.read_text()[:80] or "another process"
    except OSError:
        return "another process"
