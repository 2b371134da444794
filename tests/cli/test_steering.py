"""Commands that steer, against a live engine and without one."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from avo_tui.cli import control
from avo_tui.store import SessionReader, SessionWriter, engine_status, waiting_commands
from tests.cli.command_line import Result, make_session
from tests.waiting import wait_for

Avo = Callable[..., Result]


def test_pause_resume_stop(avo: Avo, live: Path) -> None:
    reader = SessionReader.open(live)

    def state() -> str:
        reader.poll()
        return reader.run_state()

    paused = avo("pause", "live", "--when", "now")
    assert (paused.code, paused.out) == (0, "pauses now\n")
    wait_for(lambda: state() == "paused")
    again = avo("pause", "live")
    assert again.code == 1 and again.err == "avo: refused: the run is paused already\n"
    assert avo("resume", "live").out == "goes on\n"
    wait_for(lambda: state() == "running")
    stopped = avo("stop", "live", "--json")
    assert stopped.code == 0
    assert stopped.json["taken"] is True and stopped.json["refused"] is None
    assert not engine_status(live / "engine.lock").alive
    assert state() == "stopped"


def test_hint_and_clear(avo: Avo, live: Path) -> None:
    said = avo("hint", "live", "WIDTH=4", "--scope", "until-cleared", "--when", "next-tool")
    assert said.out == "queued, delivered at the next tool\n"
    reader = SessionReader.open(live)

    def effect() -> str:
        reader.poll()
        return "".join(h.effect for h in reader.state.hints.values())

    wait_for(lambda: effect() == "WIDTH is pinned to 4")
    assert avo("clear-hint", "live", "all").out == "cleared\n"
    nothing = avo("clear-hint", "live", "all")
    assert nothing.code == 1 and "no hint is in force" in nothing.err


def test_rewind_bookmark_note_and_remeasure(avo: Avo, live: Path) -> None:
    said = avo("rewind", "live", "0", "--why", "start over")
    assert said.code == 0 and "v0 is the head" in said.out
    assert avo("bookmark", "live", "v0", "origin").out == "v0 is marked origin\n"
    assert avo("note", "live", "0", "here it began").code == 0
    again = avo("remeasure", "live", "0", "--json").json
    assert "v0 measured again" in again["effect"]
    form = avo("show", "live", "0", "--json").json
    assert (form["bookmark"], form["note"]) == ("origin", "here it began")
    assert len(form["remeasurements"]) == 1
    missing = avo("rewind", "live", "999")
    assert missing.code == 1 and "there is no version 999" in missing.err


def test_submit(avo: Avo, live: Path, tmp_path: Path) -> None:
    source = avo("show", "live", "0", "--source").out
    for name, value in (
        ("ALGORITHM = 0", "ALGORITHM = 2"),
        ("FAST_EXP = false", "FAST_EXP = true"),
        ("TILE_K = 16", "TILE_K = 64"),
        ("UNROLL = 1", "UNROLL = 4"),
        # beyond what the tuner may choose: nothing that it has found by now is as fast
        ("WIDTH = 1;  // tune: 1", "WIDTH = 64;  // tune: 64 1"),
    ):
        assert name in source
        source = source.replace(name, value)
    path = tmp_path / "kernel.cpp"
    path.write_text(source)
    said = avo("submit", "live", str(path), "--plan", "all at once", "--parent", "0", "--json")
    assert said.code == 0 and "committed as v" in said.json["effect"]
    assert said.json["verdict"] == "correct" and said.json["version"] is not None
    assert said.json["gate"]["accepted"] and said.json["gate"]["spent"].keys() == {"benchmark"}
    assert said.json["report"]["score"]["configurations"], "the score of each configuration"
    assert "log" in said.json["report"]["feedback"]
    lineage = avo("lineage", "live", "--json").json
    mine = next(v for v in lineage["versions"] if v["author"] == "person")
    assert mine["parent"] == 0 and mine["plan"] == "all at once"
    again = avo("submit", "live", str(path))
    assert again.code == 0 and "already" in again.out
    assert avo("submit", "live", str(tmp_path / "nope.cpp")).code == 1


def test_the_files_submitted_are_the_whole_candidate(avo: Avo, live: Path, tmp_path: Path) -> None:
    """As with `evaluate`: the head's kernel.cpp is not linked beside another file.

    Its one file has the name of the head's, so that the difference is the change alone."""
    path = tmp_path / "other.cpp"
    path.write_text(avo("show", "live", "0", "--source").out + "// another file\n")
    said = avo("submit", "live", str(path), "--json")
    assert said.code in (0, 3) and said.json["verdict"] == "correct"
    reader = SessionReader.open(live)
    attempt = next(a for a in reader.state.attempts.values() if a.title == "made by hand")
    assert list(reader.candidate(attempt.candidate).files) == ["kernel.cpp"]
    avo("submit", "live", str(path), "--merge", "--plan", "both")
    reader.poll()
    attempt = next(a for a in reader.state.attempts.values() if a.title == "both")
    assert sorted(reader.candidate(attempt.candidate).files) == ["kernel.cpp", "other.cpp"]


def test_budget(avo: Avo, live: Path) -> None:
    assert avo("budget", "live").out == "no caps\n"
    assert avo("budget", "live", "--hours", "2", "--evaluations", "9000").code == 0
    form = avo("budget", "live", "--json").json
    assert form["budget"]["run"] == {
        "usd": None, "tokens": None, "hours": 2.0, "evaluations": 9000, "steps": None,
    }  # fmt: skip
    avo("budget", "live", "--evaluations", "3", "--per-step")
    form = avo("budget", "live", "--json").json
    assert form["budget"]["step"] == {**dict.fromkeys(form["budget"]["run"]), "evaluations": 3}
    assert form["budget"]["run"]["hours"] == 2.0
    avo("budget", "live", "--none", "--steps", "100")
    assert avo("budget", "live").out.endswith(" of 100 steps\n")


def test_without_an_engine_a_short_one_takes_the_command(avo: Avo, done: Path) -> None:
    assert avo("bookmark", "done", "0", "start").out == "v0 is marked start\n"
    rewound = avo("rewind", "done", "0")
    assert rewound.code == 0 and "v0 is the head" in rewound.out
    assert "versions stay as a branch" in rewound.out or "version" in rewound.out
    status = avo("status", "done", "--json").json
    assert status["head"] == 0 and status["state"] == "finished"
    wait_for(lambda: not engine_status(done / "engine.lock").alive)


def test_an_engine_that_ends_without_reading_the_inbox_again_leaves_no_command(
    avo: Avo, done: Path
) -> None:
    last = SessionWriter.open(done)

    def end() -> None:
        wait_for(lambda: waiting_commands(done))
        last.close()

    thread = Thread(target=end)
    thread.start()
    result = avo("bookmark", "done", "0", "start")
    thread.join()
    assert (result.code, result.out) == (0, "v0 is marked start\n"), result.err


def test_a_command_without_an_answer_is_told_and_fails(
    avo: Avo, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "answer", lambda *_: None)
    result = avo("bookmark", "done", "0", "start")
    assert (result.code, result.out) == (1, "") and "has not answered yet" in result.err
    said = avo("bookmark", "done", "0", "start", "--json")
    assert said.code == 1 and said.json["taken"] is False


def test_an_agents_run_is_commanded_without_its_key(
    avo: Avo, own_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    make_session(own_places, "talk", "agent")
    assert avo("status", "talk", "--json").json["operator"] == "agent"
    result = avo("budget", "talk", "--steps", "7")
    assert result.code == 0, result.err
    assert avo("budget", "talk", "--json").json["budget"]["run"]["steps"] == 7


@pytest.mark.parametrize("command", ["pause", "resume", "stop", "approve", "reject"])
def test_what_needs_a_running_engine_says_so(avo: Avo, done: Path, command: str) -> None:
    result = avo(command, "done")
    assert result.code == 1
    assert result.err == (
        "avo: done is not running (finished); go on with: avo run --resume done\n"
    )
    assert list((done / "inbox").glob("*")) == []


def test_hints_for_a_run_that_rests_are_kept(avo: Avo, done: Path) -> None:
    assert avo("hint", "done", "TILE_K=64").code == 0
    reader = SessionReader.open(done)
    assert [h.state for h in reader.state.hints.values()] == ["queued"]


def test_submit_needs_a_version(avo: Avo, own_places: Path, tmp_path: Path) -> None:
    make_session(own_places, "empty")
    (tmp_path / "k.cpp").write_text("int x;\n")
    result = avo("submit", "empty", str(tmp_path / "k.cpp"))
    assert result.code == 1 and "has no versions yet" in result.err


def test_memory(avo: Avo, done: Path) -> None:
    assert "no notes yet" in avo("memory", "done").out
    assert avo("memory", "done", "--add", "loads \x1b[31mlimit", "--category", "idea").code == 0
    form = avo("memory", "done", "--json").json
    (note,) = form["notes"]
    assert (note["category"], note["author"], note["versions"]) == ("idea", "person", [])
    assert form["characters"] == len(note["text"]) and form["limit"] == 16_000
    shown = avo("memory", "done").out
    assert f"[{note['id']}] idea (person, step" in shown and "\x1b" not in shown
    assert avo("memory", "done", "--replace", note["id"], "--add", "stores limit").code == 0
    (note,) = avo("memory", "done", "--json").json["notes"]
    assert (note["text"], note["category"]) == ("stores limit", "idea"), "it stays what it was"
    refused = avo("memory", "done", "--remove", "nothing")
    assert refused.code == 1 and "there is no note nothing" in refused.err
    assert avo("memory", "done", "--remove", note["id"]).code == 0
    assert avo("memory", "done", "--json").json["notes"] == []
    for wrong in (("--replace", "x"), ("--remove", "x", "--add", "y")):
        assert avo("memory", "done", *wrong).code == 2


def test_undo_takes_the_last_command_back_and_again_does_it_anew(avo: Avo, done: Path) -> None:
    assert avo("undo", "done").code == 1
    assert avo("bookmark", "done", "v1", "first").code == 0
    assert avo("bookmark", "done", "v1", "second").code == 0
    result = avo("undo", "done")
    assert result.code == 0 and "v1 is marked first" in result.out
    assert "undoing bookmark (v1 second)" in result.err
    assert "v1 is marked second" in avo("undo", "done").out
