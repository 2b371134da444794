"""The checks of the machine that `avo doctor` makes."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata

from avo_tui.cli.opening import default_operator, with_defaults
from avo_tui.config_place import config_file
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evaluation.backends import registry as backends
from avo_tui.evaluation.doctor import examine_sandbox
from avo_tui.evaluation.ports import BrokenTask, EvaluatorError
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.evaluation.workers import dask, dask_slurm, ssh
from avo_tui.operators import registry as operators
from avo_tui.operators.agent.model.probe import probe
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.settings import settings
from avo_tui.store import own_root

Row = dict[str, object]


def check_machine() -> list[Row]:
    """Every check, each with level ok, warn or fail, what it is about and one sentence."""
    rows: list[Row] = []
    for check in (
        _python,
        _torch,
        _backends,
        _sandbox,
        _evaluators,
        _tasks,
        _sessions,
        _settings,
        _operators,
    ):
        try:
            rows.extend(check())
        except Exception as error:  # a check that fails must not hide the others
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


def _torch() -> Iterator[Row]:
    try:
        yield _row("ok", "torch", f"torch {metadata.version('torch')}")
    except metadata.PackageNotFoundError:
        yield _row("fail", "torch", "torch is not installed; references and baselines need it")


def _backends() -> Iterator[Row]:

    for language in backends.languages():
        try:
            backend = backends.descriptor(language)
            findings = backend.examine()
        except EvaluatorError as error:
            yield _row("warn", "backend", str(error))
        except Exception as error:  # an installed backend must not hide the other answers
            yield _row("fail", "backend", f"{language}: {type(error).__name__}: {error}")
        else:
            yield _row("ok", "backend", f"{language}: {backend.label}")
            for finding in findings:
                yield _row(finding.state, finding.name, finding.text)


def _sandbox() -> Iterator[Row]:

    finding = asyncio.run(examine_sandbox(settings().allow_weak_sandbox))
    yield _row(finding.state, "sandbox", finding.text)


def _evaluators() -> Iterator[Row]:
    """Whether devices beside this machine's own could be used; none is asked."""
    for scheme, site in (("ssh", ssh), ("dask", dask), ("dask+slurm", dask_slurm)):
        yield _row("ok", "evaluator", f"{scheme}://: {site.what_is_missing() or 'can be used'}")


def _tasks() -> Iterator[Row]:

    tasks_here = find_tasks()
    listing = list(tasks_here.listing())
    sound = [item.name for item in listing if not isinstance(item, BrokenTask)]
    yield _row("ok" if sound else "fail", "tasks", ", ".join(sound) or "there are none")
    for item in listing:
        if isinstance(item, BrokenTask):
            yield _row("warn", "tasks", f"{item.name} does not load: {item.error}")


def _sessions() -> Iterator[Row]:

    root, origin = own_root().folder, own_root().origin
    existing = root
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if os.access(existing, os.W_OK | os.X_OK):
        free = shutil.disk_usage(existing).free / 2**30
        level = "ok" if free > 1 else "warn"
        yield _row(level, "sessions", f"new ones go to {root} ({origin}); {free:.1f} GiB free")
    else:
        yield _row(
            "fail", "sessions", f"{existing} cannot be written; set AVO_SESSIONS to a folder"
        )


def _settings() -> Iterator[Row]:

    settings()
    default_operator()  # one that the settings name has to be there
    there = "read" if config_file().exists() else "not there, defaults hold"
    yield _row("ok", "settings", f"{config_file()}: {there}")


def _operators() -> Iterator[Row]:

    for operator in operators.offer():
        why = operator.unavailable()
        sentence = f"{operator.name}: {why or operator.label}"
        yield _row("warn" if why else "ok", "operator", sentence)
    for sentence in operators.broken():
        yield _row("warn", "operator", sentence)


def check_model() -> Iterator[Row]:
    """What the agent's endpoint supports and costs, from one small question to it."""
    settings = AgentSettings.of(with_defaults(RunSettings(operator="agent")))
    for answer in asyncio.run(probe(settings)):
        yield _row(answer.state, "model", answer.sentence)
