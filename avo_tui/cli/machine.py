"""Commands about this machine: tasks, operators, doctor."""

import asyncio
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Annotated

from typer import Argument, BadParameter, Exit, Option, Typer

from avo_tui.cli.opening import default_operator, with_defaults
from avo_tui.cli.parameters import Json, session_names
from avo_tui.cli.terminal import emit, say, table, tell
from avo_tui.config_place import config_file
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.task import TaskInfo
from avo_tui.evaluation.backends import registry as backends
from avo_tui.evaluation.doctor import examine_sandbox
from avo_tui.evaluation.evaluators import LOCAL, SITES
from avo_tui.evaluation.ports import BrokenTask, EvaluatorError
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.operators import registry
from avo_tui.operators.agent.model.probe import probe
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.plugins import PluginError
from avo_tui.settings import settings
from avo_tui.store import find_session, own_root
from avo_tui.store.doctor import diagnose

app = Typer()
KEPT = "what could not be mended is kept as it is; a copy of the session may have it"
Row = tuple[str, str, str]
"""Level (ok, warn or fail), what it is about, one sentence."""


@app.command(epilog="Example: avo tasks")
def tasks(as_json: Json = False) -> None:
    """List the tasks; a broken one is named with its error."""
    tasks_here = find_tasks()
    listing = [(item, tasks_here.root(item.name)) for item in tasks_here.listing()]
    if as_json:
        documents: dict[str, list[dict[str, object]]] = {"tasks": [], "broken": []}
        for item, root in listing:
            kind = "broken" if isinstance(item, BrokenTask) else "tasks"
            documents[kind].append({**item.model_dump(mode="json"), "origin": root.origin})
        emit(documents)
        return
    rows = []
    for item, root in listing:
        if isinstance(item, TaskInfo):
            count = str(len(item.configurations))
            rows.append([item.name, item.language, item.device, count, root.origin, item.title])
        elif root.trusted:
            rows.append([item.name, "broken", "", "", root.origin, item.error])
    if rows:
        table(rows, ["task", "language", "device", "configurations", "from", "title"])
    else:
        say("there are no tasks; `avo task new NAME` makes one")
    for folder, names in tasks_here.untrusted.items():
        tell(
            f"{folder} ({', '.join(names)}) is code that was not trusted yet: look at it, then "
            f"avo task trust {folder}"
        )


@app.command(epilog="Example: avo operators")
def operators(as_json: Json = False) -> None:
    """List what can make the steps; one that cannot be used here says why."""
    offered = [(d, d.unavailable()) for d in registry.offer()]
    broken = list(registry.broken())
    if as_json:
        rows = [
            {"name": d.name, "label": d.label, "unavailable": why, "models": list(d.models)}
            for d, why in offered
        ]
        emit({"operators": rows, "broken": broken})
        return
    table([[d.name, why or d.label] for d, why in offered], ["operator", "what it is"])
    tell(*(f"broken: {sentence}" for sentence in broken))


@app.command(epilog="Example: avo doctor demo --repair")
def doctor(
    name: Annotated[
        str | None,
        Argument(
            help="A session; without one the machine is checked.", autocompletion=session_names
        ),
    ] = None,
    repair: Annotated[bool, Option("--repair", help="Mend what can be mended.")] = False,
    model: Annotated[
        bool, Option("--model", help="Ask the agent's model one small question.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a session, or the machine: compiler, GPU, sandbox, key; or the agent's model."""
    if model and (name is not None or repair):
        raise BadParameter("asks the model alone", param_hint="--model")
    if name is None and repair:
        raise BadParameter("name the session to repair", param_hint="--repair")
    rows: list[tuple[str, str, str, bool]]
    if name is not None:
        findings = diagnose(find_session(name), repair)
        rows = [(f.level, f.what, f.sentence, f.repaired) for f in findings]
    else:
        rows = [(*row, False) for row in (check_model() if model else check_machine())]
    if as_json:
        keys = ("level", "what", "sentence", "repaired")
        forms = [dict(zip(keys, row, strict=True)) for row in rows]
        emit({"session": name, "findings": forms})
    marks = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
    for level, what, sentence, done in rows:
        if not as_json:
            say(f"{marks[level]}  {what}: {sentence}{' (mended)' if done else ''}")
    left = {level for level, _, _, done in rows if not done}
    if name is not None and left != {"ok"} and not as_json:
        say(KEPT if repair else f"`avo doctor {name} --repair` mends what can be mended")
    if "fail" in left:
        raise Exit(1)


def check_machine() -> Iterator[Row]:
    for check in (
        _python, _torch, _backends, _sandbox, _evaluators, _tasks, _sessions, _settings, _operators,
        _pictures,
    ):  # fmt: skip
        try:
            yield from (_row(*finding) for finding in check())
        except Exception as error:  # a check that fails must not hide the others
            why = f"the check failed: {type(error).__name__}: {error}"
            yield _row("fail", check.__name__.strip("_"), why)


def _row(level: str, what: str, sentence: str) -> Row:
    return level, what, " ".join(sentence.split())


def check_model() -> Iterator[Row]:
    """What the agent's endpoint supports and costs, from one small question to it."""
    agent = AgentSettings.of(with_defaults(RunSettings(operator="agent")))
    for answer in asyncio.run(probe(agent)):
        yield _row(answer.state, "model", answer.sentence)


def _python() -> Iterator[Row]:
    good = sys.version_info >= (3, 11)
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    needed = "" if good else "; 3.11 or newer is needed"
    sentence = f"Python {platform.python_version()} on {system}{needed}"
    yield "ok" if good else "fail", "python", sentence


def _torch() -> Iterator[Row]:
    try:
        yield "ok", "torch", f"torch {metadata.version('torch')}"
    except metadata.PackageNotFoundError:
        yield "fail", "torch", "torch is not installed; references and baselines need it"


def _backends() -> Iterator[Row]:
    for language in backends.BACKENDS.names():
        try:
            backend = backends.descriptor(language)
            findings = backend.examine()
        except EvaluatorError as error:
            yield "warn", "backend", str(error)
        except Exception as error:  # an installed backend must not hide the other answers
            yield "fail", "backend", f"{language}: {type(error).__name__}: {error}"
        else:
            yield "ok", "backend", f"{language}: {backend.label}"
            yield from ((f.state, f.name, f.text) for f in findings)
    yield from (("ok", "backend", text) for text in backends.BACKENDS.missing().values())


def _sandbox() -> Iterator[Row]:
    finding = asyncio.run(examine_sandbox(settings().allow_weak_sandbox))
    yield finding.state, "sandbox", finding.text


def _evaluators() -> Iterator[Row]:
    """Whether devices beside this machine's own could be used; none is asked."""
    for scheme in SITES.names():
        if scheme != LOCAL:
            missing = SITES.get(scheme).what_is_missing()
            yield "ok", "evaluator", f"{scheme}://: {missing or 'can be used'}"
    yield from (("ok", "evaluator", text) for text in SITES.missing().values())


def _tasks() -> Iterator[Row]:
    listing = list(find_tasks().listing())
    sound = [item.name for item in listing if not isinstance(item, BrokenTask)]
    yield "ok" if sound else "fail", "tasks", ", ".join(sound) or "there are none"
    for item in listing:
        if isinstance(item, BrokenTask):
            yield "warn", "tasks", f"{item.name} does not load: {item.error}"


def _sessions() -> Iterator[Row]:
    root, origin = own_root().folder, own_root().origin
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    if os.access(existing, os.W_OK | os.X_OK):
        free = shutil.disk_usage(existing).free / 2**30
        level = "ok" if free > 1 else "warn"
        yield level, "sessions", f"new ones go to {root} ({origin}); {free:.1f} GiB free"
    else:
        sentence = f"{existing} cannot be written; set AVO_SESSIONS to a folder"
        yield "fail", "sessions", sentence


def _settings() -> Iterator[Row]:
    settings()
    try:
        default_operator()
    except PluginError as error:
        yield "fail", "settings", f"{config_file()}: operator: {error}"
        return
    there = "read" if config_file().exists() else "not there, defaults hold"
    yield "ok", "settings", f"{config_file()}: {there}"


def _operators() -> Iterator[Row]:
    for operator in registry.offer():
        why = operator.unavailable()
        yield "warn" if why else "ok", "operator", f"{operator.name}: {why or operator.label}"
    yield from (("warn", "operator", sentence) for sentence in registry.broken())


def _pictures() -> Iterator[Row]:
    """Pillow is of an extra; without it the charts are drawn in cells."""
    there = importlib.util.find_spec("PIL") is not None
    missing = "in cells; as pictures with `pip install 'avo-tui[pictures]'`"
    yield "ok", "charts", "as pictures where the terminal takes them" if there else missing
