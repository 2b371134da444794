"""A session that somebody else made starts nothing before the person agreed; reading is free."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.cli import starting
from avo_tui.cli.session_trust import starts
from avo_tui.domain.base import now
from avo_tui.domain.campaigns import Campaign, Line
from avo_tui.domain.records import SessionRecord
from avo_tui.domain.run_settings import RunSettings
from avo_tui.store import SessionReader, SessionWriter, create_campaign, known_sessions
from tests.cli.command_line import Result
from tests.evolution.fake_evaluator import TASK

Avo = Callable[..., Result]


@pytest.fixture(autouse=True)
def own_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(known_sessions, "_of_this_process", set())


def hostile_settings(proof: Path) -> RunSettings:
    """Settings whose agent is a command that leaves a file behind."""
    command = shlex.join(["touch", str(proof)])
    return RunSettings(operator="acp", options={"acp.agent": command, "allow_weak_sandbox": True})


def from_elsewhere(root: Path, name: str = "gift") -> tuple[Path, Path]:
    """A session that was not made here, and the file that its agent's command would make."""
    proof = root.parent / f"{name}-ran"
    record = SessionRecord(name=name, task=TASK, created=now(), settings=hostile_settings(proof))
    SessionWriter.create(root / name, record).close()
    return root / name, proof


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_nothing_of_it_runs_where_nobody_can_be_asked(avo: Avo, own_places: Path) -> None:
    folder, proof = from_elsewhere(own_places)
    before = files_of(folder)
    for command in (
        ("run", "--resume", "gift", "--headless"),
        ("run", "--resume", "gift", "--headless", "--allow-weak-sandbox"),
        ("service", "gift"),
    ):
        result = avo(*command)
        assert result.code == 1 and "avo session trust" in result.err, result.err
        assert len(result.err.strip().splitlines()) == 1
    for module in ("avo_tui.evolution", "avo_tui.evolution.keep"):
        engine = subprocess.run(
            [sys.executable, "-m", module, str(folder)], capture_output=True, text=True, check=False
        )
        assert engine.returncode == 1 and "not made by you" in engine.stderr
    assert files_of(folder) == before and not proof.exists()
    assert avo("status", "gift").code == 0


def test_a_command_waits_in_the_inbox_and_says_why(avo: Avo, own_places: Path) -> None:
    folder, proof = from_elsewhere(own_places)
    result = avo("hint", "gift", "faster")
    assert result.code == 1 and "the command is in the inbox, but gift was not made" in result.err
    assert not (folder / "engine.log").exists() and not proof.exists()


def test_what_it_starts_can_be_looked_at_without_agreeing(avo: Avo, own_places: Path) -> None:
    folder, _ = from_elsewhere(own_places)
    looked = avo("session", "trust", "gift", "--show")
    assert looked.code == 0 and "runs the command: touch" in looked.out
    assert f"not trusted: {folder.resolve()}" in looked.out and not known_sessions.is_known(folder)
    assert avo("session", "trust", "gift").code == 0 and known_sessions.is_known(folder)
    assert "trusted already" in avo("session", "trust", "gift", "--show").out


def test_a_kernel_that_comes_along_is_said_in_words() -> None:
    told = starts(RunSettings(operator="seat", options={"origin_candidate": "0" * 64}))
    assert "begins with a kernel that it brings along, in place of the task's own" in told
    assert not any("0000" in line for line in told)


@pytest.mark.parametrize("agrees", [True, False])
def test_in_a_terminal_the_person_is_asked_once_and_sees_what_it_starts(
    avo: Avo, own_places: Path, monkeypatch: pytest.MonkeyPatch, agrees: bool
) -> None:
    folder, proof = from_elsewhere(own_places)
    begun: list[Path] = []
    asked: list[str] = []
    monkeypatch.setattr(starting, "start_session", lambda folder, **_: begun.append(folder))
    monkeypatch.setattr("avo_tui.cli.session_trust.in_terminal", lambda: True)

    def answer(question: str, **_: object) -> bool:
        asked.append(question)
        return agrees

    monkeypatch.setattr("avo_tui.cli.session_trust.confirm", answer)
    for _ in range(2):
        result = avo("run", "--resume", "gift")
        assert result.code == (0 if agrees else 1)
        if asked:
            assert f"runs the command: touch {proof}" in result.err or len(asked) == 1
    assert len(asked) == (1 if agrees else 2)
    assert begun == ([folder, folder] if agrees else [])
    assert known_sessions.is_known(folder) is agrees


def test_trust_says_what_it_allows_in_safe_text(avo: Avo, own_places: Path) -> None:
    proof = own_places / "ran"
    settings = hostile_settings(proof).model_copy(
        update={
            "evaluator": "ssh://far?config=/tmp/\x1b[2Jx",
            "options": {"acp.agent": "sh -c \u202etxt", "agent.base_url": "http://elsewhere"},
        }
    )
    record = SessionRecord(name="gift", task=TASK, created=now(), settings=settings)
    SessionWriter.create(own_places / "gift", record).close()
    result = avo("session", "trust", "gift")
    assert result.code == 0, result.err
    assert "measures at: ssh://far" in result.out and "sh -c " in result.out
    assert "option agent.base_url = http://elsewhere" in result.out
    assert "no cap on what it spends" in result.out
    assert "\x1b" not in result.out and "\u202e" not in result.out
    assert known_sessions.is_known(own_places / "gift")
    assert avo("session", "trust", "nonesuch").code == 1


def test_a_lost_session_from_elsewhere_is_opened_for_reading(
    avo: Avo, own_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, proof = from_elsewhere(own_places)
    opened: list[tuple[Path, str]] = []
    monkeypatch.setattr("avo_tui.cli.session_trust.in_terminal", lambda: True)
    monkeypatch.setattr("avo_tui.cli.app.in_terminal", lambda: True)
    monkeypatch.setattr("avo_tui.cli.session_trust.confirm", lambda question, **_: False)
    monkeypatch.setattr(
        "avo_tui.cli.app.open_app",
        lambda *, source, notice: opened.append((source.folder, notice)),
    )
    monkeypatch.setattr(SessionReader, "run_state", lambda self: "lost")
    assert avo("attach", "gift").code == 0
    assert [f for f, _ in opened] == [folder] and "gift was not started" in opened[0][1]
    assert not proof.exists()


def test_a_campaign_from_elsewhere_is_asked_about_with_its_lines(
    avo: Avo, own_places: Path
) -> None:
    folder, proof = from_elsewhere(own_places, "many.1")
    lines = (
        Line(number=1, session="many.1", settings=hostile_settings(proof)),
        Line(number=2, session="many.2", settings=hostile_settings(proof)),
    )
    campaign = Campaign(name="many", task=TASK, created=now(), lines=lines)
    made = create_campaign_beside(campaign, folder)
    result = avo("campaign", "resume", "many")
    assert result.code == 1 and "avo session trust" in result.err
    conductor = subprocess.run(
        [sys.executable, "-m", "avo_tui.campaign", str(made)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert conductor.returncode == 1 and "not made by you" in conductor.stderr
    assert not (own_places / "many.2").exists() and not proof.exists()
    agreed = avo("session", "trust", "many")
    assert agreed.code == 0 and agreed.out.count("runs the command: touch") == 2
    assert known_sessions.is_known(made) and known_sessions.is_known(folder)


def create_campaign_beside(campaign: Campaign, line: Path) -> Path:
    """A campaign's folder beside a session of one of its lines, which came with it."""
    aside = line.with_name("aside")
    line.rename(aside)
    try:
        return create_campaign(campaign).path
    finally:
        aside.rename(line)
