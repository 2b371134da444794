"""Which lines of the editable files a command executes: Python by a tracer, C and C++ by gcov."""

# ruff: noqa: E501  the tracer is a program of its own

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from pydantic import TypeAdapter

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.command.project import seeded
from avo_tui.evaluation.backends.command.workshop import Workshop
from avo_tui.evaluation.ports import EvaluatorError

_C = (".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".hh", ".hxx", ".inl")
_SLOWER = 10
"""How many times as long as usual a command may take under a tracer."""
_MOST_SECONDS = 600.0
_WATCH = "watch"
_LARGE_BUILD = 180.0
"""Seconds of a build beyond which it is not made again for this."""
_NAMED = 8
"""Lines that no test executes, named one by one."""
_FLAGS = "--coverage -O1 -g"

# Runs inside the sandbox as `sitecustomize`, in whatever Python the command starts; some tools start
# theirs without the variables of the environment, so what it needs stands in its text.
_TRACER = """
import atexit, json, os, sys, threading
wanted = {k: set() for k in NAMES}
def known(path, memory={}):
    if path not in memory:
        memory[path] = next((wanted[k] for k in wanted
            if path.endswith("/" + k) or (k.startswith(("src/", "lib/")) and path.endswith("/" + k[4:]))), None)
    return memory[path]
def traced(frame, event, argument):
    lines = known(frame.f_code.co_filename)
    if lines is not None:
        lines.add(frame.f_lineno)
        return traced
sys.settrace(traced)
threading.settrace(traced)
def tell():
    with open(os.path.join(os.path.dirname(__file__), "%d.json" % os.getpid()), "w") as file:
        json.dump({k: sorted(v) for k, v in wanted.items() if v}, file)
atexit.register(tell)
"""


_TOLD = TypeAdapter(dict[str, list[int]])


@dataclass(frozen=True)
class Executed:
    """What a command ran of the editable files."""

    lines: Mapping[str, frozenset[int]]
    """File → its lines that were executed."""
    how: str
    """What tells it, such as `gcov`."""


async def executed(shop: Workshop, candidate: Candidate, tests: bool = False) -> Executed | None:
    """The lines of a candidate that the benchmark executes, or the tests; None where no tool can
    tell.

    What fails under a tool is not told.
    """
    lines_of, how = dict[str, set[int]](), list[str]()
    for tool, name, kinds in ((_python, "a tracer", (".py",)), (_gcov, "gcov", _C)):
        if any(file.endswith(kinds) for file in candidate.files):
            try:
                lines = await tool(shop, candidate, tests)
            except (Rejected, EvaluatorError):
                continue
            # A program of another language that starts no Python executes none: that is no answer.
            if lines or (lines is not None and not how and not _compiled(candidate)):
                lines_of |= lines
                how.append(name)
    ran = {
        name: frozenset(numbers) for name, numbers in lines_of.items() if name in candidate.files
    }
    return Executed(ran, " and ".join(how)) if how else None


def _compiled(candidate: Candidate) -> bool:
    return any(name.endswith(_C) for name in candidate.files)


async def _run(
    shop: Workshop, scratch: Path, tests: bool, variables: Mapping[str, str] | None = None
) -> bool:
    """Whether the benchmark, or the tests, came to their end under a tool."""
    stage = shop.project.test if tests else shop.project.benchmark
    command = stage.command if tests else seeded(stage.command)
    limit = min(stage.seconds * _SLOWER, _MOST_SECONDS)
    return (await shop.run(scratch, "the command", command, limit, variables=variables)).ok


async def _python(shop: Workshop, candidate: Candidate, tests: bool) -> dict[str, set[int]] | None:
    names = [name for name in candidate.files if name.endswith(".py")]
    tree = await shop.built(candidate)
    tracer = _TRACER.replace("NAMES", json.dumps(names)).encode()
    async with shop.laid_out(tree, {f"{_WATCH}/sitecustomize.py": tracer}) as scratch:
        root = await shop.root(scratch)
        own = shop.project.environment.variables.get("PYTHONPATH", "")
        path = ":".join(filter(None, [f"{root}/{_WATCH}", own.replace("{tree}", f"{root}/tree")]))
        if not await _run(shop, scratch, tests, {"PYTHONPATH": path}):
            return None
        lines: dict[str, set[int]] = {}
        for file in sorted((scratch / _WATCH).glob("*.json")):
            for name, numbers in _told(file).items():
                lines.setdefault(name, set()).update(numbers)
    return lines


def _told(file: Path) -> dict[str, list[int]]:
    """What the tracer wrote; the candidate's process could write anything there."""
    if file.is_symlink() or not file.is_file():
        return {}
    try:
        return _TOLD.validate_json(file.read_bytes())
    except ValueError:
        return {}


async def _gcov(shop: Workshop, candidate: Candidate, tests: bool) -> dict[str, set[int]] | None:
    if (await shop.built_base()).seconds > _LARGE_BUILD:
        return None
    flags = dict.fromkeys(("CFLAGS", "CXXFLAGS"), _FLAGS) | {"LDFLAGS": "--coverage"}
    async with shop.laid_out(None, candidate=candidate) as scratch:
        build = await shop.build(scratch, variables=flags)
        if not build.ok or not await _run(shop, scratch, tests):
            return None
        tell = "find . -name '*.gcda' -exec gcov --json-format --stdout {} + 2>/dev/null"
        told = await shop.run(scratch, "gcov", tell, 120.0, keep=64 << 20)
        root = await shop.root(scratch)
    lines: dict[str, set[int]] = {}
    for text in told.outcome.stdout.splitlines():
        try:
            document = json.loads(text)
        except ValueError:
            continue
        here = document.get("current_working_directory", "")
        for item in document.get("files", []):
            name = _inside(f"{here}/", str(item.get("file", "")), f"{root}/tree/")
            ran = {ln["line_number"] for ln in item.get("lines", []) if ln.get("count", 0) > 0}
            lines.setdefault(name, set()).update(ran)
    return lines


def _inside(here: str, path: str, tree: str) -> str:
    return os.path.normpath(path if path.startswith("/") else here + path).removeprefix(tree)


def changed_lines(base: Candidate, candidate: Candidate) -> Iterator[tuple[str, int]]:
    """(file, line) of every line that a candidate adds or changes, blank ones and what only has
    another name now apart."""
    renamed = {text for name, text in base.files.items() if name not in candidate.files}
    for name, text in candidate.files.items():
        if text == base.files.get(name) or (name not in base.files and text in renamed):
            continue
        before, after = base.files.get(name, "").splitlines(), text.splitlines()
        for kind, _, _, start, end in SequenceMatcher(None, before, after, False).get_opcodes():
            if kind in {"replace", "insert"}:
                yield from ((name, n + 1) for n in range(start, end) if after[n].strip())


async def sentence(shop: Workshop, candidate: Candidate) -> str:
    """How many of the changed lines the benchmark executes, and which of them no test does: a path
    for the benchmark's inputs alone is among these."""
    ran = await executed(shop, candidate)
    if ran is None:
        return "executed lines: not shown (no tool for this language, or its build takes no flags)"
    changed = list(changed_lines(shop.seed, candidate))
    if not changed:
        return ""
    hit = [(name, line) for name, line in changed if line in ran.lines.get(name, ())]
    told = f"executed by the benchmark: {len(hit)} of {len(changed)} changed lines ({ran.how})"
    tested = await executed(shop, candidate, tests=True) if hit else None
    if tested is None or tested.how != ran.how:
        return told
    alone = [f"{name}:{line}" for name, line in hit if line not in tested.lines.get(name, ())]
    if not alone:
        return f"{told}, each of them by the tests too"
    more = f" and {len(alone) - _NAMED} more" if len(alone) > _NAMED else ""
    return f"{told}, {len(alone)} of them by no test: {', '.join(alone[:_NAMED])}{more}"
