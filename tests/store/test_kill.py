"""A writer that is killed with SIGKILL at random instants loses nothing that it acknowledged."""

import multiprocessing
import os
import random
import sys
import time
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.store import SessionReader, SessionWriter, background_writer, compaction, journal
from avo_tui.store.doctor import diagnose, differences
from avo_tui.store.layout import Layout
from avo_tui.store.loading import fold_journal
from tests.session_life import attempt, report, session_record, version

KILLS = 12


def hurry() -> None:
    """Write tables at once, and compress parts of a few events as soon as they are closed."""
    background_writer.SOON = background_writer.LATER = 0.0
    background_writer.SHARE = 1.0
    journal.PART_BYTES = 4000
    patch = pytest.MonkeyPatch()  # for as long as this process lives
    patch.setattr(compaction, "SMALLEST", 1)
    patch.setattr(compaction, "KEEP_SECONDS", 0.0)


def work(folder: Path, said: Connection) -> None:
    """An engine in a hurry: commits, objects, tables and compressed parts all the time; says what
    is safe."""
    hurry()
    session = SessionWriter.open(folder)

    def record(event: ev.Event) -> None:
        recorded = session.record(event)
        said.send((recorded.seq, recorded.model_dump_json(), None))

    first = max(session.state.steps, default=-1) + 1
    for step in count(first):
        record(ev.StepStarted(step=step, parent=session.state.session.head or 0))
        for number in (1, 2):
            source = f"source {step}.{number} " * 50
            identity = session.put(source)
            said.send((0, source, identity))
            started = attempt(step, number).model_copy(update={"candidate": identity})
            record(ev.AttemptStarted(attempt=started))
            record(ev.AgentText(block="b", text="prose"))
            record(ev.AttemptFinished(attempt=number, report=report(number == 2)))
        versions = len(session.state.versions)
        committed = version(versions, step, 2, 0.5 + versions / 1000)
        record(ev.VersionCommitted(version=committed.model_copy(update={"candidate": identity})))
        record(ev.StepFinished(outcome="committed"))


def drain(said: Connection) -> list[tuple[int, str, str | None]]:
    acknowledged = []
    try:
        while said.poll():  # ends: what was said is over
            acknowledged.append(said.recv())
    except (EOFError, OSError):
        pass
    return acknowledged


def follow(reader: SessionReader, followed: dict[int, str], last: int) -> None:
    """Read up to event `last`: a part whose number leaves a gap is looked for five times a second
    only."""
    deadline = time.monotonic() + 60
    while True:
        while new := reader.poll():  # ends: the writer is dead
            followed.update({e.seq: e.model_dump_json() for e in new})
        if last in followed or last < 2 or time.monotonic() > deadline:
            return
        time.sleep(0.01)


def compress_the_rest(folder: Path) -> None:
    """What the engines that were killed did not come to."""
    with pytest.MonkeyPatch.context() as patch, SessionWriter.open(folder) as session:
        patch.setattr(compaction, "SMALLEST", 1)
        session._background_writer.stop()
        for _ in range(3):
            session.record(ev.AgentText(block="b", text="prose"))
            session.flush()
            session._compaction.step()


def test_nothing_acknowledged_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "one"
    SessionWriter.create(folder, session_record()).close()
    chance = random.Random(20260102)
    # A server that has the imports behind it forks a writer in milliseconds. It does not take over
    # this process's search path by itself, and passes over what it does not find.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    events: dict[int, str] = {}
    objects: dict[str, str] = {}
    followed: dict[int, str] = {}
    reader = SessionReader.open(folder)
    for _ in range(KILLS):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(folder, theirs), daemon=True)
        process.start()
        theirs.close()
        acknowledged = [ours.recv() for _ in range(chance.randrange(1, 90))]
        # the instant is what is tested: anywhere in the writer's work
        time.sleep(chance.random() * 0.004)
        process.kill()
        process.join(60)
        acknowledged += drain(ours)
        ours.close()
        for seq, text, identity in acknowledged:
            if identity is None:
                events[seq] = text
            else:
                objects[identity] = text
        follow(reader, followed, max(events, default=0))
        assert sorted(followed) == list(range(2, len(followed) + 2))
        assert followed.items() >= events.items()
        assert reader.problems == [] and reader.reloads == 0
        # the one that followed, the one that comes new, and the next engine see the same
        viewed = SessionReader.open(folder)
        assert viewed.engine().alive is False
        assert not list(differences(reader.state, viewed.state))
        with SessionWriter.open(folder) as session:
            assert any("ended without closing" in note for note in session.recovered)
            assert not list(differences(session.state, viewed.state))
    assert {e.seq: e.model_dump_json() for e in viewed.events(after=1)} == followed
    compress_the_rest(folder)
    assert list((folder / "journal").glob("*.zst"))
    viewed = SessionReader.open(folder)
    after = {e.seq: e.model_dump_json() for e in viewed.events(after=1)}
    assert after.items() >= followed.items()
    assert not list(differences(viewed.state, fold_journal(Layout(folder))))
    assert all(viewed.text(identity) == text for identity, text in objects.items())
    levels = {(f.what, f.sentence) for f in diagnose(folder) if f.level == "fail"}
    assert levels == set(), levels
    committed = sum('"kind":"version_committed"' in text for text in events.values())
    assert committed >= KILLS
    assert len(SessionReader.open(folder).state.versions) >= committed
