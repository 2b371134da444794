import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.cli import starting
from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Note, Version
from avo_tui.domain.score import Score
from avo_tui.operators.recorded.recording import load
from avo_tui.store import SessionReader, SessionWriter
from tests.cli.command_line import Result, make_session
from tests.evolution.fake_evaluator import SEED, TASK

Avo = Callable[..., Result]
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@needs_git
def test_git(avo: Avo, done: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    form = avo("export", "done", "--to", str(target), "--as", "git", "--json").json
    state = SessionReader.open(done).state
    assert form == {
        "session": "done",
        "as": "git",
        "folder": str(target),
        "files": ["kernel.cpp"],
        "versions": sorted(state.versions),
    }
    log = subprocess.run(
        ["git", "-C", str(target), "rev-list", "--all", "--not", "--glob=refs/notes"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(log.stdout.split()) == len(state.versions)


def test_page(avo: Avo, done: Path, tmp_path: Path) -> None:
    said = avo("export", "done", "--to", str(tmp_path / "page"), "--as", "html")
    assert said.code == 0 and "index.html" in said.out


def test_source(avo: Avo, done: Path, tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "sessions" / "attention-cpu-agent"
    shutil.copytree(shipped, done.parent / "plain")
    options = ("--as", "source", "--version", "v0", "--json")
    form = avo("export", "plain", "--to", str(tmp_path / "v0"), *options).json
    assert form["versions"] == [0]
    assert form["files"][:3] == ["attention.cpp", "attention.h", "kernel/attention.cpp"]
    assert "g++ -O3" in (tmp_path / "v0" / "README.md").read_text()
    said = avo("export", "done", "--to", str(tmp_path / "none"), "--as", "source")
    assert said.code == 1 and "there is no task 'pretend'" in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("nobody", "--to", "out", "--as", "git"), 1, "there is no session 'nobody'"),
        (("done", "--to", "out", "--as", "pdf"), 2, "'pdf' is not one of"),
        (("done", "--as", "git"), 2, "--to"),
        (("done", "--to", "full", "--as", "html"), 1, "is not empty; choose another folder"),
        (
            ("done", "--to", "out", "--as", "git", "--version", "1"),
            2,
            "it goes with --as branch or",
        ),
        (("done", "--to", "out", "--as", "source", "--version", "99"), 1, "there is no version 99"),
        (("done", "--to", "out", "--as", "source", "--domain", "a"), 1, "--shape adds one"),
        (("done", "--to", "out", "--as", "recording"), 1, "no answer of a model"),
    ],
)
def test_refusals(
    avo: Avo,
    done: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    said = avo("export", *arguments)
    assert said.code == code
    assert says in " ".join(said.err.replace("│", " ").split())
    assert "unexpected" not in said.err
    assert not (tmp_path / "out").exists()


def answer(writer: SessionWriter, *calls: dict[str, object]) -> ev.Event:
    content = [
        {"type": "tool_use", "id": f"c{n}", "name": call.pop("tool"), "input": call}
        for n, call in enumerate(calls)
    ]
    body = {"content": content, "stop_reason": "tool_use", "model": "some-model"}
    return ev.MessageRecorded(role="assistant", ref=writer.put(json.dumps(body)))


@pytest.fixture
def talked(own_places: Path) -> Path:
    """A session in which a model gave two answers."""
    folder = make_session(own_places, "talked")
    with SessionWriter.open(folder) as writer:
        seed = writer.put(Candidate(files={"kernel.cpp": SEED}).canonical())
        version = Version(
            number=0,
            parent=None,
            step=0,
            candidate=seed,
            score=Score(unit="GFLOP/s", reference_baseline="torch"),
            gate=GateDecision(gate="strict", accepted=True, reason="the seed"),
            author="seed",
            created=now(),
        )
        writer.record(ev.VersionCommitted(version=version))
        for identity, author in (("mine", "person"), ("own", "agent")):
            note = Note.model_validate(
                {"id": identity, "text": "a note", "at": now(), "author": author}
            )
            writer.record(ev.NoteWritten(note=note))
        writer.record(ev.StepStarted(step=1, parent=0))
        writer.record(answer(writer, {"tool": "set_plan", "title": "faster", "items": []}))
        writer.record(
            answer(writer, {"tool": "submit", "summary": "faster", "built_on": ["own", "mine"]})
        )
    return folder


def test_a_conversation_is_exported_and_can_be_run(
    avo: Avo, talked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = avo("export", "talked", "--to", str(tmp_path / "out"), "--as", "recording")
    file = tmp_path / "out" / "recording.json"
    assert said.code == 0 and f"avo run --recording {file}" in said.out
    recording = load(str(file))
    assert (recording.task, recording.model, len(recording.steps)) == (TASK.name, "some-model", 1)
    assert recording.steps[0].base.files == {"kernel.cpp": SEED}
    submitted = recording.steps[0].turns[1].content[0]["input"]
    assert submitted["built_on"] == ["own"], "a note that nobody writes again is not named"

    begun: list[Path] = []
    monkeypatch.setattr(starting, "start_session", lambda folder, **_: begun.append(folder))
    monkeypatch.setattr("avo_tui.cli.opening.find_task", lambda name: TASK)
    assert avo("run", "--recording", str(file), "--name", "again", "--headless").code == 0
    settings = SessionReader.open(begun[0]).state.session.settings
    assert (settings.operator, settings.recording) == ("recorded", str(file))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("other_task",), 1, "is of pretend, not of other_task"),
        (("--operator", "tuner"), 2, "a recording is its own operator"),
    ],
)
def test_a_recording_is_not_run_as_something_else(
    avo: Avo, talked: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    avo("export", "talked", "--to", str(tmp_path / "out"), "--as", "recording")
    file = tmp_path / "out" / "recording.json"
    said: Result = avo("run", "--recording", str(file), *arguments, "--headless")
    assert said.code == code and says in " ".join(said.err.split())


def test_a_file_that_is_no_recording_is_one_sentence(avo: Avo, tmp_path: Path) -> None:
    for name, words in (("nothing.json", "there is no recording"), ("else.json", "is not a rec")):
        (tmp_path / "else.json").write_text("{}")
        said = avo("run", "--recording", str(tmp_path / name), "--headless")
        assert said.code == 1 and words in said.err and len(said.err.splitlines()) == 1
