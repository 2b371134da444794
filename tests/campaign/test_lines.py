"""The sessions and engines of lines: created, started, lost, started again, given up."""

import threading
from pathlib import Path

import pytest

from avo_tui.campaign.conductor import Conductor
from avo_tui.campaign.lines import Processes, Starter
from avo_tui.domain.budget import Caps
from avo_tui.domain.campaigns import Split
from avo_tui.evolution.process import EngineFailed
from avo_tui.store import (
    CampaignReader,
    CampaignWriter,
    SessionExists,
    remove_unbegun,
)
from avo_tui.store.objects import ObjectStore
from tests.campaign.stage import AtOnce, MakeStage, PretendLine, new_campaign, seeded, source


def test_a_line_that_was_lost_is_started_again_later_and_later(make_stage: MakeStage) -> None:
    stage = seeded(make_stage)
    for wait in (5.0, 10.0, 20.0):
        stage.line(1).kill()
        stage.conductor.look()
        before = len(stage.starts)
        stage.time += wait - 0.1
        stage.conductor.look()
        assert len(stage.starts) == before
        stage.time += 0.1
        stage.conductor.look()
        assert len(stage.starts) == before + 1 and stage.starts[-1] == "race.1"


def test_after_a_kill_of_everything_each_line_starts_at_once(make_stage: MakeStage) -> None:
    stage = seeded(make_stage)
    stage.kill()
    for number in (1, 2):
        stage.line(number).kill()
    assert CampaignReader(stage.folder).view().state == "lost"
    stage.starts.clear()
    stage.begin()
    assert stage.conductor.look()
    assert stage.starts == ["race.1", "race.2"]


@pytest.mark.parametrize("moment", ["empty", "lock", "lease", "folders", "object", "event"])
def test_a_session_whose_creation_was_killed_is_created_again(
    make_stage: MakeStage, moment: str
) -> None:
    """The line is split off: its origin is an object of its session."""
    stage = seeded(make_stage, caps=Caps(evaluations=40), migrate=0)
    stage.folder.send(Split(line=2))
    stage.conductor.look()
    stage.line(2).answer()
    stage.kill()
    folder = stage.folder.root / "race.3"
    folder.mkdir()
    if moment != "empty":
        (folder / "engine.lock").write_text('{"pid": 1')
    if moment == "lease":  # where the file system has no locks
        (folder / "engine.lease").write_text("{")
    if moment in {"folders", "object", "event"}:
        for name in ("journal", "objects", "inbox"):
            (folder / name).mkdir()
    if moment in {"object", "event"}:
        ObjectStore(folder / "objects").put(source(0).canonical())
    if moment == "event":
        (folder / "journal" / "000000.jsonl").write_text('{"seq":1,"at":"2026-')
    stage.begin()
    stage.conductor.look()
    new = stage.line(3).writer
    origin = new.state.session.settings.options["origin_candidate"]
    assert new.get(str(origin)) == source(0).canonical()
    assert not stage.store.campaign.line(3).problem


def test_the_name_of_a_campaign_whose_creation_was_killed_is_free(own_sessions: Path) -> None:
    (own_sessions / ".campaign-race" / "orders").mkdir(parents=True)
    assert new_campaign().read().name == "race"
    with pytest.raises(SessionExists, match="go on with it"):
        new_campaign()


def test_what_is_not_left_by_a_creation_is_never_removed(make_stage: MakeStage) -> None:
    stage = make_stage()
    folder = stage.folder.root / "mine"
    (folder / "journal").mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    assert not remove_unbegun(folder) and not remove_unbegun(stage.folder.root / "race.1")
    assert (folder / "notes.txt").exists() and not remove_unbegun(stage.folder.root / "none")


def test_a_line_that_is_given_up_leaves_its_share_and_the_campaign_ends(
    make_stage: MakeStage,
) -> None:
    stage = seeded(make_stage, lines=3, caps=Caps(evaluations=90))
    stage.line(1).spend(4)
    stage.conductor._sessions[1]._backoff.limit = 2
    for _ in range(2):
        stage.line(1).kill()
        stage.conductor.look()
        stage.time += 600.0
        stage.conductor.look()
    stage.line(1).kill()
    for _ in range(4):
        stage.conductor.look()
        stage.line(2).answer()
        stage.line(3).answer()
    assert "2 times in a row" in stage.store.campaign.line(1).problem
    assert [stage.line(n).writer.state.session.budget.run.evaluations for n in (2, 3)] == [43, 43]
    stage.line(3).commit(2.0, source(1))
    stage.line(3).spend(5)
    stage.conductor.look()
    assert [m.target for m in stage.store.campaign.migrations] == [2], "not to the one given up"
    stage.line(2).end("finished")
    stage.line(3).end("finished")
    assert not stage.conductor.look()


def test_a_line_that_was_given_up_and_started_by_hand_is_watched_anew(
    make_stage: MakeStage,
) -> None:
    stage = seeded(make_stage, lines=2)
    session = stage.conductor._sessions[1]
    session._not_before = float("inf")
    stage.line(1).kill()
    starts = len(stage.starts)
    stage.conductor.look()
    assert session.ended and len(stage.starts) == starts
    stage.lines["race.1"] = PretendLine(stage.folder.root / "race.1")  # by hand
    stage.conductor.look()
    assert not stage.store.campaign.line(1).problem
    stage.line(1).kill()
    for _ in range(3):
        stage.conductor.look()
        stage.time += 600.0
    assert not session.ended and len(stage.starts) == starts + 1


def test_lines_are_started_beside_one_another(make_stage: MakeStage) -> None:
    """Each start returns only once the other has begun; one that fails is told with its line."""
    stage = make_stage()
    stage.kill()
    for line in stage.lines.values():
        line.kill()
    both = threading.Barrier(2, timeout=60)

    def start(folder: Path, *, restarts: int) -> int:
        both.wait()
        if folder.name == "race.2":
            raise EngineFailed("no room")
        return stage._start(folder, restarts=restarts)

    starter = Starter(start)
    stage.store = CampaignWriter(stage.folder.path)
    conductor = Conductor(stage.store, Processes(starter, stage._take_inbox, lambda: stage.time))
    conductor.look()
    starter.close()
    conductor.look()
    assert [line.problem for line in stage.store.campaign.lines] == ["", "no room"]


def test_no_engine_is_started_once_the_process_is_asked_to_end(make_stage: MakeStage) -> None:
    stage = seeded(make_stage)
    stage.kill()
    stage.line(1).kill()
    stage.begin()
    before = len(stage.starts)
    assert Conductor(
        stage.store, Processes(AtOnce(stage._start), stage._take_inbox), ending=lambda: True
    ).look()
    assert len(stage.starts) == before
