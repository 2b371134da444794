"""Starting runs, and what is refused before one starts."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.cli import starting
from avo_tui.cli.opening import free_name
from avo_tui.evolution.process import EngineFailed
from avo_tui.settings import Settings, settings
from avo_tui.store import SessionReader
from tests.cli.command_line import Result, make_session, running
from tests.evolution.fake_evaluator import TASK

Avo = Callable[..., Result]


def test_help_has_examples(avo: Avo) -> None:
    assert "demo" in avo("--help").out
    for command in ("demo", "run", "attach", "hint", "rewind", "submit", "evaluate", "doctor"):
        assert "Example: avo" in avo(command, "--help").out, command


@pytest.mark.parametrize(("command", "more"), [("--help", {"pydantic"}), ("sessions", set())])
def test_the_command_line_alone_loads_nothing_heavy(command: str, more: set[str]) -> None:
    """That is what makes it quick. Help needs no settings either, which pydantic reads."""
    heavy = {"torch", "textual", "anthropic", "rich", "numpy"} | more
    code = (
        "import sys; from avo_tui.cli.main import run\n"
        "try:\n"
        f"    run([{command!r}])\n"
        "finally:\n"
        f"    print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run",), 2, "name a task"),
        (("run", "nope", "--headless"), 1, "there is no task 'nope'"),
        (("run", "attention_gpu", "--headless"), 1, "did you mean"),
        (("run", "attention_cpu"), 1, "no terminal"),
        (("run", "attention_cpu", "--headless", "--name", "../x"), 1, "is no name for a session"),
        (("run", "attention_cpu", "--headless", "--name", "taken"), 1, "choose another name"),
        (("run", "attention_cpu", "--headless", "--operator", "agent"), 1, "ANTHROPIC_API_KEY"),
        (("run", "attention_cpu", "--headless", "--operator", "wizard"), 2, "wizard"),
        (("run", "attention_cpu", "--headless", "--from", "nope:1"), 1, "no session 'nope'"),
        (("run", "attention_cpu", "--headless", "--from", "what"), 1, "SESSION:VERSION"),
        (("run", "attention_cpu", "--headless", "--evaluator", "dask://x"), 1, "dask://x"),
        (("run", "attention_cpu", "--budget-usd", "-1"), 2, "greater than or equal"),
        (("run", "--resume", "nope", "--headless"), 1, "no session 'nope'"),
        (("run", "attention_cpu", "--resume", "taken"), 2, "--resume takes no task"),
        (("run", "--resume", "taken", "--operator", "external"), 2, "keeps what it was started"),
        (("run", "--resume", "taken", "--gate", "paper"), 2, "keeps what it was started"),
        (("run", "--resume", "taken", "--seed", "3"), 2, "keeps what it was started"),
        (("attach",), 1, "terminal"),
        (("attach", "nope"), 1, "no session 'nope'"),
        (("evaluate", "nope"), 1, "there is no task 'nope'"),
        (("evaluate", "attention_cpu", "/nowhere.cpp"), 1, "/nowhere.cpp"),
    ],
)
def test_refusals(
    avo: Avo, own_places: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    make_session(own_places, "taken")
    result = avo(*arguments)
    assert result.code == code, result.err
    assert says in result.err
    if code == 1:
        assert len(result.err.strip().splitlines()) == 1


def test_a_session_that_is_held_is_not_run_twice(avo: Avo, own_places: Path) -> None:
    folder = make_session(own_places, "held")
    from avo_tui.evolution.process import EngineFailed, start_engine

    with (
        running(folder) as process,
        pytest.raises(EngineFailed, match=f"held by process {process.pid}"),
    ):
        start_engine(folder)


def test_a_detached_engine_is_in_a_session_of_its_own(own_places: Path) -> None:
    """It has no terminal, and its words go to engine.log."""
    from avo_tui.domain.commands import Stop
    from avo_tui.evolution.process import start_engine, wait_for_end
    from avo_tui.store import send_command

    folder = make_session(own_places, "apart")
    pid = start_engine(folder)
    assert os.getsid(pid) == pid != os.getsid(0)
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
    assert Path(f"/proc/{pid}/fd/1").readlink() == folder / "engine.log"
    send_command(folder, Stop())
    assert wait_for_end(folder, 240)
    assert SessionReader.open(folder).run_state() == "stopped"


def test_no_write_permission_is_one_sentence(
    avo: Avo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("AVO_SESSIONS", str(blocked / "sessions"))
    result = avo("run", "attention_cpu", "--headless", "--operator", "tuner")
    assert result.code == 1 and len(result.err.strip().splitlines()) == 1


def test_settings_come_from_file_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text('gate = "paper"\nbudget_hours = 3\ntuner_attempts = 5\n')
    assert settings().gate == "paper"
    assert settings().run_options() == {"tuner.attempts": 5}
    monkeypatch.setenv("AVO_BUDGET_HOURS", "4")
    monkeypatch.setenv("AVO_SUPERVISOR_ATTEMPTS", "0")
    settings.cache_clear()
    assert settings().budget_hours == 4
    assert settings().run_options() == {"tuner.attempts": 5, "supervisor.attempts": 0}
    for field in Settings.model_fields:
        assert f"{field}" in Settings.__annotations__


def test_the_limit_of_the_memory_is_a_setting(
    own_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avo_tui.cli.opening import with_defaults
    from avo_tui.domain.run_settings import RunSettings
    from avo_tui.evolution.create import create_session

    def limit(name: str) -> int:
        settings.cache_clear()
        folder = create_session(name, TASK, with_defaults(RunSettings()))
        return SessionReader.open(folder).state.session.memory_limit

    assert limit("usual") == 16_000
    monkeypatch.setenv("AVO_MEMORY_LIMIT", "40000")
    assert limit("large") == 40_000


def test_bad_settings_are_one_sentence(avo: Avo, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('gate = "loose"\n')
    result = avo("run", "attention_cpu", "--headless")
    assert result.code == 1
    assert "gate" in result.err and len(result.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('gate = "loose"', "gate: Input should be"),
        ("budget_used = 3", "there is no setting budget_used; did you mean budget_usd?"),
        ("zzz = 3", "there is no setting zzz; docs/settings.md"),
        ("budget_usd = inf", "budget_usd: Input should be a finite number"),
        ("gate = ", "Invalid value"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said_with_the_file(
    content: str, says: str, avo: Avo, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text(content + "\n")
    result = avo("run", "attention_cpu", "--headless", "--json")
    assert result.code != 0
    result = avo("run", "attention_cpu", "--headless")
    assert result.code == 1
    (line,) = result.err.strip().splitlines()
    assert str(tmp_path / "config.toml") in line and says in line


def test_a_wrong_variable_is_named(avo: Avo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVO_BUDGET_USD", "much")
    result = avo("run", "attention_cpu", "--headless")
    assert result.code == 1 and "the variable AVO_BUDGET_USD: budget_usd" in result.err


@pytest.mark.parametrize("cap", ["inf", "nan", "-1"])
def test_a_cap_is_a_number(cap: str, avo: Avo, own_places: Path) -> None:
    result = avo("run", "attention_cpu", "--headless", "--usd", cap)
    assert result.code != 0 and "usd" in result.err
    assert list(own_places.iterdir()) == []


def test_a_failure_is_json_too_where_json_is_asked_for(avo: Avo) -> None:
    result = avo("status", "nothing", "--json")
    assert result.code == 1 and "there is no session 'nothing'" in result.err
    assert "there is no session 'nothing'" in json.loads(result.out)["error"]


def test_a_seed_that_cannot_start_ends_a_run_that_nobody_watches(
    avo: Avo, own_places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = tmp_path / "kernels"
    shutil.copytree(Path(__file__).parents[2] / "kernels" / "attention_cpu", kernels / "broken")
    task = kernels / "broken" / "task.py"
    task.write_text(task.read_text().replace('name = "attention_cpu"', 'name = "broken"'))
    (kernels / "broken" / "seed" / "attention.cpp").write_text("no C++ at all\n")
    monkeypatch.setenv("AVO_KERNELS", str(kernels))
    result = avo("run", "broken", "--headless", "--operator", "tuner", "--name", "one")
    assert result.code == 1
    assert "the seed cannot start the lineage" in result.err


def test_names_of_demos(own_places: Path) -> None:
    assert (starting.running_demo("demo"), free_name("demo")) == (None, "demo")
    make_session(own_places, "demo")
    make_session(own_places, "demo-agent")
    assert (starting.running_demo("demo"), free_name("demo")) == (None, "demo-2")
    (own_places / "demo-2").mkdir()
    assert free_name("demo") == "demo-3" and free_name("demo", ["demo-3"]) == "demo-4"
    assert free_name("demo-agent") == "demo-agent-2"
    folder = make_session(own_places, "demo-7")
    with running(folder):
        assert starting.running_demo("demo") == folder
        assert starting.running_demo("demo-agent") is None


def test_a_live_demo_is_followed_and_not_started_twice(own_places: Path, tmp_path: Path) -> None:
    folder = make_session(own_places, "demo")
    with running(folder):
        follower = subprocess.Popen(
            [sys.executable, "-m", "avo_tui.cli", "demo"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert follower.stderr is not None
        assert "attaching to demo" in follower.stderr.readline()
    said, _ = follower.communicate(timeout=120)
    assert follower.returncode == 0
    assert "engine ends, stopped" in said
    assert sorted(p.name for p in own_places.iterdir()) == ["demo"]


def test_the_agents_run_begins_with_an_estimate_and_its_caps(
    avo: Avo, own_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []
    monkeypatch.setattr(starting, "start_session", lambda folder, **_: begun.append(folder))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-key")
    start = ("run", "attention_cpu", "--operator", "agent", "--headless")
    said = avo(*start, "--budget-usd", "20", "--steps", "7")
    assert said.code == 0 and begun
    words = " ".join(said.err.split())
    assert "A step costs about $" in words and "Caps: 20 usd per run, 7 steps per run." in words
    assert "$20 is enough for about" in words
    assert "No cap is set" in " ".join(avo(*start, "--name", "free").err.split())


def test_a_lost_session_is_opened_also_where_its_engine_cannot_be_started(
    avo: Avo, own_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_session(own_places, "gone")
    opened: list[tuple[Path, str]] = []

    def fails(folder: Path) -> int:
        raise EngineFailed("No credentials for the model.")

    monkeypatch.setattr("avo_tui.cli.app.in_terminal", lambda: True)
    monkeypatch.setattr(
        "avo_tui.cli.app.open_app",
        lambda *, source, notice: opened.append((source.folder, notice)),
    )
    monkeypatch.setattr("avo_tui.cli.opening.start_engine", fails)
    monkeypatch.setattr(SessionReader, "run_state", lambda self: "lost")
    assert avo("attach", "gone").code == 0
    assert opened == [
        (folder, "The engine was lost and could not be started: No credentials for the model.")
    ]
    assert avo("attach", "gone", "--no-start").code == 0
    assert opened[1] == (folder, "")


def test_a_session_goes_on_where_candidates_cannot_be_confined_if_that_is_said(
    avo: Avo, own_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = make_session(own_places, "alone")
    begun: list[Path] = []
    monkeypatch.setattr(starting, "start_session", lambda folder, **_: begun.append(folder))
    with running(live):
        refused = avo("run", "--resume", live.name, "--headless", "--allow-weak-sandbox")
        assert refused.code == 2 and "is running; stop it first" in refused.err
    assert avo("run", "--resume", live.name, "--headless", "--allow-weak-sandbox").code == 0
    assert [folder.name for folder in begun] == [live.name]
    options = SessionReader.open(live).state.session.settings.options
    assert options["allow_weak_sandbox"] is True


@pytest.mark.parametrize("operator", ["tuner", "recorded"])
def test_an_operator_of_kernels_is_refused_for_a_repository(
    avo: Avo, tmp_path: Path, operator: str
) -> None:
    """It would go on without ever making a candidate."""
    repository = tmp_path / f"for-{operator}"
    assert avo("adopt", str(repository), "--example").code == 0
    toml = repository / "avo.toml"
    toml.write_text(toml.read_text().replace("metrics = []", 'metrics = ["few"]'))
    refused = avo("run", str(repository), "--operator", operator, "--headless")
    assert refused.code == 1 and "choose another with --operator: agent, seat" in refused.err
