"""What `avo doctor` looks at on the machine."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

Row = dict[str, object]


def check_machine() -> list[Row]:
    """Every check, each with level ok, warn or fail, what it is about and one sentence."""
    rows: list[Row] = []
    for check in (
        _python,
        _compiler,
        _torch,
        _gpu,
        _sandbox,
        _tasks,
        _sessions,
        _settings,
        _operators,
    ):
        try:
            rows.extend(check())
        except Exception as error:  # one broken check must not hide the others
            name = check.__name__.strip("_")
            rows.append(_row("fail", name, f"the check failed: {type(error).__name__}: {error}"))
    return rows


def _row(level: str, what: str, sentence: str) -> Row:
    return {"level": level, "what": what, "sentence": " ".join(sentence.split())}


def _python() -> Iterator[Row]:
    version = platform.python_version()
    good = sys.version_info >= (3, 11)
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    sentence = f"Python {version} on {system}" + ("" if good else "; 3.11 or newer is needed")
    yield _row("ok" if good else "fail", "python", sentence)


def _compiler() -> Iterator[Row]:
    found = shutil.which("g++") or shutil.which("c++")
    if found is None:
        yield _row("fail", "compiler", "no g++ found; install it (Debian: apt install g++)")
        return
    done = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20)
    first = (done.stdout.splitlines() or ["?"])[0]
    yield _row("ok" if done.returncode == 0 else "fail", "compiler", f"{found}: {first}")


def _torch() -> Iterator[Row]:
    try:
        yield _row("ok", "torch", f"torch {metadata.version('torch')}")
    except metadata.PackageNotFoundError:
        yield _row("fail", "torch", "torch is not installed; references and baselines need it")


def _gpu() -> Iterator[Row]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        yield _row("warn", "gpu", "no NVIDIA GPU: CUDA tasks compile here and are not measured")
        return
    query = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=20)
    if done.returncode:
        yield _row("warn", "gpu", f"nvidia-smi fails: {done.stderr or done.stdout}")
        return
    for line in done.stdout.splitlines():
        yield _row("ok", "gpu", line)


def _sandbox() -> Iterator[Row]:
    from avo_tui.evaluation.doctor import examine_sandbox
    from avo_tui.settings import settings

    finding = asyncio.run(examine_sandbox(settings().allow_weak_sandbox))
    yield _row(finding.state, "sandbox", finding.text)


def _tasks() -> Iterator[Row]:
    from avo_tui.evaluation.tasks import find_tasks

    found = find_tasks()
    yield _row("ok" if found.sound else "fail", "tasks", ", ".join(found.sound) or "none found")
    for task in found.broken.values():
        yield _row("warn", "tasks", f"{task.name} does not load: {task.error}")


def _sessions() -> Iterator[Row]:
    from avo_tui.store import sessions_roots

    root = sessions_roots()[0]
    place = root
    while not place.exists() and place != place.parent:
        place = place.parent
    if os.access(place, os.W_OK | os.X_OK):
        free = shutil.disk_usage(place).free / 2**30
        level = "ok" if free > 1 else "warn"
        yield _row(level, "sessions", f"new ones go to {root}; {free:.1f} GiB free")
    else:
        yield _row("fail", "sessions", f"{place} cannot be written; set AVO_SESSIONS to a folder")


def _settings() -> Iterator[Row]:
    from avo_tui.settings import config_file, settings

    settings()
    there = "read" if config_file().exists() else "not there, defaults hold"
    yield _row("ok", "settings", f"{config_file()}: {there}")


def _operators() -> Iterator[Row]:
    from avo_tui.operators import registry

    for operator in registry.offer():
        why = operator.unavailable()
        sentence = f"{operator.name}: {why or operator.label}"
        yield _row("warn" if why else "ok", "operator", sentence)
    for sentence in registry.broken():
        yield _row("warn", "operator", sentence)
