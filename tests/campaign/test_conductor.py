"""The conductor over pretended lines: it may be killed anywhere, and nothing happens twice."""

import shutil
from collections.abc import Callable

import pytest

from avo_tui.campaign.conductor import BUDGET
from avo_tui.campaign.orders import carry_out
from avo_tui.domain.budget import Caps
from avo_tui.domain.campaigns import SetCaps, Split
from avo_tui.domain.commands import SetBudget, Submit
from avo_tui.store import (
    CampaignReader,
    CampaignWriter,
    SessionReader,
    StoreError,
    campaign_of,
    send_command,
)
from avo_tui.store.objects import ObjectStore
from tests.campaign.stage import MakeStage, seeded, source


def test_every_line_gets_a_session_with_its_share_and_an_engine(make_stage: MakeStage) -> None:
    stage = make_stage(lines=3, caps=Caps(evaluations=10, hours=1.5))
    assert stage.starts == ["race.1", "race.2", "race.3"]
    budgets = [stage.line(n).writer.state.session.budget.run for n in (1, 2, 3)]
    assert [b.evaluations for b in budgets] == [4, 3, 3] and {b.hours for b in budgets} == {1.5}
    assert campaign_of(stage.folder.root / "race.2") is not None
    assert campaign_of(stage.folder.root / "race.20") is None


def test_the_best_goes_to_the_next_on_the_ring_after_each_interval(make_stage: MakeStage) -> None:
    stage = seeded(make_stage, lines=3)
    stage.line(2).commit(2.0, source(1))
    stage.line(2).spend(4)
    stage.conductor.look()
    assert not stage.store.campaign.migrations, "the interval of 5 evaluations is not over"
    stage.line(2).spend(1)
    stage.conductor.look()
    assert stage.line(3).answer() == ["campaign-migrant-race-2-v1-3"]
    migrant = stage.line(3).writer.state.best
    assert migrant is not None and migrant.origin == "race.2:1"
    stage.conductor.look()
    stage.line(3).spend(5)
    stage.conductor.look()
    assert stage.line(1).answer() == ["campaign-migrant-race-3-v1-1"], "and on from there"
    fates = [(m.fate, m.version) for m in CampaignReader(stage.folder).view().migrations]
    assert fates == [("committed", 1), ("committed", 1)]


def test_nothing_is_sent_that_would_not_be_better_there(make_stage: MakeStage) -> None:
    stage = seeded(make_stage)
    stage.line(1).commit(2.0, source(1))
    stage.line(2).commit(2.0, source(2))
    stage.line(1).spend(5)
    stage.conductor.look()
    stage.line(1).commit(3.0, source(2))
    stage.line(1).spend(5)
    stage.conductor.look()
    assert not stage.store.campaign.migrations, "as good as its own best; its own source"
    assert stage.line(2).answer() == []


def test_long_without_a_conductor_one_version_is_sent_not_many(make_stage: MakeStage) -> None:
    stage = seeded(make_stage)
    stage.line(1).commit(2.0, source(1))
    stage.kill()
    stage.line(1).spend(100)
    stage.begin()
    stage.conductor.look()
    stage.conductor.look()
    assert len(stage.line(2).answer()) == 1 and stage.store.campaign.line(1).intervals == 20


class KilledError(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("moment", range(8))
@pytest.mark.parametrize("taken_meanwhile", [True, False])
def test_a_migration_survives_a_kill_at_every_write_and_happens_once(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch, moment: int, taken_meanwhile: bool
) -> None:
    """Killed before or after the n-th thing that is written, by the campaign or into an inbox."""
    stage = seeded(make_stage)
    stage.line(1).commit(2.0, source(1))
    stage.line(1).spend(5)
    count = 0

    def deadly(work: Callable[..., object]) -> Callable[..., object]:
        def done(*arguments: object, **named: object) -> object:
            nonlocal count
            if count == moment:
                raise KilledError
            count += 1
            result = work(*arguments, **named)
            if count == moment:
                raise KilledError
            count += 1
            return result

        return done

    with monkeypatch.context() as patch:
        patch.setattr(CampaignWriter, "write", deadly(CampaignWriter.write))
        patch.setattr("avo_tui.campaign.lines.send_command", deadly(send_command))
        try:
            stage.conductor.look()
        except KilledError:
            stage.kill()
            if taken_meanwhile:
                stage.line(2).answer()
            stage.begin()
    for _ in range(3):
        stage.conductor.look()
        stage.line(2).answer()
    migrants = [v for v in stage.line(2).writer.state.versions.values() if v.origin]
    assert [v.origin for v in migrants] == ["race.1:1"]
    assert len(stage.store.campaign.migrations) == 1


def test_a_share_that_an_ended_line_did_not_take_holds_up_no_other(make_stage: MakeStage) -> None:
    """Killed between sending the share and starting the short engine that takes it."""
    stage = seeded(make_stage, lines=3, caps=Caps(evaluations=90), migrate=0)
    stage.line(1).spend(10)
    stage.line(1).end()
    caps = Caps(evaluations=10)
    budget = SetBudget(budget=stage.line(1).writer.state.session.budget.replaced(run=caps))
    send_command(stage.folder.root / "race.1", budget, f"{BUDGET}-000000000007")
    stage.kill()
    stage.begin()
    for _ in range(4):
        stage.conductor.look()
        stage.line(2).answer()
        stage.line(3).answer()
    assert [stage.line(n).writer.state.session.budget.run.evaluations for n in (2, 3)] == [40, 40]


def test_an_interval_waits_for_the_seed_of_the_neighbour(make_stage: MakeStage) -> None:
    """A line that is over before its neighbour has begun still passes on what it reached."""
    stage = make_stage()
    stage.line(1).commit(1.0, source(0))
    stage.line(1).commit(2.0, source(1))
    stage.line(1).spend(5)
    stage.line(1).end("finished")
    stage.conductor.look()
    assert not stage.store.campaign.migrations
    stage.line(2).commit(1.0, source(0))
    stage.conductor.look()
    assert stage.line(2).answer() == ["campaign-migrant-race-1-v1-2"]


def test_a_version_that_can_no_longer_be_read_does_not_end_the_conductor(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = seeded(make_stage, lines=3)
    stage.line(1).commit(2.0, source(1))
    stage.line(1).spend(5)
    with monkeypatch.context() as patch:
        patch.setattr("avo_tui.campaign.lines.send_command", lambda *a: None)
        stage.conductor.look()
    stage.kill()
    stage.line(1).kill()
    for path in (stage.folder.root / "race.1").rglob("*.json*"):
        path.write_text("{")
    stage.begin()
    assert stage.conductor.look() and stage.line(2).answer() == []


def test_a_damaged_line_does_not_hold_up_the_others(make_stage: MakeStage) -> None:
    stage = seeded(make_stage, lines=3)
    stage.line(1).kill()
    for path in (stage.folder.root / "race.1").rglob("*.json*"):
        path.write_text("{")
    stage.kill()
    stage.begin()
    stage.line(2).commit(2.0, source(1))
    stage.line(2).spend(5)
    stage.conductor.look()
    assert stage.line(3).answer(), "the exchange goes on"
    views = CampaignReader(stage.folder).view().lines
    assert "cannot be read" in views[0].reason, "and the damaged one says what is wrong"
    stage.conductor.look()
    written = stage.folder.record.stat().st_mtime_ns
    stage.conductor.look()
    assert stage.folder.record.stat().st_mtime_ns == written, (
        "once, not in turn with another reason"
    )
    assert "cannot be read" in stage.store.campaign.line(1).problem
    stage.line(2).end("finished")
    assert stage.conductor.look()
    stage.line(3).commit(9.0, source(3))
    stage.line(3).end("finished")
    assert not stage.conductor.look(), "nor keep the campaign from ending"


@pytest.mark.parametrize("again", [False, True], ids=["same process", "another process"])
def test_a_line_whose_session_was_deleted_is_not_begun_anew(
    make_stage: MakeStage, again: bool
) -> None:
    stage = seeded(make_stage, lines=3, caps=Caps(evaluations=30))
    folder = stage.folder.session(stage.store.campaign.line(2))
    stage.line(2).kill()
    shutil.rmtree(folder)
    if again:
        stage.kill()
        stage.begin()
    stage.line(1).spend(5)
    for _ in range(3):
        assert stage.conductor.look()
    view = CampaignReader(stage.folder).view()
    assert not folder.exists() and stage.starts.count("race.2") == 1
    assert view.lines[1].state == "lost" and "its session is gone" in view.lines[1].reason
    assert [m.migration.target for m in view.migrations] == [], "line 3 has as good a version"
    assert [line.cap for line in view.lines] == [10, 10, 10], "what it had is not given away"
    for number in (1, 3):
        stage.line(number).end("finished")
    assert not stage.conductor.look(), "it ends without the line that is gone"


def test_what_an_ended_line_left_is_used_by_the_others(make_stage: MakeStage) -> None:
    stage = seeded(make_stage, lines=3, caps=Caps(evaluations=90), migrate=0)
    stage.line(1).spend(10)
    stage.line(1).end()
    for _ in range(4):
        stage.conductor.look()
        stage.line(2).answer()
        stage.line(3).answer()
    shares = [
        SessionReader.open(stage.folder.root / f"race.{n}").state.session.budget.run.evaluations
        for n in (1, 2, 3)
    ]
    assert shares == [10, 40, 40]


def test_a_share_is_not_raised_again_while_a_change_is_under_way(make_stage: MakeStage) -> None:
    stage = seeded(make_stage, caps=Caps(evaluations=20))
    stage.folder.send(SetCaps(caps=Caps(evaluations=40)))
    for _ in range(4):
        stage.conductor.look()
    stage.line(1).answer()  # the other one has not taken its own yet
    stage.conductor.look()
    stage.conductor.look()
    stage.line(2).answer()
    stage.conductor.look()
    shares = [stage.line(n).writer.state.session.budget.run.evaluations for n in (1, 2)]
    assert shares == [20, 20] and not stage.line(1).answer() and not stage.line(2).answer()


def test_a_line_is_split_off_with_half_of_what_is_left(make_stage: MakeStage) -> None:
    stage = seeded(make_stage, caps=Caps(evaluations=40), migrate=0)
    stage.line(2).commit(3.0, source(7))
    stage.line(2).spend(6)
    order = stage.folder.send(Split(line=2))
    stage.conductor.look()
    assert not (stage.folder.root / "race.3").exists(), "its share is still the other's"
    stage.line(2).answer()
    stage.conductor.look()
    new = stage.line(3).writer.state.session
    assert new.settings.origin == "race.2:1" and new.budget.run.evaluations == 7
    assert stage.line(2).writer.state.session.budget.run.evaluations == 13
    assert stage.store.campaign.orders[-1].id == order
    assert not stage.folder.waiting_orders()
    carry_out(stage.store, Split(id=order, line=2), {})  # one that was killed before removing it
    assert len(stage.store.campaign.orders) == 1 and len(stage.store.campaign.lines) == 3


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (Split(line=9), "no line 9"),
        (Split(line=1, version=5), "race.1 has no v5"),
        (Split(line=1, operator="nobody"), "nobody"),
    ],
)
def test_an_order_that_cannot_be_is_one_sentence(
    make_stage: MakeStage, order: Split, words: str
) -> None:
    stage = seeded(make_stage)
    stage.folder.send(order)
    stage.conductor.look()
    record = stage.store.campaign.orders[-1]
    assert record.refused is not None and words in record.refused
    assert len(stage.store.campaign.lines) == 2


def test_a_line_with_nothing_left_is_not_split(make_stage: MakeStage) -> None:
    stage = seeded(make_stage, caps=Caps(evaluations=10))
    stage.line(1).spend(4)
    stage.folder.send(Split(line=1))
    stage.conductor.look()
    assert "too little left" in (stage.store.campaign.orders[-1].refused or "")


def test_notes_reach_the_other_lines_once_and_do_not_come_back(make_stage: MakeStage) -> None:
    stage = seeded(make_stage, lines=3, shared_memory=True)
    stage.line(1).write_note("abc", "tiles of 64 spill")
    for _ in range(3):
        stage.conductor.look()
        for number in (1, 2, 3):
            stage.line(number).answer()
    notes = {n: [x.text for x in stage.line(n).writer.state.memory.values()] for n in (1, 2, 3)}
    shared = ["(from line 1) tiles of 64 spill"]
    assert notes == {1: ["tiles of 64 spill"], 2: shared, 3: shared}


def test_it_is_over_when_every_line_is(make_stage: MakeStage) -> None:
    stage = seeded(make_stage)
    stage.line(1).end("finished")
    assert stage.conductor.look()
    stage.line(2).end("stopped")
    assert not stage.conductor.look()
    stage.kill()
    view = CampaignReader(stage.folder).view()
    assert view.state == "over" and view.best is not None


def test_a_second_process_is_refused_and_a_torn_record_is_restored(make_stage: MakeStage) -> None:
    stage = seeded(make_stage)
    with pytest.raises(StoreError, match="held by process"):
        CampaignWriter(stage.folder.path)
    stage.line(1).commit(2.0, source(1))
    stage.line(1).spend(5)
    stage.conductor.look()
    stage.folder.record.write_text('{"name": "ra')
    assert stage.folder.read().name == "race", "the previous generation"


def test_a_forged_score_and_origin_bring_nothing_past_the_gate(make_stage: MakeStage) -> None:
    """A line's session says what it likes: its neighbour is sent a source, and judges it anew."""
    stage = seeded(make_stage)
    stage.line(1).commit(1e300, source(7), origin="race.2:99\x1b[2J")
    stage.line(1).spend(5)
    stage.conductor.look()
    (sent,) = stage.line(2).writer.pending_commands()
    assert isinstance(sent, Submit) and sent.candidate == source(7)
    assert "1e" not in sent.model_dump_json() and sent.origin == "race.1:1"
    assert len(stage.line(2).writer.state.versions) == 1, "nothing is a version before its gate"


def test_a_source_that_was_exchanged_is_not_sent_on(make_stage: MakeStage) -> None:
    """Other bytes under the name of a version's source."""
    stage = seeded(make_stage)
    stage.line(1).commit(2.0, source(1))
    objects = ObjectStore(stage.folder.root / "race.1" / "objects")
    other = objects.put(source(66).canonical())
    path = objects.path(source(1).id)
    path.chmod(0o600)
    path.write_bytes(objects.path(other).read_bytes())
    stage.line(1).spend(5)
    assert stage.conductor.look(), "the campaign goes on"
    assert stage.line(2).answer() == []


def test_the_best_of_a_line_that_is_over_is_passed_on_once(make_stage: MakeStage) -> None:
    stage = seeded(make_stage, lines=3)
    stage.line(2).commit(2.0, source(1))
    stage.line(2).spend(3)
    stage.line(2).end()
    for _ in range(3):
        stage.conductor.look()
    assert stage.line(3).answer() == ["campaign-migrant-race-2-v1-3"]
    stage.conductor.look()
    assert len(stage.store.campaign.migrations) == 1
    stage.line(3).end()
    stage.conductor.look()
    stage.conductor.look()
    assert stage.line(1).answer(), "the one that is left gets the best there is"


def test_nothing_is_sent_to_a_line_whose_share_is_used_up(make_stage: MakeStage) -> None:
    stage = seeded(make_stage, caps=Caps(evaluations=20))
    stage.line(1).commit(2.0, source(1))
    stage.line(1).spend(5)
    stage.line(2).spend(10)
    stage.conductor.look()
    assert not stage.store.campaign.migrations
