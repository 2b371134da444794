"""Importing a package brings in no more than it may: checked in a process of its own."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "cuda", "anthropic", "textual", "numpy", "tinydb", "typer")


def imported_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(result.stdout.split())


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("avo_tui.domain.state", set()),
        ("avo_tui.domain.commands", set()),
        ("avo_tui.store", {"tinydb"}),
        ("avo_tui.knowledge", set()),
        ("avo_tui.evaluation", set()),
        ("avo_tui.evaluation.client", set()),
        ("avo_tui.operators.ports", set()),
        ("avo_tui.operators.tuner", set()),
        ("avo_tui.evolution", {"tinydb"}),
        ("avo_tui.cli", {"typer", "tinydb"}),
    ],
)
def test_import_is_light(module: str, allowed: set[str]) -> None:
    assert imported_by(module) <= allowed


def test_the_app_needs_no_torch_and_no_model() -> None:
    assert not imported_by("avo_tui.ui.app") & {"torch", "anthropic", "cuda"}
