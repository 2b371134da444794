"""SIGKILL right before every call that changes the disk: what is left is whole or not there.

Each piece of work runs in a child that is killed before its first such call, then in another that
is killed before its second, and so on until one comes to its end.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Spend
from avo_tui.domain.commands import EditMemory
from avo_tui.domain.records import Note
from avo_tui.domain.report import EvaluationProgress
from avo_tui.store import (
    SessionReader,
    SessionWriter,
    compaction,
    diagnose,
    send_command,
    summaries,
)
from avo_tui.store.errors import StoreError
from avo_tui.store.layout import Layout
from avo_tui.store.packed_parts import pack, packed_path
from tests.session_life import AT, attempt, build, report, session_record, version

CALLS = (
    "write", "fsync", "fdatasync", "replace", "rename", "link", "unlink", "mkdir", "rmdir",
    "ftruncate", "chmod", "posix_fallocate",
)  # fmt: skip
MOST = 400


@pytest.fixture
def root() -> Iterator[Path]:
    """In memory: there are hundreds of folders, and what is tried is not the speed of a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def ends(work: Callable[[], object], before: int) -> bool:
    """Do `work` in a child that is killed before its call number `before`; True if it ended."""
    child = os.fork()
    if child == 0:
        left = before

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*given: Any, **named: Any) -> Any:
                nonlocal left
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
                return real(*given, **named)

            return call

        for name in CALLS:
            setattr(os, name, counted(getattr(os, name)))
        try:
            work()
        except BaseException:
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0, "the work failed"
    return True


def kills(work: Callable[[Path], object], origin: Path | None, root: Path) -> Iterator[Path]:
    """The folder after each kill, the last one after `work` came to its end."""
    for before in range(MOST):
        folder = root / f"at-{before}" / "s"
        folder.parent.mkdir()
        if origin is not None:
            shutil.copytree(origin, folder)
        ended = ends(lambda folder=folder: work(folder), before)  # type: ignore[misc]
        yield folder
        shutil.rmtree(folder.parent)
        if ended:
            assert before > 3, "nothing was killed"
            return
    raise AssertionError("the work never came to its end")


def flaws(folder: Path) -> list[str]:
    """What is damaged, apart from the objects, which the made-up session never had."""
    found = diagnose(folder)
    return [f.sentence for f in found if f.level == "fail" and f.what != "objects"]


def test_creation(root: Path) -> None:
    """A session that was half made is named with its reason, hides no other, and can go."""

    def create(folder: Path) -> None:
        SessionWriter.create(folder, session_record()).close()

    whole = 0
    for folder in kills(create, None, root):
        if not folder.exists():
            continue
        try:
            SessionReader.open(folder)
        except StoreError:
            assert all(s.error for s in summaries([folder.parent]))
            continue
        whole += 1
        with SessionWriter.open(folder) as writer:
            writer.record(ev.StateChanged(state="running"))
        assert flaws(folder) == []
    assert whole > 3


def test_a_command_s_answer(root: Path) -> None:
    """The effect is there once with its answer, or the command still waits."""
    origin = build(root / "origin", steps=1)
    identity = send_command(origin, EditMemory(text="a fact"))

    def answer(folder: Path) -> None:
        with SessionWriter.open(folder) as writer:
            for command in writer.pending_commands():
                note = Note(id="n", category="fact", text="a fact", step=0, at=AT, author="person")
                taken = ev.CommandTaken(id=command.id, command="memory")
                writer.record_all((ev.NoteWritten(note=note), taken))
                writer.command_done(command.id)

    seen = set()
    for folder in kills(answer, origin, root):
        taken = identity in SessionReader.open(folder).state.commands
        with SessionWriter.open(folder) as writer:
            waits = [c.id for c in writer.pending_commands()]
            assert ("n" in writer.state.memory) == taken == (not waits)
        events = [e for e in SessionReader.open(folder).events() if isinstance(e, ev.NoteWritten)]
        assert sum(e.note.id == "n" for e in events) == taken
        assert flaws(folder) == []
        seen.add(taken)
    assert seen == {True, False}


def test_a_step_with_an_attempt(root: Path) -> None:
    """Every attempt with a verdict has its report; what was committed and paid for stays."""
    origin = build(root / "origin", steps=1)
    step = SessionReader.open(origin).state.session.step + 1
    durable = root / "durable"

    def work(folder: Path) -> None:
        with SessionWriter.open(folder) as writer:
            writer.record(ev.StepStarted(step=step, parent=0))
            source = writer.put("int main() {}")
            started = attempt(step, 1).model_copy(update={"candidate": source})
            writer.record(ev.AttemptStarted(attempt=started))
            for stage in ("compile", "check"):
                values = {"stage": stage, "state": "started"}
                progress = EvaluationProgress.model_validate(values)
                writer.show(ev.EvaluationProgressed(attempt=1, progress=progress))
            spent = ev.Spent(spend=Spend(evaluations=1))
            writer.record_all((ev.AttemptFinished(attempt=1, report=report(True, 2.0)), spent))
            number = len(writer.state.versions)
            writer.record(ev.VersionCommitted(version=version(number, step, 1, 2.0)))
            durable.write_bytes(b"committed")
            writer.record(ev.StepFinished(outcome="committed", version=number))

    before = len(SessionReader.open(origin).state.versions)
    judged = set()
    for folder in kills(work, origin, root):
        reader = SessionReader.open(folder)
        for event in reader.poll():
            assert isinstance(event, ev.EvaluationProgressed)
        last = reader.state.attempts.get((step, 1))
        done = last is not None and last.verdict is not None
        if last is not None and done:
            told = reader.report(last)
            assert told is not None and told.score is not None
        judged.add((last is not None, done))
        if durable.exists():
            assert len(reader.state.versions) == before + 1
            durable.unlink()
        with SessionWriter.open(folder) as writer:
            assert writer.state.attempts == reader.state.attempts or not done
            assert not (folder / "progress.jsonl").exists()
        assert flaws(folder) == []
    assert judged == {(False, False), (True, False), (True, True)}


def test_sending_a_command(root: Path) -> None:
    origin = build(root / "origin")
    for folder in kills(lambda f: send_command(f, EditMemory(text="a fact")), origin, root):
        with SessionWriter.open(folder) as writer:
            assert len(writer.pending_commands()) <= 1


def doubled(layout: Layout) -> None:
    """Doubled events, a line that is none, torn tables and a torn end."""
    part = layout.part(1)
    lines = part.read_text().splitlines()
    part.write_text("\n".join(["nonsense", *[x for line in lines for x in (line, line)]]) + "\n")
    layout.database.write_bytes(layout.database.read_bytes()[:1000])
    with layout.part(layout.parts()[-1]).open("ab") as file:
        file.write(b'{"seq":')


def swapped(layout: Layout) -> None:
    """The newest parts are in each other's place, and there are no tables."""
    one, other = (layout.part(part) for part in layout.parts()[-2:])
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    layout.database.unlink()
    layout.previous.unlink()


def halved(layout: Layout) -> None:
    """Of the newest part the begin is there compressed, with a bad line, and the end as lines."""
    part = layout.part(layout.parts()[-1])
    lines = part.read_bytes().splitlines(keepends=True)
    packed_path(part).write_bytes(pack(b"".join(lines[:5]) + b"x" * 2 * part.stat().st_size))
    part.write_bytes(b"".join(lines[5:]))


@pytest.mark.parametrize("damage", [doubled, swapped, halved])
def test_a_repair(root: Path, damage: Callable[[Layout], None]) -> None:
    """A repair that was killed is done by the next one, and nothing is lost on the way; nor where
    an engine goes on first."""
    origin = build(root / "origin", steps=2, attempts=1, chatter=0)
    expected = list(SessionReader.open(origin).events())
    damage(Layout(origin))
    for folder in kills(lambda f: diagnose(f, repair=True), origin, root):
        copy = folder.with_name("copy")
        shutil.copytree(folder, copy)
        diagnose(folder, repair=True)
        assert flaws(folder) == []
        assert list(SessionReader.open(folder).events()) == expected
        if damage is halved:  # the engine's own events would have the numbers of the other half
            continue
        with SessionWriter.open(copy) as writer:
            writer.record(ev.TroubleNoted(where="test", message="after the kill"))
        diagnose(copy, repair=True)
        assert list(SessionReader.open(copy).events())[: len(expected)] == expected


def test_opening_after_a_crash(root: Path) -> None:
    origin = build(root / "origin", steps=1)
    with Layout(origin).part(Layout(origin).parts()[-1]).open("ab") as file:
        file.write(b'{"seq":')
    (origin / "session.json").unlink()
    expected = SessionReader.open(origin).state.session.applied

    def work(folder: Path) -> None:
        SessionWriter.open(folder).close()

    for folder in kills(work, origin, root):
        with SessionWriter.open(folder) as writer:
            assert writer.state.session.applied == expected
        assert flaws(folder) == []


def test_compressing_the_journal(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event is there at any instant, in one form of its part or in both."""
    origin = build(root / "origin", steps=1)  # before parts as small as its own are compressed
    monkeypatch.setattr(compaction, "SMALLEST", 1)
    monkeypatch.setattr(compaction, "KEEP_SECONDS", 0.0)
    before = list(SessionReader.open(origin).events())

    def work(folder: Path) -> None:
        with SessionWriter.open(folder) as writer:
            writer._background_writer.stop()  # what it does, and when, is not left to chance
            for _ in range(2):
                writer.record(ev.AgentText(block="b", text="prose"))
                writer.flush()
                writer._compaction.step()

    forms = set()
    for folder in kills(work, origin, root):
        names = {path.name for path in (folder / "journal").iterdir()}
        forms.add(("000000.jsonl" in names, "000000.jsonl.zst" in names))
        assert list(SessionReader.open(folder).events())[: len(before)] == before
        assert flaws(folder) == []
        with SessionWriter.open(folder) as writer:
            writer.record(ev.TroubleNoted(where="test", message="after the kill"))
        events = list(SessionReader.open(folder).events())
        assert events[: len(before)] == before
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert forms == {(True, False), (True, True), (False, True)}
