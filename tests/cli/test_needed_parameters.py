"""A call builds the parameters of its own command only, and nobody sees a difference."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from avo_tui.cli.main import app
from avo_tui.cli.needed_parameters import only

WHOLE: Any = get_command(app)


def said(program: typer.Typer, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(program, list(arguments), prog_name="avo")
    return result.exit_code, result.output


def test_every_command_keeps_its_parameters_and_its_help() -> None:
    assert len(WHOLE.commands) > 40
    for name, command in WHOLE.commands.items():
        program: Any = get_command(only(app, name))
        mine = program.commands[name]
        assert [p.opts for p in mine.params] == [p.opts for p in command.params], name
        assert mine.help == command.help
        within = getattr(command, "commands", {})
        assert list(getattr(mine, "commands", {})) == list(within)
        for inner, whole in within.items():
            assert [p.opts for p in mine.commands[inner].params] == [p.opts for p in whole.params]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["task"], ["nonesuch"], ["runn"]])
def test_what_is_said_is_the_same(arguments: list[str]) -> None:
    called = next((a for a in arguments if not a.startswith("-")), None)
    assert said(only(app, called), *arguments) == said(app, *arguments)


def test_a_command_without_its_parameters_does_nothing() -> None:
    """Called by another way than its name, it fails instead of running with nothing."""
    code, _ = said(only(app, None), "tasks")
    assert code != 0
