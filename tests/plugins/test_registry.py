"""What is said where a package beside avo-tui is not installed, and what such packages may use."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from avo_tui.domain.run_settings import RunSettings
from avo_tui.evaluation import evaluators
from avo_tui.evaluation.backends import registry
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.tasks import find_tasks

ROOT = Path(__file__).parents[2]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """avo-tui without any package beside it."""
    for known in (evaluators.SITES, registry.BACKENDS):
        # An item, not an attribute: where nothing was looked up before, nothing is left behind.
        monkeypatch.setitem(known.__dict__, "_installed", {})


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("scheme", ["dask://node1:8786", "dask+slurm://gpu"])
def test_a_scheme_of_a_package_that_is_not_there(scheme: str) -> None:
    words = r"is a package of its own, which is not installed: pip install .*\./plugins/dask"
    with pytest.raises(ValueError, match=words):
        evaluators.check_evaluator(RunSettings(evaluator=scheme), "cpu")


@pytest.mark.usefixtures("alone")
def test_a_task_in_a_language_of_a_package_that_is_not_there() -> None:
    tasks = find_tasks()
    with pytest.raises(EvaluatorError, match=r"pip install './plugins/gpu_python\[cute\]' in a"):
        tasks.get("mha_forward@cute")
    listed = {item.name for item in tasks.listing()}
    assert "mha_forward" in listed and not listed & {"mha_forward@cute", "mha_forward@triton"}


@pytest.mark.parametrize(
    "package", sorted((ROOT / "plugins").glob("*/src/*")), ids=lambda p: p.name
)
def test_a_package_imports_what_the_page_offers(package: Path) -> None:
    page = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
    section = page.partition("## What a package may import")[2].partition("\n## ")[0]
    offered = tuple(
        f"avo_tui.{name.replace('/', '.')}" for name in re.findall(r"`([\w/]+)`", section)
    )
    imported = {
        node.module
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("avo_tui.")
    }
    assert imported and not {
        m for m in imported if not f"{m}.".startswith(tuple(f"{o}." for o in offered))
    }
