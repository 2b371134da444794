"""House rules for all of avo_tui: nothing grows beyond what a person reads at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import avo_tui

METHODS, LINES, PARAMETERS, MODULE_LINES = 30, 60, 7, 400
ROOT = Path(avo_tui.__file__).parent
Function = ast.FunctionDef | ast.AsyncFunctionDef
WIDGETS = {"LineageView", "LongView", "AttemptTable", "PickList", "SessionList"}
"""Widgets that extend `LinesView`, a widget in its own right: their own methods are counted."""
VAGUE = {"found", "at", "said", "place", "made"}
"""Names for local variables that do not say what they hold."""


@cache
def modules() -> dict[str, ast.Module]:
    """Path below avo_tui → the parsed module."""
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
        for path in sorted(ROOT.rglob("*.py"))
    }


def functions() -> Iterator[tuple[str, Function]]:
    """(path and name, function), of all functions and methods."""
    for path, module in modules().items():
        for node in ast.walk(module):
            if isinstance(node, Function):
                yield f"{path}: {node.name}", node


def is_command(name: str, function: Function) -> bool:
    """Whether typer reads the function's parameters as options of the command line."""
    arguments = (*function.args.args, *function.args.kwonlyargs)
    return name.startswith("cli/") and any(
        "Annotated" in ast.dump(a.annotation) or "Json" in ast.dump(a.annotation)
        for a in arguments
        if a.annotation is not None
    )


def test_no_class_has_more_than_thirty_methods() -> None:
    methods: dict[str, set[str]] = {}
    bases: dict[str, list[str]] = {}
    for path, module in modules().items():
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef):
                own = {n.name for n in node.body if isinstance(n, Function)}
                # Classes of the same name in other packages are other classes; mixins of the
                # screens are inherited across modules.
                key = node.name if path.startswith("ui/") else f"{path}: {node.name}"
                methods[key] = own
                bases[key] = [name_of(base) for base in node.bases]

    def inherited(name: str) -> set[str]:
        out = set(methods.get(name, ()))
        if name not in WIDGETS:
            for base in bases.get(name, ()):
                out |= inherited(base)
        return out

    counts = {name: len(inherited(name)) for name in methods}
    assert not {name: count for name, count in counts.items() if count > METHODS}


def name_of(base: ast.expr) -> str:
    if isinstance(base, ast.Subscript):
        return name_of(base.value)
    return base.id if isinstance(base, ast.Name) else ""


def test_functions_are_short() -> None:
    long = set()
    for name, function in functions():
        first = function.body[0] if is_command(name, function) else function
        if (function.end_lineno or 0) - first.lineno + 1 > LINES:
            long.add(name)
    assert not long


def test_functions_take_few_parameters() -> None:
    many = set()
    for name, function in functions():
        arguments = function.args
        taken = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        count = len([a for a in taken if a not in {"self", "cls"}])
        if count > PARAMETERS and not is_command(name, function):
            many.add(name)
    assert not many


def test_modules_are_short() -> None:
    long = {
        path for path in modules() if len((ROOT / path).read_text().splitlines()) > MODULE_LINES
    }
    assert not long


def test_local_names_say_what_they_hold() -> None:
    vague = {
        f"{name} assigns {node.id!r}"
        for name, function in functions()
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in VAGUE
    }
    assert not vague


def test_no_file_keeps_the_marks_of_a_merge() -> None:
    marks = ("<" * 7 + " ", ">" * 7 + " ")
    folders = [
        ROOT.parent / name for name in ("docs", "kernels", "knowledge", "tests", "benchmarks")
    ]
    texts = (
        path
        for folder in (ROOT, *folders)
        for path in folder.rglob("*")
        if path.suffix in {".md", ".py", ".toml", ".cu", ".cpp", ".h", ".tcss"}
    )
    kept = [
        path.name for path in texts if any(f"\n{mark}" in path.read_text("utf-8") for mark in marks)
    ]
    assert not kept
