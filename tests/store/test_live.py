"""Progress beside the journal, and reports that are kept once."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain import events as ev
from avo_tui.domain.report import EvaluationProgress
from avo_tui.store import DamagedSession, SessionReader, SessionWriter, diagnose
from avo_tui.store.journal_follower import JournalFollower
from avo_tui.store.layout import Layout
from avo_tui.store.live import LiveFile, LiveFollower, LiveLine, merged, read_live
from avo_tui.store.packed_parts import PartStatus, part_status
from tests import session_life as life


def progressed(attempt: int, stage: str = "check", step: int = 1, index: int = 0) -> ev.Event:
    values = {"stage": stage, "state": "started", "index": index}
    progress = EvaluationProgress.model_validate(values)
    return ev.EvaluationProgressed(step=step, attempt=attempt, progress=progress)


def begin(folder: Path) -> SessionWriter:
    writer = SessionWriter.create(folder, life.session_record(folder.name))
    for event in list(life.life(0, attempts=1)):
        writer.record(event)
    writer.record(ev.StepStarted(step=1, parent=0))
    writer.record(ev.AttemptStarted(attempt=life.attempt(1, 1)))
    return writer


def test_progress_is_seen_and_not_kept(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    with begin(folder) as writer:
        reader = SessionReader.open(folder)
        applied = writer.state.session.applied
        seen = writer.show(progressed(1))  # type: ignore[arg-type]
        assert (seen.seq, seen.step) == (0, 1)
        assert [e.model_dump() for e in reader.poll()] == [seen.model_dump()]
        assert reader.poll() == []
        assert reader.state.attempts[1, 1].stage == "check"
        late = SessionReader.open(folder)
        assert late.state.attempts[1, 1].stage == "check"
        assert [e.kind for e in late.poll()] == ["evaluation_progressed"]
        assert writer.state.session.applied == applied == reader.state.session.applied
    assert "evaluation_progressed" not in [
        e.kind for e in reader.events() if e.seq > applied or e.step == 1
    ]
    assert not (folder / "progress.jsonl").exists()
    assert {f.what for f in diagnose(folder) if f.level == "fail"} <= {"objects"}


def test_progress_comes_where_it_was_made(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    with begin(folder) as writer:
        reader = SessionReader.open(folder)
        writer.show(progressed(1, "compile"))  # type: ignore[arg-type]
        writer.record(ev.AgentText(block="b", text="meanwhile"))
        writer.show(progressed(1, "check"))  # type: ignore[arg-type]
        writer.record(ev.AttemptFinished(attempt=1, report=life.report(True)))
        wanted = ["evaluation_progressed", "agent_text", "evaluation_progressed"]
        wanted.append("attempt_finished")
        first = reader.poll(limit=1)
        rest = [event for part in iter(lambda: reader.poll(limit=1), []) for event in part]
        assert [e.kind for e in first + rest] == wanted
        story = [e.kind for e in SessionReader.open(folder).events(step=1)]
        assert story == ["step_started", "attempt_started", *wanted]


def test_another_attempt_empties_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    with begin(folder) as writer:
        reader = SessionReader.open(folder)
        for index in range(50):
            writer.show(progressed(1, index=index))  # type: ignore[arg-type]
        assert len(reader.poll()) == 50
        size = (folder / "progress.jsonl").stat().st_size
        writer.record(ev.AttemptFinished(attempt=1, report=life.report(True)))
        writer.record(ev.AttemptStarted(attempt=life.attempt(1, 2)))
        writer.show(progressed(2))  # type: ignore[arg-type]
        assert (folder / "progress.jsonl").stat().st_size < size / 10
        assert [e.kind for e in reader.poll()] == [
            "attempt_finished",
            "attempt_started",
            "evaluation_progressed",
        ]


def test_a_disk_that_takes_no_progress_costs_nothing_else(tmp_path: Path) -> None:
    file = LiveFile(tmp_path / "away" / "progress.jsonl")
    event = progressed(1)
    assert isinstance(event, ev.EvaluationProgressed)
    file.add(event, 7)
    (tmp_path / "away").mkdir()
    file.add(event, 8)
    assert [line.place for line in read_live(tmp_path / "away" / "progress.jsonl")] == [(8, 2)]
    file.close()
    file.close()


def test_what_a_killed_engine_left_is_swept_away(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    begin(folder).close()
    (folder / "progress.jsonl").write_bytes(b'{"after":1,"number":1,"ev\n\xff\n{}\n')
    assert SessionReader.open(folder).poll() == []
    with SessionWriter.open(folder):
        assert not (folder / "progress.jsonl").exists()


@given(cuts=st.lists(st.integers(1, 40), max_size=6), attempts=st.integers(1, 4))
def test_a_follower_gives_each_line_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], attempts: int
) -> None:
    path = tmp_path_factory.mktemp("live") / "progress.jsonl"
    file, follower = LiveFile(path), LiveFollower(path, after=0)
    given_out: list[LiveLine] = []
    for round_number, lines in enumerate(cuts, 1):
        for _ in range(lines):
            event = progressed(1 + round_number % attempts)
            assert isinstance(event, ev.EvaluationProgressed)
            file.add(event, round_number)
        os.utime(path, ns=(round_number, round_number))  # a clock may stand still between two
        given_out += follower.take(round_number)
    places = [line.place for line in given_out]
    assert places == sorted(set(places))
    assert len(places) == sum(cuts)


@given(
    seqs=st.sets(st.integers(1, 30)),
    afters=st.lists(st.integers(0, 31)),
)
def test_merging_keeps_every_event_and_the_order(seqs: set[int], afters: list[int]) -> None:
    journal: list[ev.Event] = [ev.AgentText(seq=n, block="b", text="") for n in sorted(seqs)]
    event = ev.EvaluationProgressed(
        attempt=1, progress=EvaluationProgress(stage="check", state="started")
    )
    live = [LiveLine(after=a, number=i, event=event) for i, a in enumerate(sorted(afters), 1)]
    order = list(merged(journal, live))
    assert [e.seq for e in order if e.seq] == sorted(seqs)
    assert len(order) == len(seqs) + len(afters)
    before = iter(sorted(afters))
    highest = 0
    for one in order:
        highest = max(highest, one.seq)
        if not one.seq:
            assert next(before) >= highest


def test_a_report_is_kept_once_and_read_from_its_event(tmp_path: Path) -> None:
    folder = life.build(tmp_path / "one", steps=3, refs=0)
    reader = SessionReader.open(folder)
    finished = [e for e in reader.events() if isinstance(e, ev.AttemptFinished)]
    assert finished and not any((folder / "objects").rglob("*/*"))
    for event in finished:
        attempt = reader.state.attempts[event.step, event.attempt]
        assert attempt.has_report and attempt.report is None
        assert reader.report(attempt) == event.report
    assert {f.what for f in diagnose(folder) if f.level == "fail"} <= {"objects"}


def test_a_report_whose_event_is_gone_is_named(tmp_path: Path) -> None:
    folder = life.build(tmp_path / "one", steps=1, refs=0)
    reader = SessionReader.open(folder)
    attempt = reader.state.attempts[1, 1]
    part = folder / "journal" / "000001.jsonl"
    begin_of_line = b'{"seq":%d,' % attempt.report_event
    part.write_bytes(part.read_bytes().replace(begin_of_line, b'{"seq":0,'))
    with pytest.raises(DamagedSession, match=f"event {attempt.report_event} of the journal"):
        reader.report(attempt)


def test_a_report_recorded_in_a_later_part_is_found(tmp_path: Path) -> None:
    folder = life.build(tmp_path / "one", steps=3, refs=0)
    reader = SessionReader.open(folder)
    part, later = (folder / "journal" / f"00000{n}.jsonl" for n in (1, 2))
    attempt = reader.state.attempts[1, 2]
    cut = part.read_bytes().index(b'{"seq":%d,' % attempt.report_event)
    later.write_bytes(part.read_bytes()[cut:] + later.read_bytes())
    part.write_bytes(part.read_bytes()[:cut])
    report = SessionReader.open(folder).report(attempt)
    assert report is not None and report.verdict is attempt.verdict


def test_progress_at_the_gate_does_not_change_a_finished_attempt(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    with begin(folder) as writer:
        reader = SessionReader.open(folder)
        writer.record(ev.AttemptFinished(attempt=1, report=life.report(True)))
        writer.show(progressed(1, "compile"))  # type: ignore[arg-type]
        assert [e.kind for e in reader.poll()] == ["attempt_finished", "evaluation_progressed"]
        assert reader.state.attempts == writer.state.attempts
        assert SessionReader.open(folder).state.attempts == writer.state.attempts


def test_a_part_that_cannot_be_read_for_a_moment_is_waited_for(
    lived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events are not passed over for those of a later part, which can be read."""
    layout = Layout(lived)
    whole = [event.seq for event in SessionReader.open(lived).events()]
    first, blinking = layout.parts()[0], layout.part(layout.parts()[1])

    def refuse(path: Path) -> PartStatus:
        if path == blinking:
            raise OSError(errno.ESTALE, "blinks")
        return part_status(path)

    follower = JournalFollower(layout, 0, first)
    with monkeypatch.context() as away:
        away.setattr("avo_tui.store.journal_follower.part_status", refuse)
        away.setattr("avo_tui.store.journal_follower._BLINK_SECONDS", 120.0)
        seen = [event.seq for event in follower.poll(10_000)]
        assert seen and not follower.poll(10_000)
    seen += [event.seq for event in follower.poll(10_000)]
    assert seen == whole and len(follower.take_problems()) == 1
