"""Commands that the documentation names are there, with the options it gives them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from avo_tui.cli.main import app
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evolution.options import known_options
from avo_tui.operators import registry

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
PROGRAM: Any = get_command(app)


def commands_of(text: str) -> list[str]:
    """`avo …` in code spans and on the lines of code blocks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
    told = [line.strip().removeprefix("$ ") for line in [*lines, *spans]]
    return [line for line in told if re.match(r"avo( |$)", line)]


def fault(command: str) -> str:
    """What is wrong with a command; "" for nothing."""
    command = re.split(r" [|>&]|;| #|…", command)[0]
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
    options = {o for parameter in node.params for o in parameter.opts + parameter.secondary_opts}
    for word in words:
        option = word.partition("=")[0]
        if re.fullmatch(r"--[a-z][a-z-]*", option) and option not in {*options, "--help"}:
            return f"{seen} has no option {option}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_parses(page: Path) -> None:
    faults = {c: fault(c) for c in commands_of(page.read_text(encoding="utf-8")) if fault(c)}
    assert not faults


def test_a_fault_is_found() -> None:
    text = "`avo nonesuch demo`, `avo export demo --as git`\n```\navo status demo --jason\n```\n"
    assert [fault(command) for command in commands_of(text)] == [
        "avo status has no option --jason",
        "there is no command avo nonesuch",
        "",
    ]


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
