"""docs/troubleshooting.md quotes what the program says: every message is in its source."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
ROW = re.compile(r"^\| `(.+?)` \|", re.MULTILINE)
HOLE = "\0"


@cache
def texts() -> list[str]:
    """Every text of the program; what is put into it while it runs is a hole."""
    every = []
    for path in (ROOT / "avo_tui").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else HOLE for p in node.values)
                every.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                every.append(node.value)
    return every


def in_source(message: str) -> bool:
    """Whether one text has all parts of the message in their order."""
    parts = [re.escape(part.strip()) for part in message.split("…") if part.strip()]
    pattern = re.compile(".*".join(parts), re.DOTALL)
    return any(pattern.search(text) for text in texts())


@pytest.mark.parametrize("message", ROW.findall(PAGE.read_text(encoding="utf-8")))
def test_a_message_is_one_that_the_program_says(message: str) -> None:
    assert in_source(message), message


def test_a_message_that_it_does_not_say_would_be_seen() -> None:
    assert not in_source("there is no … compiler; buy …")
    assert len(ROW.findall(PAGE.read_text(encoding="utf-8"))) > 25
