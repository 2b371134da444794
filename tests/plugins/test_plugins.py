"""A package that somebody else installs adds an operator and a backend, without a change here."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TOYS = Path(__file__).parent / "toys"
CHOICES = """
import json
from avo_tui.cli.app import services
print(json.dumps([[o.name, o.label] for o in services().operators()]))
print(json.dumps([[t.name, t.language] for t in services().tasks()]))
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built and installed into a folder of its own."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for path in ("pyproject.toml", *(f"avo_toys/{p.name}" for p in TOYS.glob("avo_toys/*.py"))):
        (source / path).parent.mkdir(exist_ok=True)
        (source / path).write_text((TOYS / path).read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run([*command, str(source)], check=True, capture_output=True, timeout=300)
    return target


@pytest.fixture
def run(toys: Path, tmp_path: Path) -> Run:
    """Runs a module or `-c CODE` with the package installed."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "PYTHONPATH": str(toys),
            "AVO_KERNELS": str(TOYS / "kernels"),
            "AVO_SESSIONS": str(tmp_path / "sessions"),
            "AVO_CONFIG": str(tmp_path / "config.toml"),
        }
        environment.pop("ANTHROPIC_API_KEY", None)
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=300,
            cwd=tmp_path,
        )

    return call


@pytest.mark.slow
def test_the_command_line_lists_them(run: Run) -> None:
    listed = json.loads(run("-m", "avo_tui.cli", "operators", "--json").stdout)
    labels = {o["name"]: o["label"] for o in listed["operators"]}
    assert labels["guesser"] == "tries every order of the words of a program"
    (broken,) = listed["broken"]
    assert broken.startswith("operator torn (avo_toys.nothing_here:DESCRIPTOR) does not load:")
    tasks = json.loads(run("-m", "avo_tui.cli", "tasks", "--json").stdout)["tasks"]
    assert {t["name"]: t["language"] for t in tasks}["square_plus_one"] == "postfix"


@pytest.mark.slow
def test_doctor_asks_them(run: Run) -> None:
    rows = json.loads(run("-m", "avo_tui.cli", "doctor", "--json").stdout)["findings"]
    texts = [(row["level"], row["what"], row["sentence"]) for row in rows]
    assert ("ok", "postfix", "the stack machine is ready") in texts
    assert any(what == "backend" and "postfix: programs of a" in text for _, what, text in texts)
    assert any(what == "operator" and text.startswith("guesser:") for _, what, text in texts)
    assert any(level == "warn" and "operator torn" in text for level, _, text in texts)


def test_the_new_session_screen_is_given_them(run: Run) -> None:
    lines = run("-c", CHOICES).stdout.splitlines()
    operators, tasks = (json.loads(line) for line in lines)
    assert ["guesser", "tries every order of the words of a program"] in operators
    assert ["square_plus_one", "postfix"] in tasks


def test_the_backend_passes_what_every_backend_must(run: Run, tmp_path: Path) -> None:
    suite = ("-m", "avo_tui.evaluation.conformance", "square_plus_one")
    done = run(*suite, str(TOYS / "conformance"))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = done.stdout.splitlines()
    assert len(rows) == 18 and all(row.startswith("ok") for row in rows)
    (tmp_path / "honest").mkdir()
    (tmp_path / "honest" / "kernel.postfix").write_text("x\n")
    failed = run(*suite, str(tmp_path))
    assert failed.returncode == 1 and "wrong_result (wanted correct)" in failed.stdout
    assert failed.stdout.count("FAIL") == 18 and failed.stdout.count("missing") == 17


def test_they_make_a_run(run: Run, tmp_path: Path) -> None:
    arguments = ["run", "square_plus_one", "--operator", "guesser", "--headless", "--steps", "6"]
    done = run("-m", "avo_tui.cli", *arguments, "--name", "toy", "--gate", "paper")
    assert done.returncode == 0, done.stderr
    assert "v0 committed" in done.stdout and "compile error" in done.stdout
    status = json.loads(run("-m", "avo_tui.cli", "status", "toy", "--json").stdout)
    assert status["operator"] == "guesser" and status["state"] == "finished"


@pytest.mark.slow
def test_a_session_is_read_where_they_are_not_installed(run: Run, tmp_path: Path) -> None:
    arguments = ["run", "square_plus_one", "--operator", "guesser", "--headless", "--steps", "1"]
    assert run("-m", "avo_tui.cli", *arguments, "--name", "toy").returncode == 0
    environment = os.environ | {"AVO_SESSIONS": str(tmp_path / "sessions")}
    for words, code, says in (
        (["status", "toy"], 0, "square_plus_one"),
        (["run", "--resume", "toy", "--headless"], 1, "there is no operator 'guesser'"),
    ):
        result = subprocess.run(
            [sys.executable, "-m", "avo_tui.cli", *words],
            capture_output=True,
            text=True,
            env=environment,
            timeout=300,
        )
        assert result.returncode == code and says in result.stdout + result.stderr
