"""The house rules of the screens: nothing grows beyond what a person reads at once."""

from __future__ import annotations

import ast
from pathlib import Path

import avo_tui.ui as ui

METHODS, LINES, PARAMETERS = 30, 60, 7
ROOT = Path(ui.__file__).parent
WIDGETS = {"LineageView", "LongView", "AttemptTable", "PickList", "SessionList"}
"""Widgets that extend `LinesView`, a widget in its own right: their own methods are counted."""


def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in ROOT.rglob("*.py")}


def name_of(base: ast.expr) -> str:
    if isinstance(base, ast.Subscript):
        return name_of(base.value)
    return base.id if isinstance(base, ast.Name) else ""


def test_no_class_has_more_than_thirty_methods() -> None:
    methods: dict[str, set[str]] = {}
    bases: dict[str, list[str]] = {}
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                own = (
                    n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
                )
                methods[node.name] = {n.name for n in own}
                bases[node.name] = [name_of(base) for base in node.bases]

    def inherited(name: str) -> set[str]:
        out = set(methods.get(name, ()))
        if name not in WIDGETS:
            for base in bases.get(name, ()):
                out |= inherited(base)
        return out

    counts = {name: len(inherited(name)) for name in methods}
    assert not {name: count for name, count in counts.items() if count > METHODS}


def test_no_function_is_long_or_takes_much() -> None:
    wrong = []
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            taken = [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]
            count = len([a for a in taken if a not in {"self", "cls"}])
            # The app takes what the command line gives, by name.
            if lines > LINES or (count > PARAMETERS and path.name != "app.py"):
                wrong.append(f"{path.name}: {node.name} has {lines} lines, {count} parameters")
    assert not wrong


def test_modules_are_short() -> None:
    long = {p.name: n for p in ROOT.rglob("*.py") if (n := len(p.read_text().splitlines())) > 400}
    assert not long
