"""The texts of the program that a person may be shown, as its modules hold them."""

import ast
from pathlib import Path


def texts_of(path: Path, filled: str = "X") -> list[str]:
    """The texts of a module, with `filled` for what is filled in; docstrings are none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts: list[str] = []
    parts: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts.update(node.values)
            inner = (v.value if isinstance(v, ast.Constant) else filled for v in node.values)
            texts.append("".join(map(str, inner)))
        elif isinstance(node, ast.Expr):
            parts.add(node.value)
    plain = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and n not in parts]
    return [*texts, *(text for text in plain if isinstance(text, str))]
