"""Commands that the documentation names are there, with the options it gives them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer import BadParameter, Context, Exit
from typer.main import get_command

from avo_tui.cli.main import app
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evolution.options import known_options
from avo_tui.operators import registry
from tests.program_texts import texts_of

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
PROGRAM: Any = get_command(app)


WRONG_USE: type[Any] = BadParameter.__mro__[2]
ABBREVIATED = re.compile("requires an argument|Missing|does not exist")
"""What a sentence leaves out: the session's name, an option's value; files that are not here."""


def commands_of(text: str) -> list[str]:
    """`avo …` in code spans and on the lines of code blocks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
    told = [line.strip().removeprefix("$ ") for line in [*lines, *spans]]
    return [line for line in told if re.match(r"avo( |$)", line)]


def fault(command: str) -> str:
    """What is wrong with a command; "" for nothing."""
    command = re.sub(r"\[[^\]]*\]", "", re.split(r" [|>&]|;| #|…", command)[0])
    try:
        words = shlex.split(command)[1:]
    except ValueError:
        return ""  # a quote that goes on below
    node, seen = PROGRAM, "avo"
    while words and hasattr(node, "commands") and not words[0].startswith("-"):  # ends: by words
        if not re.fullmatch(r"[a-z][a-z-]*", words[0]):
            return ""  # a placeholder
        if words[0] not in node.commands:
            return f"there is no command {seen} {words[0]}"
        seen, node, words = f"{seen} {words[0]}", node.commands[words[0]], words[1:]
    if hasattr(node, "commands") or not words:
        return ""  # a group, or a command's name alone
    try:
        node.make_context(seen, words, parent=Context(PROGRAM, info_name="avo")).close()
    except Exit:
        return ""  # --help
    except WRONG_USE as error:
        told = error.format_message()
        return "" if ABBREVIATED.search(told) else f"{seen}: {told}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_parses(page: Path) -> None:
    faults = {c: fault(c) for c in commands_of(page.read_text(encoding="utf-8")) if fault(c)}
    assert not faults


def test_a_fault_is_found() -> None:
    text = (
        "`avo nonesuch demo`, `avo export demo --as git`, `avo pause demo --when soon`\n"
        "```\navo status demo --jason\navo status a b\n```\n"
    )
    found = {command: fault(command) for command in commands_of(text)}
    assert "No such option: --jason" in found["avo status demo --jason"]
    assert "unexpected extra argument" in found["avo status a b"]
    assert found["avo nonesuch demo"] == "there is no command avo nonesuch"
    assert "'soon' is not one of" in found["avo pause demo --when soon"]
    assert not found["avo export demo --as git"]


OPTION = re.compile(
    r"`(?:--set )?((?:agent|tuner|supervisor|memory|disk|audit|seat|acp|external)\.[a-z_]+)[`=]"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_option_of_a_run_can_be_set(page: Path) -> None:
    operators = [operator.name for operator in registry.offer()]
    known = {o.name for name in operators for o in known_options(RunSettings(operator=name))}
    named = set(OPTION.findall(page.read_text(encoding="utf-8")))
    absent = tuple(f"{name}." for name in registry.OPERATORS.missing())
    assert not {option for option in named - known if not option.startswith(absent)}


MODULES = [
    path
    for path in [*(ROOT / "avo_tui").rglob("*.py"), *(ROOT / "plugins").glob("*/src/**/*.py")]
    if re.search(r"\bavo [a-z]", path.read_text(encoding="utf-8"))
]


def advised(text: str) -> list[str]:
    """The commands that a text names: whole between marks, and elsewhere as far as words go."""
    whole = re.findall(r"`(avo [^`\n]+)`", text)
    rest = re.sub(r"`[^`\n]+`", "", text)
    open_end = re.findall(r"\b(avo [a-z][\w-]*(?: (?:[A-Z]+|--[a-z-]+|[a-z]+(?=\b(?!\.))))*)", rest)
    return [*whole, *(command for command in open_end if command.split()[1] in PROGRAM.commands)]


def loose_fault(command: str) -> str:
    """As `fault`, of a command in prose: what follows its last option may be words."""
    words, why = command.split(), ""
    for end in range(len(words), 1, -1):
        why = fault(" ".join(words[:end]))
        if not why or words[end - 1].startswith("--") or why.startswith("there is no"):
            break
    return why


def test_every_command_that_the_program_advises_parses() -> None:
    named = {c: path.name for path in MODULES for text in texts_of(path) for c in advised(text)}
    assert len(named) > 80
    faults = {f"{path}: {c}": why for c, path in named.items() if (why := loose_fault(c))}
    assert not faults
