"""House rules for all of avo_tui: nothing grows beyond what a person reads at once."""

import ast
from functools import cache
from pathlib import Path

import avo_tui

METHODS, LINES, PARAMETERS, MODULE_LINES = 40, 60, 10, 800
ROOT = Path(avo_tui.__file__).parent
Function = ast.FunctionDef | ast.AsyncFunctionDef
WIDGETS = {"LineageView", "LongView", "CursorList", "PickList"}
"""Widgets that extend `LinesView`, a widget in its own right: their own methods are counted."""
VAGUE = {"found", "at", "said", "place", "made"}
"""Names for local variables that do not say what they hold."""
LIMITS = {"deadline", "monotonic", "most", "end", "length"}
"""Names in a loop by which it ends."""


class Survey(ast.NodeVisitor):
    """What the rules look at, of all modules. Only names and numbers are kept: whole syntax trees
    of a thousand files would cost seconds of garbage collection.
    """

    def __init__(self) -> None:
        self.long_functions: set[str] = set()
        self.many_parameters: set[str] = set()
        self.vague_names: set[str] = set()
        self.long_modules: set[str] = set()
        self.methods: dict[str, set[str]] = {}
        """Of each class, as `key` names it: its own methods."""
        self.bases: dict[str, list[str]] = {}
        self._path = ""
        self._functions: list[str] = []
        """Those around what is looked at, the innermost last."""

    def look_at(self, path: Path) -> None:
        """Take in a module."""
        text = path.read_text()
        self._path = path.relative_to(ROOT).as_posix()
        if len(text.splitlines()) > MODULE_LINES:
            self.long_modules.add(self._path)
        self.visit(ast.parse(text))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        # Classes of the same name in other packages are other classes; mixins of the screens are
        # inherited across modules.
        key = node.name if self._path.startswith("ui/") else f"{self._path}: {node.name}"
        self.methods[key] = {n.name for n in node.body if isinstance(n, Function)}
        self.bases[key] = [name_of(base) for base in node.bases]
        self.generic_visit(node)

    def visit_FunctionDef(self, node: Function) -> None:
        name = f"{self._path}: {node.name}"
        command = is_command(name, node)
        first = node.body[0] if command else node
        if (node.end_lineno or 0) - first.lineno + 1 > LINES:
            self.long_functions.add(name)
        arguments = node.args
        taken = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        if len([a for a in taken if a not in {"self", "cls"}]) > PARAMETERS and not command:
            self.many_parameters.add(name)
        self._functions.append(name)
        self.generic_visit(node)
        self._functions.pop()

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Name(self, node: ast.Name) -> None:
        if self._functions and isinstance(node.ctx, ast.Store) and node.id in VAGUE:
            self.vague_names.add(f"{self._functions[-1]} assigns {node.id!r}")


@cache
def survey() -> Survey:
    """Of all of avo_tui."""
    result = Survey()
    for path in sorted(ROOT.rglob("*.py")):
        result.look_at(path)
    return result


def is_command(name: str, function: Function) -> bool:
    """Whether typer reads the function's parameters as options of the command line."""
    arguments = (*function.args.args, *function.args.kwonlyargs)
    return name.startswith("cli/") and any(
        "Annotated" in ast.dump(a.annotation) or "Json" in ast.dump(a.annotation)
        for a in arguments
        if a.annotation is not None
    )


def name_of(base: ast.expr) -> str:
    if isinstance(base, ast.Subscript):
        return name_of(base.value)
    return base.id if isinstance(base, ast.Name) else ""


def with_too_many_methods(methods: dict[str, set[str]], bases: dict[str, list[str]]) -> list[str]:
    """Classes with more than METHODS methods, inherited ones included."""

    def inherited(name: str) -> set[str]:
        out = set(methods.get(name, ()))
        if name not in WIDGETS:
            for base in bases.get(name, ()):
                out |= inherited(base)
        return out

    counts = {name: len(inherited(name)) for name in methods}
    return [f"{name}: {count}" for name, count in counts.items() if count > METHODS]


def test_nothing_grows_beyond_what_a_person_reads() -> None:
    """One test, as every process that runs a part of it has to read all modules."""
    everything = survey()
    crowded = with_too_many_methods(everything.methods, everything.bases)
    assert not crowded, f"more than {METHODS} methods"
    assert not everything.long_functions, f"more than {LINES} lines"
    assert not everything.many_parameters, f"more than {PARAMETERS} parameters"
    assert not everything.long_modules, f"more than {MODULE_LINES} lines"
    assert not everything.vague_names, "local names that do not say what they hold"


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


def loops_without_an_end(source: str) -> list[int]:
    """Lines of loops that may wait, with neither a limit of time nor `# ends: WHY` beside them."""
    lines = source.splitlines()
    found: list[int] = []

    def names(node: ast.AST) -> set[str]:
        return {
            n.attr if isinstance(n, ast.Attribute) else n.id
            for n in ast.walk(node)
            if isinstance(n, ast.Attribute | ast.Name)
        }

    def walk(node: ast.AST, *, limited: bool) -> None:
        if isinstance(node, Function):
            limited = False
        if isinstance(node, ast.With | ast.AsyncWith):
            limited |= any("timeout" in names(item.context_expr) for item in node.items)
        if isinstance(node, ast.While) and not limited:
            asks = isinstance(node.test, ast.Constant) or any(
                isinstance(n, ast.Call) for n in ast.walk(node.test)
            )
            asks |= any(isinstance(n, ast.Await) for n in ast.walk(node))
            if asks and not names(node) & LIMITS and "# ends: " not in lines[node.lineno - 1]:
                found.append(node.lineno)
        for child in ast.iter_child_nodes(node):
            walk(child, limited=limited)

    walk(ast.parse(source), limited=False)
    return found


def test_every_loop_of_a_test_has_an_end_that_comes() -> None:
    """A fault of the product then fails a test, and does not hang the suite."""
    tests = ROOT.parent.glob("tests/**/*.py"), ROOT.parent.glob("plugins/*/tests/**/*.py")
    endless = [
        f"{p}:{n}" for paths in tests for p in paths for n in loops_without_an_end(p.read_text())
    ]
    assert not endless, "tests.waiting has loops with a limit"
    assert loops_without_an_end("while True:\n    step()") == [1]
    assert loops_without_an_end("while not told():\n    pass") == [1]
    assert not loops_without_an_end("with timeout(3):\n    while True:\n        step()")
