"""Nothing is decided, and nothing said, by scores of different runs beside each other.

The ratio of a score to its baseline moves by a quarter with what else the machine does, so two
scores of different minutes do not tell which kernel is faster.
"""

import ast
from pathlib import Path

import avo_tui

ROOT = Path(avo_tui.__file__).parent

EXCEPTIONS = {
    "domain/gate_rules.py: scores_bear_out": "asks for more pairs, decides nothing",
    "domain/changes.py: change_between": "marked as of separate runs wherever it is shown",
    "domain/changes.py: difference": "of a person's own question, with its noise",
    "domain/lineage.py: _better": "only where no measurements in turn join the two",
    "domain/campaigns.py: migrant": "which version another line is offered; its gate decides",
    "domain/gate_plan.py: begins": "guesses what is measured in advance; refuses nobody",
    "operators/tuner/tuner.py: _decide": "which of its tries the tuner submits; refuses none",
}
"""Function that puts two scores beside each other → why it may."""


def _of_a_score(node: ast.expr) -> bool:
    return any(
        (isinstance(n, ast.Attribute) and n.attr == "aggregate")
        or (isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "_ratio")
        for n in ast.walk(node)
    )


def _beside(node: ast.AST) -> bool:
    """Whether two scores are divided, subtracted or compared here."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Sub):
        return _of_a_score(node.left) and _of_a_score(node.right)
    if isinstance(node, ast.Compare):
        return _of_a_score(node.left) and any(map(_of_a_score, node.comparators))
    return False


def test_scores_of_different_runs_are_put_beside_each_other_in_few_places() -> None:
    found = set()
    for path in ROOT.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if any(_beside(node) for node in ast.walk(function)):
                found.add(f"{path.relative_to(ROOT).as_posix()}: {function.name}")
    assert found <= set(EXCEPTIONS), found - set(EXCEPTIONS)


def test_the_walk_finds_a_comparison() -> None:
    assert _beside(ast.parse("new.score.aggregate / best.aggregate - 1", mode="eval").body.left)  # type: ignore[attr-defined]
    assert _beside(ast.parse("a.aggregate < b.aggregate * 2", mode="eval").body)
