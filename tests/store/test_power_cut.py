"""What a writer said is durable is there after a power cut at any instant, and all of it is whole.

The power cut is simulated (`tests/power_cut.py`): the disk forgets what was not synced.
"""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.commands import SendHint
from avo_tui.store import (
    SessionReader,
    SessionWriter,
    compaction,
    diagnose,
    journal,
    send_command,
)
from avo_tui.store.errors import StoreError
from avo_tui.store.layout import Layout
from avo_tui.store.writer import DEFERRED
from tests.power_cut import Recording, recorded
from tests.session_life import attempt, report, session_record, version
from tests.waiting import wait_for


@pytest.fixture
def root() -> Iterator[Path]:
    """In memory: some hundred folders are made and looked at."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


class Engine:
    """Records a session's life, and notes after which sync each promise was given."""

    def __init__(self, folder: Path, recording: Recording, compact: bool = False) -> None:
        self.recording = recording
        self.compact = compact
        """Whether parts of the journal are compressed as soon as they can be."""
        self.promised: list[tuple[int, int]] = []
        """(syncs so far, number of the last event that is durable then)."""
        self.sent: list[tuple[int, str]] = []
        self.writer = SessionWriter.create(folder, session_record())
        self.writer._background_writer.stop()  # no syncs but those that a promise needs
        recording.tail_of = self.part
        self.promise(1)

    def part(self) -> Path:
        """The part of the journal that is written."""
        return Layout(self.writer.folder).part(self.writer._journal.part)

    def promise(self, seq: int) -> None:
        self.promised.append((len(self.recording.syncs), seq))

    def record(self, *events: ev.Event) -> None:
        last = self.writer.record_all(events)[-1].seq
        if not all(isinstance(event, DEFERRED) for event in events):
            self.promise(last)

    def live(self, steps: int) -> None:
        """Steps with two attempts each, of which one is committed, and a command."""
        for step in range(steps):
            parent = self.writer.state.session.head or 0
            self.record(ev.StepStarted(step=step, parent=parent))
            for number in (1, 2):
                source = self.writer.put(f"source {step}.{number} " * 20)
                self.record(ev.ToolCalled(call=f"{step}.{number}", tool="evaluate"))
                one = attempt(step, number).model_copy(update={"candidate": source})
                self.record(ev.AttemptStarted(attempt=one))
                self.record(ev.AgentText(block="b", text="prose"))
                result = report(number == 2)
                self.record(ev.AttemptFinished(attempt=number, report=result))
            newest = version(len(self.writer.state.versions), step, 2, 0.5 + step / 100)
            newest = newest.model_copy(update={"candidate": source})
            self.record(ev.VersionCommitted(version=newest))
            self.sent.append(
                (0, send_command(self.writer.folder, SendHint(text=f"in step {step}")))
            )
            self.sent[-1] = (len(self.recording.syncs), self.sent[-1][1])
            if step % 2 or self.compact:
                self.writer.flush()
            if self.compact:
                self.writer._compaction.step()
            self.record(ev.StepFinished(outcome="committed"))


def check(image: Path, promised: int) -> None:
    """The session is whole, holds every event that was promised, and can be written on."""
    seen = SessionReader.open(image).state.session.applied
    assert seen >= promised
    with SessionWriter.open(image) as writer:
        assert writer.state.session.applied == seen, "nothing that a reader showed is cut off"
        writer.record(ev.TroubleNoted(where="test", message="after the power cut"))
    assert [f.sentence for f in diagnose(image) if f.level == "fail"] == []
    assert [e.seq for e in SessionReader.open(image).events()] == list(range(1, seen + 2))


@pytest.mark.parametrize("part_bytes", [1, 4000])
def test_a_power_cut_after_any_sync(
    root: Path, part_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "PART_BYTES", part_bytes)
    cut_after_every_sync(root, steps=3, compact=False)


def test_a_power_cut_while_parts_are_compressed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "PART_BYTES", 1)
    monkeypatch.setattr(compaction, "SMALLEST", 1)
    monkeypatch.setattr(compaction, "KEEP_SECONDS", 0.0)
    cut_after_every_sync(root, steps=3, compact=True)
    parts = sorted(path.name for path in (root / "disk" / "s" / "journal").iterdir())
    assert {"000000.jsonl.zst", "000001.jsonl.zst"} <= set(parts)
    assert "000000.jsonl" not in parts


def cut_after_every_sync(root: Path, steps: int, compact: bool) -> None:
    """Let an engine live, and look at the disk as a power cut after each sync would leave it."""
    chance = random.Random(7)
    disk, cut = root / "disk", root / "cut"
    disk.mkdir()
    with recorded(disk) as recording:
        engine = Engine(disk / "s", recording, compact)
        engine.live(steps)
        engine.writer.close()
    total = len(recording.syncs)
    assert total > 30
    for number in range(engine.promised[0][0], total):
        promised = max(seq for syncs, seq in engine.promised if syncs <= number)
        recording.image(number, cut)
        waiting = {p.stem for p in (cut / "s" / "inbox").glob("*.json")}
        assert waiting >= {identity for syncs, identity in engine.sent if syncs <= number}
        part = max(Layout(cut / "s").parts())
        durable = Layout(cut / "s").part(part).read_bytes()
        check(cut / "s", promised)
        shutil.rmtree(cut)
        tail = recording.tails[number]
        if tail.startswith(durable) and tail != durable:
            end = chance.randrange(len(durable), len(tail) + 1)
            path = Layout(recording.root / "s").part(part)
            recording.image(number, cut, torn=(path, tail[:end]))
            check(cut / "s", promised)
            shutil.rmtree(cut)


def test_what_is_on_the_way_is_durable_soon(root: Path) -> None:
    """An event that is not synced on its own is within a moment, without another one."""
    disk = root / "disk"
    disk.mkdir()
    with recorded(disk) as recording, SessionWriter.create(disk / "s", session_record()) as writer:
        writer.record(ev.StateChanged(state="running"))
        before = len(recording.syncs)
        last = writer.record(ev.AgentText(block="b", text="prose")).seq
        wait_for(lambda: not writer._journal.unsynced)
        recording.image(len(recording.syncs), root / "cut")
        assert len(recording.syncs) > before
    assert SessionReader.open(root / "cut" / "s").state.session.applied == last


def test_creation_is_whole_or_not_there(root: Path) -> None:
    disk, cut = root / "disk", root / "cut"
    disk.mkdir()
    with recorded(disk) as recording:
        SessionWriter.create(disk / "s", session_record()).close()
    outcomes = set()
    for number in range(len(recording.syncs) + 1):
        recording.image(number, cut)
        try:
            SessionReader.open(cut / "s")
            outcomes.add("whole")
        except StoreError:
            outcomes.add("none")
            assert "whole" not in outcomes, "it was there before"
        shutil.rmtree(cut)
    assert outcomes == {"whole", "none"}
