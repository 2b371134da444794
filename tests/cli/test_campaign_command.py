"""`avo campaign`: what it prints and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Caps
from tests.campaign.stage import Stage, new_campaign, source
from tests.cli.command_line import Result
from tests.waiting import wait_for

Avo = Callable[..., Result]
KERNELS = Path(__file__).parent / "kernels"


@pytest.fixture
def stage(own_places: Path) -> Iterator[Stage]:
    """Two lines that run, each with a seed."""
    stage = Stage(new_campaign(caps=Caps(evaluations=40)))
    stage.conductor.look()
    for number in (1, 2):
        stage.line(number).commit(float(number), source(0))
    yield stage
    stage.close()


@contextmanager
def answering(stage: Stage) -> Iterator[None]:
    """The lines and the campaign's process work, in a thread, while the context is open."""
    over = Event()

    def work() -> None:
        while not over.wait(0.02):  # ends: with its context
            for line in list(stage.lines.values()):
                line.answer()
            stage.conductor.look()

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """No process is started by a command; the sessions whose engines it asked for."""
    engines: list[Path] = []
    monkeypatch.setattr("avo_tui.cli.campaign.start_conductor", lambda folder: None)
    monkeypatch.setattr("avo_tui.cli.campaign.start_watcher", lambda: None)
    monkeypatch.setattr("avo_tui.cli.campaign.start_after_inbox", engines.append)
    return engines


def test_status_and_list(stage: Stage, avo: Avo) -> None:
    text = avo("campaign", "status", "race").out
    assert "race  running" in text and "best: line 2, v0 2.0000" in text and "0/20" in text
    form = avo("campaign", "status", "race", "--json").json
    assert form["budget"]["evaluations"] == 40 and form["best"]["session"] == "race.2"
    assert [line["evaluations_cap"] for line in form["lines"]] == [20, 20]
    assert avo("campaign", "list", "--json").json["campaigns"][0]["state"] == "running"
    assert "race" in avo("campaign", "list").out
    assert "cap: 0 of 40 evaluations" in avo("campaign", "budget", "race").out


def test_commands_reach_all_lines_or_one(stage: Stage, avo: Avo) -> None:
    with answering(stage):
        assert avo("campaign", "pause", "race").out == "line 1: done\nline 2: done\n"
        rows = avo("campaign", "hint", "race", "TILE_K=64", "--line", "2", "--json").json["lines"]
        assert [(row["line"], row["effect"]) for row in rows] == [(2, "done")]
    taken = [len(stage.line(n).writer.state.commands) for n in (1, 2)]
    assert taken == [1, 2]


def test_budget_and_split_are_orders_to_its_process(stage: Stage, avo: Avo) -> None:
    with answering(stage):
        told = avo("campaign", "budget", "race", "--evaluations", "80").out
        assert told == "the caps of the campaign are evaluations 80\n"
        wait_for(lambda: stage.line(2).writer.state.session.budget.run.evaluations == 40)
        assert "line 3 (race.3) begins from v0" in avo("campaign", "split", "race", "2").out
        wait_for(lambda: "race.3" in stage.lines)
    caps = [stage.line(n).writer.state.session.budget.run.evaluations for n in (1, 2, 3)]
    assert caps == [40, 20, 20]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status", "rave"), "did you mean race?"),
        (("pause", "race", "--line", "7"), "race has no line 7; its lines are 1 to 2"),
        (("run", "nothing", "--detach"), "there is no task 'nothing'"),
        (("run", "rowsum", "--name", "race"), "there is a campaign race already"),
        (("run", "rowsum", "--name", "../x"), "is no name"),
        (("run", "rowsum", "--operator", "nobody"), "nobody"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    stage: Stage, avo: Avo, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.setenv("AVO_KERNELS", str(KERNELS))
    result = avo("campaign", *arguments)
    assert result.code != 0 and words in " ".join(result.err.replace("│", " ").split())
    assert len(list(stage.folder.root.iterdir())) == 3, "nothing was left behind"


def test_without_its_process_the_lines_go_on_and_orders_are_carried_out(
    stage: Stage, avo: Avo
) -> None:
    stage.kill()
    assert "its process is gone" in avo("campaign", "status", "race").out
    result = avo("campaign", "budget", "race", "--evaluations", "60")
    assert result.out == "the caps of the campaign are evaluations 60\n"
    stage.line(1).answer()
    assert stage.line(1).writer.state.session.budget.run.evaluations == 30
    refused = avo("campaign", "split", "race", "9")
    assert "no line 9" in refused.err and refused.code == 1


def test_a_line_that_has_spent_its_share_is_not_started(
    stage: Stage, avo: Avo, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = nothing_starts(monkeypatch)
    spent, left = stage.line(1), stage.line(2)
    spent.spend(int(spent.writer.state.session.budget.run.evaluations or 0))
    spent.end()
    left.end()
    out = avo("campaign", "resume", "race").out
    assert "line 1: has spent its share of evaluations and is not started" in out
    assert "line 2: its engine was started" in out
    assert started == [left.writer.folder]


def test_resuming_a_lost_campaign_leaves_a_line_paused_that_was_paused_alone(
    stage: Stage, avo: Avo, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_starts(monkeypatch)
    stage.kill()
    stage.line(1).writer.record(ev.StateChanged(state="paused", reason=""))
    out = avo("campaign", "resume", "race").out
    assert "line 1: stays paused, as it was paused alone; --line 1 goes on with it" in out
    assert not stage.line(1).writer.pending_commands()
    assert "line 1: goes on" in avo("campaign", "resume", "race", "--line", "1").out
    stage.line(1).answer()
    stage.line(2).writer.record(ev.StateChanged(state="paused", reason=""))
    out = avo("campaign", "resume", "race").out
    assert "line 1: goes on" in out and "line 2: goes on" in out
