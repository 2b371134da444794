"""The list of commands: each is there, loads when it is called, and its help fits the terminal."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import avo_tui.cli
from avo_tui.cli.commands import SECTIONS, Commands
from tests.cli.command_line import Result

Avo = Callable[..., Result]


def test_every_command_of_every_module_is_listed() -> None:
    listed = Commands()
    for module in pkgutil.iter_modules(avo_tui.cli.__path__):
        if module.name == "__main__":
            continue
        app = vars(importlib.import_module(f"avo_tui.cli.{module.name}")).get("app")
        if not isinstance(app, typer.Typer) or module.name == "main":
            continue
        group: set[str] = set()
        for info in app.registered_commands:
            name = info.name or info.callback.__name__ if info.callback else ""
            group.add(name)
        of_module = {n for n, m in listed.modules.items() if m == f".{module.name}"}
        # a module of single commands has each of them listed; another is one group with a name
        assert of_module == group or (len(of_module) == 1 and not of_module & group), module.name


@pytest.mark.parametrize("name", list(Commands()))
def test_a_command_loads_and_explains_itself(name: str, avo: Avo) -> None:
    told = avo(name, "--help")
    assert told.code == 0 and f"Usage: avo {name}" in told.out


def test_help_fits_eighty_columns_and_cuts_nothing(
    avo: Avo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    told = avo("--help").out
    lines = told.splitlines()
    assert max(map(len, lines)) <= 80
    assert "..." not in told.replace("[ARGS]...", "") and "…" not in told
    for heading, commands in SECTIONS.items():
        assert f"{heading}:" in lines
        for name, (_, line) in commands.items():
            if line:
                assert any(ln.split() == [name, *line.split()] for ln in lines), name
            else:
                assert any(ln.startswith("  and ") and name in ln for ln in lines), name


def test_a_mistyped_command_is_told_the_right_one(avo: Avo) -> None:
    told = avo("statsu")
    assert told.code == 2 and "status" in told.err


COMPLETING = """
import contextlib, io, json, os, sys
from avo_tui.cli.main import run
offered = []
for words in json.load(sys.stdin):
    os.environ |= {"_TYPER_COMPLETE_ARGS": f"avo {words}", "COMP_WORDS": f"avo {words}"}
    os.environ["COMP_CWORD"] = str(len(words.split(" ")))
    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.suppress(SystemExit):
        run([])
    offered.append(told.getvalue().split())
print(json.dumps(offered))
"""


def completed(*lines: str, **environment: str) -> list[list[str]]:
    """What a shell is offered after the words of each line."""
    done = subprocess.run(
        [sys.executable, "-c", COMPLETING],
        env={**os.environ, "_AVO_COMPLETE": "complete_bash", **environment},
        input=json.dumps(lines), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    offered: list[list[str]] = json.loads(done.stdout)
    return offered


def test_names_on_the_line_are_completed(own_places: Path, done: Path) -> None:
    """Sessions, their versions and options, tasks and pages."""
    ((hopper, *_),) = completed("replay mha-hopper", AVO_SESSIONS="")
    assert hopper == "mha-hopper"
    expected = {
        "status do": ["done"],
        "show nonesuch v": [],
        "run attention_cpu --operator t": ["tuner"],
        "export done --as hf": ["hf-kernel"],
        "docs first": ["first-agent", "first-kernel", "first-repository"],
        "set done audit.ev": ["audit.every=", "audit.every=40"],
        "campaign sta": ["status"],
        "clear-": ["clear-hint"],
    }
    among = {
        "show done ": {"best", "head", "v0"},
        "evaluate attention_c": {"attention_cpu"},
        "run mha_f": {"mha_forward"},
        "set done supervisor": {"supervisor.attempts="},
    }
    lines = [*expected, *among, "rewind done v"]
    offered = dict(zip(lines, completed(*lines), strict=True))
    assert {line: offered[line] for line in expected} == expected
    assert all(names <= set(offered[line]) for line, names in among.items()), offered
    versions = [name for name in offered["show done "] if name.startswith("v")]
    assert offered["rewind done v"] == versions


@pytest.mark.parametrize("option", ["--install-completion zsh", "--install-completion=zsh"])
def test_completion_is_installed_for_the_shell_that_is_named(
    option: str, tmp_path: Path, avo: Avo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever shell calls, which typer takes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert avo(*option.split()).code == 0
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {".zfunc/_avo", ".zshrc"}
    assert avo("--show-completion", "fish").out.startswith("complete --command avo")
    assert "tcsh is not supported" in avo("--install-completion", "tcsh").out


def test_completing_a_command_loads_none() -> None:
    code = (
        "import sys, os; sys.argv = ['avo']\n"
        "from avo_tui.cli.main import run\n"
        "try:\n"
        "    run([])\n"
        "finally:\n"
        "    print('avo_tui.cli.control' in sys.modules, file=sys.stderr)\n"
    )
    environment = {"_AVO_COMPLETE": "complete_bash", "COMP_WORDS": "avo re", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert {"replay", "resume", "rewind"} <= set(done.stdout.split())
    assert done.stderr.splitlines()[-1] == "False"


WITHOUT_TORCH = """
import contextlib, io, json, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "torch" or name.startswith("torch."):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, Missing())
from avo_tui.cli.main import run
told = []
for line in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run(line.split())
        except SystemExit as ended:
            code = ended.code
    told.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(told))
"""


def without_torch(*lines: str) -> dict[str, list[Any]]:
    """Each line's exit code, output and errors."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        input=json.dumps(lines), capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(zip(lines, json.loads(done.stdout), strict=True))


def test_who_only_watches_needs_no_torch() -> None:
    told = without_torch(
        "sessions --json",
        "status mha-hopper --json",
        "lineage mha-hopper",
        "show mha-hopper best --diff",
        "attempts mha-hopper",
        "memory mha-hopper",
        "tasks",
        "operators",
        "docs first-kernel",
        "knowledge list",
        "brief mha-hopper",
        "seat attention-cpu-live list_versions",
    )
    assert not [line for line, (code, out, _) in told.items() if code or not out], told


def test_who_measures_is_told_how_to_install_torch(own_places: Path) -> None:
    told = without_torch(
        "demo --headless --steps 1",
        "run attention_cpu --operator tuner --headless",
        "task inputs attention_cpu full-256 --to inputs",
        "evaluate attention_cpu",
        "task from benchmarks/small_suite/problems/argmax.py",
    )
    assert all(code == 1 and "pip install torch" in err for code, _, err in told.values()), told
    assert not list(own_places.iterdir()), "nothing was begun"


INTERRUPTED = """
import sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from avo_tui.cli import main
main()
"""


@pytest.mark.parametrize("module", ["avo_tui.cli.main", "avo_tui.cli.control"])
def test_an_interrupt_while_it_starts_or_completes_leaves_no_traceback(module: str) -> None:
    words = {"_AVO_COMPLETE": "complete_bash", "COMP_WORDS": "avo hint x", "COMP_CWORD": "2"}
    told = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module], env={**os.environ, **words},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (told.returncode, told.stdout, told.stderr) == (130, "", "")
