"""What the first picture of the app needs, and above all what it does not import."""

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import avo_tui
from tests.shipped import shipped_sessions

ROOT = Path(avo_tui.__file__).parent

NOT_NEEDED = (
    "anthropic",
    "attr",
    "avo_tui.campaign",
    "avo_tui.domain.campaigns",
    "avo_tui.evaluation",
    "avo_tui.evolution",
    "avo_tui.export",
    "avo_tui.knowledge",
    "avo_tui.operators",
    "avo_tui.store.campaigns",
    "avo_tui.store.doctor",
    "avo_tui.store.listing",
    "avo_tui.store.writer",
    "avo_tui.ui.dialogs.steering",
    "avo_tui.ui.dialogs.frame",
    "avo_tui.ui.screens.sessions",
    "cuda",
    "httpx2",
    "mcp",
    "numpy",
    "psutil",
    "pydantic_settings",
    "rich.traceback",
    "textual.widgets._text_area",
    "torch",
    "yaml",
)
"""Modules, each with those below it, that no part of the first picture shows or does."""

FIRST_PICTURE = """
import asyncio, json, sys
from pathlib import Path
from avo_tui.cli import main
from avo_tui.cli.main import run
from avo_tui.cli.app import services
from avo_tui.ui.app import AvoApp
from avo_tui.ui.host import HostOptions

async def paint():
    app = AvoApp(HostOptions(services=services()), folder=Path(sys.argv[1]))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert app.screen.id != "_default", app.screen
        print(json.dumps(sorted(sys.modules)))

asyncio.run(paint())
"""


def test_the_first_picture_imports_only_what_it_shows() -> None:
    """A run's screen stands before anything else of the program is loaded."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PICTURE, str(shipped_sessions()[0])],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stdout.splitlines()[-1])
    assert "avo_tui.ui.screens.run.screen" in modules
    needless = [m for m in modules if any(m == n or m.startswith(f"{n}.") for n in NOT_NEEDED)]
    assert not needless


@pytest.mark.parametrize("package", ["avo_tui.store", "avo_tui.ui.dialogs", "avo_tui.ui.screens"])
def test_names_on_demand_are_those_that_type_checkers_see(package: str) -> None:
    """Each name is given by the module that it is imported from under TYPE_CHECKING."""
    module = import_module(package)
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imports = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{package}.")
        for alias in node.names
    }
    for name, source in imports.items():
        assert getattr(module, name) is getattr(import_module(str(source)), name)
    modules = {str(source).rpartition(".")[2] for source in imports.values()}
    assert not modules & set(imports), "importing the module would replace the name"


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'avo_tui.store' has no attribute 'Nothing'"):
        import_module("avo_tui.store").Nothing  # noqa: B018
    with pytest.raises(ImportError):
        exec("from avo_tui.store import Nothing")
