"""`avo seat` and `avo brief`: the tools of the seat from the command line."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace
from typing import cast

import pytest

from avo_tui.cli import seat as seat_command
from avo_tui.cli.seat import _patient
from avo_tui.operators.seat.wire import Answer, Call
from avo_tui.operators.toolbox.tool import RESULT_LIMIT
from avo_tui.seat.client import SeatClient
from avo_tui.store import SessionReader
from tests.cli.command_line import Result, make_session, running
from tests.shipped import shipped_sessions
from tests.waiting import wait_for

Avo = Callable[..., Result]
KEY = "sk-ant-0123456789abcdefgh"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A session with a seat whose engine runs, for all tests of this module."""
    folder = make_session(tmp_path_factory.mktemp("seat"), "seated", "seat")
    with running(folder):
        reader = SessionReader.open(folder)
        wait_for(lambda: reader.poll() is not None and len(reader.state.versions) == 1)
        yield folder


@pytest.fixture
def seated(engine: Path, own_places: Path, avo: Avo) -> Path:
    """That session among this test's, its step begun and its candidate the parent's source."""
    (own_places / "seated").symlink_to(engine)
    assert avo("seat", "seated", "begin_step").code == 0
    assert avo("seat", "seated", "reset_candidate").code == 0
    return engine


def test_the_tools_are_listed_with_their_types(seated: Path, avo: Avo) -> None:
    listed = avo("seat", "seated")
    assert listed.code == 0
    assert "sweep?: {NAME: [text, …], …}. Constants to vary" in listed.out
    assert "most_pairs?: whole number, 2 to 32 (default 32)" in listed.out
    tools = {tool["name"]: tool for tool in avo("seat", "seated", "--json").json["tools"]}
    assert tools["submit"]["input_schema"]["properties"]["most_pairs"]["maximum"] == 32


def test_a_scratch_program_is_not_part_of_the_candidate(
    seated: Path, avo: Avo, tmp_path: Path
) -> None:
    program = tmp_path / "experiment.cpp"
    program.write_text("int main() { return 0; }\n")
    ran = avo("seat", "seated", "scratch", "--file", str(program))
    assert ran.code == 0, ran.out + ran.err
    candidate = avo("seat", "seated", "read_candidate")
    assert "experiment" not in candidate.out and "kernel.cpp" in candidate.out


def test_files_are_put_into_the_candidate_under_the_name_that_is_given(
    seated: Path, avo: Avo, tmp_path: Path
) -> None:
    mine = tmp_path / "third try.txt"
    mine.write_text("constexpr int UNROLL = 2;  // mine\n")
    put = avo("seat", "seated", "show_diff", "--file", f"kernel.cpp={mine}")
    assert put.code == 0 and "+constexpr int UNROLL = 2;  // mine" in put.out
    assert "Rewrote kernel.cpp" in put.err
    assert "third try" not in avo("seat", "seated", "read_candidate").out


def test_a_call_that_cannot_work_changes_nothing(seated: Path, avo: Avo, tmp_path: Path) -> None:
    mine = tmp_path / "kernel.cpp"
    mine.write_text("int broken\n")
    for arguments, words in (
        (("evaluate", "title=x"), "3 characters"),
        (("evalute", "title=rows as lanes"), "Did you mean evaluate"),
        (("recall",), "does not use the working candidate"),
        (("bench", "pairs=many"), "pairs is not JSON"),
    ):
        refused = avo("seat", "seated", *arguments, "--file", str(mine))
        assert refused.code != 0 and words in refused.err, (arguments, refused.err)
    gone = avo("seat", "seated", "check", "--file", str(tmp_path / "gone.cpp"))
    assert gone.code != 0 and "there is no file" in gone.err
    assert "broken" not in avo("seat", "seated", "read_candidate").out


def test_a_long_answer_goes_to_a_file_or_is_whole_as_json(
    seated: Path, avo: Avo, tmp_path: Path
) -> None:
    mine, out = tmp_path / "kernel.cpp", tmp_path / "answer.txt"
    mine.write_text("".join(f"// line {number} of many\n" for number in range(3000)))
    cut = avo("seat", "seated", "read_candidate", "--file", str(mine))
    assert "characters left out" in cut.out and "--out FILE" in cut.err
    whole = avo("seat", "seated", "read_candidate", "--json").json
    assert whole["ok"] and "line 1500 of many" in whole["text"]
    assert len(whole["text"]) == whole["characters"]
    raw = avo("seat", "seated", "read_candidate", "raw=true")
    assert raw.out == mine.read_text(), "all of it and nothing else: it may be piped into a file"
    written = avo("seat", "seated", "read_candidate", "--out", str(out))
    assert written.out.startswith(f"{whole['characters']} characters were written to {out}")
    assert out.read_text() == whole["text"] + "\n"
    for place, words in ((tmp_path, "is a folder"), (tmp_path / "no" / "x", "there is no folder")):
        refused = avo("seat", "seated", "read_candidate", "--out", str(place))
        assert refused.code == 1 and words in refused.err


def test_what_cannot_be_done_has_the_form_of_an_answer(
    seated: Path, avo: Avo, own_places: Path
) -> None:
    make_session(own_places, "other", "tuner")
    fields = set(avo("seat", "seated", "recall", "--json").json)
    for arguments, words in (
        (("seated", "evaluate", "title=x"), "3 characters"),
        (("seated", "evaluate", "x"), "is not key=value"),
        (("seated", "check", "--file", "/nowhere"), "there is no file /nowhere"),
        (("other", "recall"), "has no seat: its operator is tuner"),
        (("other",), "has no seat"),
        (("nowhere", "recall"), "nowhere"),
    ):
        refused = avo("seat", *arguments, "--json")
        assert refused.code == 1 and set(refused.json) == {*fields, "error"}, arguments
        assert not refused.json["ok"] and words in refused.json["text"]
        assert refused.json["error"] == refused.json["text"] and words in refused.err
    assert "has no seat" in avo("mcp", "other").err


def test_the_task_is_searched(seated: Path, avo: Avo) -> None:
    hits = avo("seat", "seated", "search_knowledge", "query=pretend kernel")
    assert hits.code == 0 and "[task:" in hits.out
    name = hits.out.partition("[")[2].partition("]")[0]
    read = avo("seat", "seated", "read_knowledge", f"id={name}")
    assert read.code == 0 and "Pretend" in read.out


def test_the_brief_says_what_may_be_used(seated: Path, avo: Avo) -> None:
    page = avo("brief", "seated")
    assert page.code == 0
    for words in ("What you may use", "--file", "scratch", "Not while a tool of the seat runs"):
        assert words in page.out


def test_an_agent_does_not_take_back_that_the_run_was_stopped(own_places: Path, avo: Avo) -> None:
    folder = make_session(own_places, "ended", "seat")
    with running(folder) as engine:
        reader = SessionReader.open(folder)
        wait_for(lambda: reader.poll() is not None and len(reader.state.versions) == 1)
        assert avo("stop", "ended", "--wait", "120").code == 0
        engine.wait(120)
    called = avo("seat", "ended", "begin_step")
    assert called.code != 0
    assert "ended is stopped (as asked)" in called.err
    assert "decided by the person" in called.err
    versions = avo("seat", "ended", "list_versions", "--json").json
    assert versions["ok"] and versions["run_ended"] and "v0" in versions["text"]
    assert versions["run_state"] == "stopped"
    assert "the run is stopped (as asked): only its record" in avo("brief", "ended").out
    assert "ended is stopped (as asked)" in avo("seat", "ended", "list_attempts").out
    kept = avo("seat", "ended", "remember", "category=fact", f"text=halves of a tile pay {KEY}")
    assert kept.code == 0 and "Kept as note" in kept.out, kept.err
    assert "halves of a tile pay [redacted]" in avo("seat", "ended", "recall").out
    ended = SessionReader.open(folder)
    assert [note.author for note in ended.state.memory.values()] == ["seat"]
    assert ended.run_state() == "stopped" and not ended.engine().alive


def test_a_note_that_waits_for_an_engine_is_not_taken_for_refused(tmp_path: Path, avo: Avo) -> None:
    live = next(path for path in shipped_sessions() if path.name == "attention-cpu-live")
    copytree(live, tmp_path / "copy")
    told = avo("seat", str(tmp_path / "copy"), "remember", "category=fact", "text=halves pay")
    assert told.code == 1 and "The note is not written yet: the command is in the inbox" in told.out
    assert "avo session trust" in told.out and "condense" not in told.out


def test_a_source_is_given_whole_and_as_it_is(avo: Avo) -> None:
    live = next(path for path in shipped_sessions() if path.name == "attention-cpu-live")
    reader = SessionReader.open(live)
    version = reader.state.versions[10]
    (source,) = reader.candidate(version.candidate).files.values()
    assert len(source) > RESULT_LIMIT
    attempt = (f"step={version.step}", f"number={version.attempt}")
    for asked in (("read_version", "version=10"), ("read_attempt", *attempt)):
        assert avo("seat", "attention-cpu-live", *asked, "part=source").out == source


def test_a_run_that_ends_under_a_call_still_lets_its_record_be_read(
    avo: Avo, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = iter([False, True])
    monkeypatch.setattr("avo_tui.cli.seat.is_over", lambda reader: next(over))
    told = avo("seat", "attention-cpu-live", "list_versions", "--json")
    assert told.code == 0 and told.json["run_ended"] and "v10" in told.json["text"]
    over = iter([False, True])
    assert "decided by the person" in avo("seat", "attention-cpu-live", "check").err


def test_who_has_not_opened_the_step_is_told_who_has(
    seated: Path, avo: Avo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls under several names: the way out is to use one, or to take the step over."""
    assert avo("seat", "seated", "begin_step", "--as", "first agent").code == 0
    monkeypatch.chdir(tmp_path)
    told = avo("seat", "seated", "read_candidate")
    assert told.code == 1 and "opened by 'first agent', and you are 'command line'" in told.out
    assert "say --as 'first agent' once from this folder" in told.out
    assert avo("seat", "seated", "read_candidate", "--as", "first agent").code == 0


def test_a_name_is_remembered_for_the_session_and_the_folder(
    seated: Path, avo: Avo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And for the shell by a variable; where two share a folder, each says who it is."""
    monkeypatch.chdir(tmp_path)
    assert avo("seat", "seated", "begin_step", "--as", "first agent").code == 0
    assert avo("seat", "seated", "read_candidate").code == 0
    again = avo("seat", "seated", "begin_step")
    assert again.code == 0 and "as 'first agent', the name of this shell or folder" in again.err
    monkeypatch.setenv("AVO_SEAT_AS", "second agent")
    told = avo("seat", "seated", "read_candidate")
    assert told.code == 1 and "you are 'second agent'" in told.out
    assert avo("seat", "seated", "begin_step").code == 0
    monkeypatch.delenv("AVO_SEAT_AS")
    assert avo("seat", "seated", "read_candidate", "--as", "third agent").code == 1
    unclear = avo("seat", "seated", "read_candidate")
    assert unclear.code == 1 and "'first agent' and 'third agent' called from this" in unclear.err
    assert avo("seat", "seated", "begin_step", "--as", "third agent").code == 0


def test_a_second_name_of_long_ago_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a book that was damaged."""
    monkeypatch.chdir(tmp_path)
    session = tmp_path / "sessions"
    clock = [1e9]
    monkeypatch.setattr(seat_command, "time", SimpleNamespace(time=lambda: clock[0]))
    assert seat_command.caller("first", session) == "first"
    clock[0] += seat_command.LATELY + 1
    assert seat_command.caller("second", session) == "second"
    assert seat_command.caller(None, session) == "second"
    assert seat_command.caller(None, tmp_path) == seat_command.NOBODY, "another session"
    (tmp_path / "state" / "avo-tui" / "seat-names.json").write_text("{")
    assert seat_command.caller(None, session) == seat_command.NOBODY


def test_an_error_is_not_written_as_if_it_were_the_answer(
    seated: Path, avo: Avo, tmp_path: Path
) -> None:
    out = tmp_path / "answer.txt"
    told = avo("seat", "seated", "read_version", "version=99", "--out", str(out))
    assert told.code == 1 and "There is no v99" in told.out and not out.exists()


async def test_an_interrupted_call_leaves_nothing_running(seated: Path) -> None:
    """The client leaves the seat; the tool itself goes on in the engine."""
    begun, left = asyncio.Event(), asyncio.Event()

    class Hanging:
        async def call(self, tool: str, arguments: object, *, whole: bool) -> Answer:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                left.set()
            raise AssertionError("nobody answers")

    wanted = Call(id=0, tool="bench")
    patient = _patient(SessionReader.open(seated), cast("SeatClient", Hanging()), wanted)
    task = asyncio.create_task(patient)
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left.is_set()
