"""Importing a package brings in no more than it may: checked in a process of its own."""

import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "cuda", "anthropic", "textual", "numpy", "tinydb", "typer")

ALLOWED: dict[str, set[str]] = {
    "avo_tui.domain.state": set(),
    "avo_tui.domain.commands": set(),
    "avo_tui.knowledge": set(),
    "avo_tui.evaluation": set(),
    "avo_tui.evaluation.evaluators": set(),
    "avo_tui.operators.ports": set(),
    "avo_tui.operators.tuner": set(),
    "avo_tui.store": {"tinydb"},
    "avo_tui.export": {"tinydb"},
    "avo_tui.evolution": {"tinydb"},
    "avo_tui.cli": {"typer", "tinydb"},
    "avo_tui.ui.session.feed": {"typer", "tinydb"},
    "avo_tui.ui.session.replay": {"typer", "tinydb"},
    "avo_tui.ui.theme": {"typer", "tinydb", "textual"},
    "avo_tui.ui.host": {"typer", "tinydb", "textual"},
    "avo_tui.ui.connection": {"typer", "tinydb", "textual"},
    "avo_tui.ui.app": {"typer", "tinydb", "textual", "numpy"},
}
"""Each may bring in what those before it may: so one process can import them in this order."""


@cache
def imported() -> dict[str, set[str]]:
    """What heavy there is after each import."""
    code = (
        "import importlib, json, sys\n"
        f"for name in {list(ALLOWED)!r}:\n"
        "    importlib.import_module(name)\n"
        f"    print(json.dumps([name, [m for m in {HEAVY!r} if m in sys.modules]]))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=400
    )
    return {name: set(heavy) for name, heavy in map(json.loads, result.stdout.splitlines())}


@pytest.mark.parametrize("module", ALLOWED)
def test_import_is_light(module: str) -> None:
    assert imported()[module] <= ALLOWED[module]


def test_what_is_allowed_only_grows() -> None:
    """Else the import of one module would hide what a later one brings in."""
    allowed = list(ALLOWED.values())
    assert all(one <= following for one, following in pairwise(allowed))


def test_the_domain_is_walled_off_from_every_dependency() -> None:
    """A new dependency has to be named in the contract, or the domain could import it."""
    names = {"genai-prices": "genai_prices", "markdown-it-py": "markdown_it", "pyyaml": "yaml"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    walled = next(c for c in contracts if c.get("source_modules") == ["avo_tui.domain"])
    declared = {
        re.split(r"[\[<>=~! ]", line, maxsplit=1)[0] for line in project["project"]["dependencies"]
    }
    modules = {names.get(name, name.replace("-", "_")) for name in declared}
    assert modules - {"pydantic", "pydantic_core"} <= set(walled["forbidden_modules"])
