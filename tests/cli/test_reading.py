"""Commands that read: their text, and their JSON to the letter of the contract."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import Rewind, SendHint
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Direction, Intervention, Note, Version
from avo_tui.domain.score import Score
from avo_tui.domain.workers import QueueSeen, WorkersSeen, WorkerStatus
from avo_tui.store import SessionReader, SessionWriter, WorkersFile, send_command
from tests.cli.command_line import Result, make_session

Avo = Callable[..., Result]
SCORE = {"correct", "aggregate", "geomean", "unit", "reference_baseline", "configurations"}
CONFIGURATION = {"name", "parameters", "throughput", "p20", "p80", "ratio", "baselines"}


def is_utc(text: str) -> bool:
    parsed = datetime.fromisoformat(text)
    return parsed.utcoffset() is not None and text.endswith("Z")


def test_lineage_json(avo: Avo, done: Path) -> None:
    form = avo("lineage", "done", "--json").json
    assert {"session", "head", "best", "versions"} <= form.keys()
    assert form["session"] == "done"
    assert [v["number"] for v in form["versions"]] == list(range(len(form["versions"])))
    wanted = {
        "number", "parent", "author", "step", "candidate", "score", "gate", "plan", "summary",
        "created", "bookmark",
    }  # fmt: skip
    for version in form["versions"]:
        assert wanted <= version.keys()
        assert version["score"].keys() >= SCORE
        assert is_utc(version["created"])
        assert re.fullmatch("[0-9a-f]{64}", version["candidate"])
        for configuration in version["score"]["configurations"]:
            assert configuration.keys() >= CONFIGURATION
    seed, last = form["versions"][0], form["versions"][-1]
    assert seed["parent"] is None and seed["author"] == "seed"
    assert last["author"] == "tuner" and form["head"] == last["number"] == form["best"]
    ratios = [c["ratio"] for c in last["score"]["configurations"]]
    product = 1.0
    for ratio in ratios:
        product *= ratio
    assert last["score"]["aggregate"] == pytest.approx(product ** (1 / len(ratios)))


def test_status_json(avo: Avo, done: Path) -> None:
    form = avo("status", "done", "--json").json
    wanted = {
        "session", "task", "operator", "state", "step", "attempt", "stage", "engine", "budget",
        "spend", "best", "head", "last_event_at", "parked_until",
    }  # fmt: skip
    assert wanted <= form.keys()
    assert form["state"] == "finished" and form["operator"] == "tuner"
    assert form["engine"] == {"alive": False, "pid": None, "host": None}
    assert form["attempt"] is None and form["parked_until"] is None
    assert form["spend"]["evaluations"] == 12
    assert form["budget"]["run"]["evaluations"] == 12
    assert is_utc(form["last_event_at"])


def test_what_the_supervisor_said_and_what_a_version_owes(avo: Avo, own_places: Path) -> None:
    note = Note(id="n1", category="worked", text="wide tiles pay \x1b[31m", at=now())
    made = Intervention(
        id="i1",
        at=now(),
        step=1,
        level="redirect",
        trigger="8 attempts without a commit (limit 8)",
        diagnosis="8 attempts: 8 wrong result.",
        review="The loads are the limit.",
        directions=(Direction(text="pack K", parent=0),),
    )
    folder = make_session(own_places)
    with SessionWriter.open(folder) as writer:
        seed = writer.put(Candidate(files={"kernel.cpp": "int a;\n"}).canonical())
        for number, built_on in enumerate([(), (note,)]):
            if number:
                writer.record(ev.NoteWritten(note=note))
                writer.record(ev.StepStarted(step=1, parent=0))
                now_made = made.model_copy(update={"at": now()})
                writer.record(ev.SupervisorIntervened(intervention=now_made))
                shown = avo("status", "one").out
            version = Version(
                number=number,
                parent=number - 1 if number else None,
                step=number,
                candidate=seed,
                score=Score(unit="GFLOP/s", reference_baseline="torch"),
                gate=GateDecision(gate="strict", accepted=True, reason="better"),
                author="agent",
                created=now(),
                built_on=built_on,
            )
            writer.record(ev.VersionCommitted(version=version))
    for words in ("redirect in step 1", "The loads are the limit.", "→ pack K (from v0)"):
        assert words in shown, words
    said = avo("show", "one", "1")
    assert "built on the note n1, worked: wide tiles pay" in said.out and "\x1b" not in said.out
    assert "The loads are the limit." in said.out
    assert "redirect" not in avo("show", "one", "0").out
    form = avo("show", "one", "1", "--json").json
    assert form["built_on"][0]["text"] == note.text
    assert [i["review"] for i in form["interventions"]] == ["The loads are the limit."]
    status = avo("status", "one", "--json").json
    assert status["memory"] == {"notes": 1, "characters": len(note.text), "limit": 16_000}
    assert status["supervisor"]["active"][0]["directions"] == [{"text": "pack K", "parent": 0}]
    assert status["supervisor"]["numbers"]["attempts"] == {"used": 0, "limit": 16}
    assert status["supervisor"]["next"] == "restart"


def test_status_tells_the_commands_that_wait(avo: Avo, done: Path) -> None:
    assert "queued" not in avo("status", "done").out
    send_command(done, Rewind(version=0, reason="x"))
    send_command(done, SendHint(text="\x1b[31mtiles"))
    assert "2 commands queued: rewind to v0, hint\n" in avo("status", "done").out
    first, second = avo("status", "done", "--json").json["queued"]
    assert (first["kind"], first["text"]) == ("rewind", "rewind to v0") and is_utc(first["at"])
    assert second["text"] == "hint" and second["by"]
    for path in (done / "inbox").iterdir():
        path.unlink()


def test_status_of_a_live_run(avo: Avo, live: Path) -> None:
    form = avo("status", "live", "--json").json
    assert form["state"] == "running"
    assert form["engine"]["alive"] is True and isinstance(form["engine"]["pid"], int)
    assert "running" in avo("status", "live").out


def test_a_run_without_its_engine_is_lost(avo: Avo, done: Path, own_places: Path) -> None:
    make_session(own_places, "lost")
    assert avo("status", "lost", "--json").json["state"] == "lost"
    said = avo("status", "lost").out
    assert "engine lost" in said and "avo run --resume lost" in said


def test_sessions(avo: Avo, done: Path, own_places: Path) -> None:
    (own_places / "broken" / "journal").mkdir(parents=True)
    (own_places / "broken" / "journal" / "000000.jsonl").write_text("nonsense\n")
    form = avo("sessions", "--json").json
    rows = {s["session"]: s for s in form["sessions"]}
    assert rows["done"]["state"] == "finished" and rows["done"]["best_ratio"] > 0.05
    assert rows["broken"]["error"]
    said = avo("sessions").out
    assert "done" in said and "finished" in said and "broken" in said


def test_no_sessions(avo: Avo, own_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avo_tui.store.places.sessions_roots", lambda: [own_places])
    place = {"folder": str(own_places), "origin": "$AVO_SESSIONS"}
    assert avo("sessions", "--json").json == {"sessions": [], "new": place}
    assert "avo demo" in avo("sessions").out


def test_show(avo: Avo, done: Path) -> None:
    said = avo("show", "done", "best")
    assert said.code == 0 and "gate strict" in said.out and "of library" in said.out
    source = avo("show", "done", "v0", "--source").out
    assert source.rstrip("\n") == SessionReader.open(done).candidate(
        SessionReader.open(done).state.versions[0].candidate
    ).files["kernel.cpp"].rstrip("\n")
    diff = avo("show", "done", "1", "--diff").out
    assert "--- a/kernel.cpp" in diff and "\n+constexpr" in diff
    form = avo("show", "done", "head", "--json").json
    assert form["files"]["kernel.cpp"] and form["diff"] and form["session"] == "done"


def test_lineage_text(avo: Avo, done: Path) -> None:
    said = avo("lineage", "done").out
    versions = SessionReader.open(done).state.versions
    rows = [line for line in said.splitlines() if line.startswith("v")]
    assert len([row for row in rows if row.split()[0][1:2].isdigit()]) == len(versions)
    assert "★" in said and "of library" in said
    newest = max(versions)
    assert f"{versions[newest].gate.over}" in next(r for r in rows if r.startswith(f"v{newest}"))
    assert "decides which is best" in said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("status", "nope"), 1, "there is no session 'nope'"),
        (("status", "dome"), 1, "did you mean done?"),
        (("show", "done", "v99"), 1, "there are v0 to v"),
        (("show", "done", "best", "--source", "--diff"), 2, "choose one of"),
        (("lineage",), 2, "Missing argument"),
        (("frobnicate",), 2, "No such command"),
        (("status", "done", "--frobnicate"), 2, "No such option"),
    ],
)
def test_errors(avo: Avo, done: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    result = avo(*arguments)
    assert result.code == code
    assert says in result.err
    assert result.out == ""
    if code == 1:
        assert len(result.err.strip().splitlines()) == 1
        assert "Traceback" not in result.err


def test_a_damaged_session_is_one_sentence(avo: Avo, done: Path) -> None:
    shutil.rmtree(done / "journal")
    for name in ("session.json", "session.json.previous"):
        (done / name).write_text("{")
    result = avo("status", "done")
    assert result.code == 1 and len(result.err.strip().splitlines()) == 1


def test_hostile_text_reaches_no_terminal(avo: Avo, own_places: Path) -> None:
    from avo_tui.domain import events as ev
    from avo_tui.store import SessionWriter

    folder = make_session(own_places, "evil")
    with SessionWriter.open(folder) as writer:
        writer.record(ev.StateChanged(state="paused", reason="\x1b]0;owned\x07\u202e now \x9b31m"))
    said = avo("status", "evil").out + avo("sessions").out
    assert not any(c in said for c in "\x1b\x07\u202e\x9b")


def test_tasks_and_their_json(avo: Avo) -> None:
    form = avo("tasks", "--json").json
    names = {t["name"]: t for t in form["tasks"]}
    assert names["attention_cpu"]["language"] == "cpp"
    assert form["broken"] == []
    assert "attention_cpu" in avo("tasks").out


def test_a_broken_task_hides_no_other(
    avo: Avo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = tmp_path / "kernels"
    (kernels / "bad").mkdir(parents=True)
    (kernels / "bad" / "task.py").write_text("import nonsense_that_is_not_there\n")
    monkeypatch.setenv("AVO_KERNELS", str(kernels))
    form = avo("tasks", "--json").json
    assert [t["name"] for t in form["broken"]] == ["bad"]
    assert "nonsense_that_is_not_there" in form["broken"][0]["error"]
    assert "attention_cpu" in [t["name"] for t in form["tasks"]]
    said = avo("run", "bad", "--headless")
    assert said.code == 1 and "task bad does not load" in said.err


def test_doctor(avo: Avo, done: Path) -> None:
    result = avo("doctor", "--json")
    form = result.json
    assert form["session"] is None
    whats = {f["what"] for f in form["findings"]}
    assert {
        "python",
        "compiler",
        "torch",
        "gpu",
        "sandbox",
        "tasks",
        "sessions",
        "operator",
    } <= whats
    assert all(f["level"] in {"ok", "warn", "fail"} for f in form["findings"])
    sentences = [f["sentence"] for f in result.json["findings"] if f["what"] == "evaluator"]
    for scheme in ("ssh", "dask", "dask+slurm"):  # there, or the package that brings it is named
        (said,) = (s for s in sentences if s.startswith((f"{scheme}://:", f"evaluator {scheme} ")))
        assert "can be used" in said or "install" in said or "no " in said
    session = avo("doctor", "done", "--json")
    assert session.code == 0 and all(f["level"] != "fail" for f in session.json["findings"])
    assert avo("doctor", "--repair").code == 2


def test_doctor_finds_and_says_what_is_damaged(avo: Avo, done: Path) -> None:
    objects = [p for p in (done / "objects").rglob("*") if p.is_file()]
    objects[0].unlink()
    result = avo("doctor", "done")
    assert result.code == 1 and "FAIL" in result.out


def test_an_attempt_is_shown_with_its_report_and_the_gates_numbers(avo: Avo, done: Path) -> None:
    attempt = next(a for a in SessionReader.open(done).state.attempts.values() if a.version == 1)
    name = f"{attempt.step}.{attempt.number}"
    said = avo("show", "done", name)
    assert said.code == 0 and "verdict: correct" in said.out and "gate strict: " in said.out
    form = avo("show", "done", name, "--json").json
    assert form["gate"]["accepted"] and form["report"]["score"]["aggregate"] > 0
    assert "+constexpr" in avo("show", "done", name, "--diff").out
    missing = avo("show", "done", "77.1")
    assert missing.code == 1 and "avo attempts done lists them" in missing.err


def test_the_brief_names_the_task_and_how_to_work(avo: Avo, done: Path) -> None:
    page = avo("brief", "done").out
    assert "Pretend kernel" in page and "avo submit done" in page and "{{" not in page


def test_a_version_is_shown_beside_every_baseline_and_its_plan_by_paragraphs(avo: Avo) -> None:
    shipped = Path(__file__).resolve().parents[2] / "sessions" / "mha-hopper"
    lines = avo("show", str(shipped), "v6").out.splitlines()
    assert lines[1:3] == [
        "The next QK before this softmax",
        "Queue QK of the next block together with PV of the last one before the softmax, so that "
        "the tensor cores have work during it.",
    ]
    assert any(line.startswith("Note: The overlap inside a warpgroup") for line in lines)
    heads = next(line for line in lines if line.startswith("configuration")).split()
    assert heads[-6:] == ["of", "cudnn", "of", "flash", "of", "fa3"]
    rows = [line.split() for line in lines if line.startswith(("full-", "causal-", "all "))]
    assert len(rows) == 9
    assert all(0.5 < float(value) < 3 for row in rows for value in row[-3:])


def test_attempts_are_listed_filtered_and_counted(avo: Avo, done: Path) -> None:
    state = SessionReader.open(done).state
    everything = avo("attempts", "done", "--json").json
    assert everything["matching"] == len(state.attempts) == len(everything["attempts"])
    committed = avo("attempts", "done", "committed", "--json").json["attempts"]
    assert {a["version"] for a in committed} == {
        a.version for a in state.attempts.values() if a.version is not None
    }
    one = avo("attempts", "done", "committed", "--most", "1")
    assert committed[0]["attempt"] in one.out and "more; --most" in one.out
    assert "no attempt that matches 'zebra'" in avo("attempts", "done", "zebra").out
    assert avo("attempts", "done", "--sort", "colour").code == 2


def test_status_says_how_the_run_is_doing(avo: Avo, done: Path) -> None:
    form = avo("status", "done", "--json").json["progress"]
    best = SessionReader.open(done).state.best
    assert best is not None and form["best"] == best.number and form["state"] == "finished"
    assert f"v{best.number} has been the best for" in avo("status", "done").out
    assert avo("sessions", "--json").json["sessions"][0]["progress"]["best"] == best.number


def test_what_is_whole_of_a_damaged_lineage_is_shown_and_exported(
    avo: Avo, done: Path, tmp_path: Path
) -> None:
    reader = SessionReader.open(done)
    last = max(reader.state.versions)
    seed = reader.state.versions[0].candidate
    (done / "objects" / seed[:2] / seed[2:]).unlink()
    shown = avo("show", "done", "v0", "--json")
    assert shown.json["files"] == {} and "is missing" in shown.json["damaged"]
    assert shown.json["score"]
    assert avo("show", "done", "v0").code == 0
    refused = avo("show", "done", "v0", "--source")
    assert refused.code == 1 and "is missing; put objects/" in refused.err
    page = tmp_path / "page"
    assert avo("export", "done", "--to", str(page), "--as", "html").code == 0
    assert "cannot be shown" in next(page.glob("*.html")).read_text()
    assert avo("show", "done", f"v{last}").code == 0


def test_a_version_whose_parent_is_lost_is_shown_and_exported(
    avo: Avo, done: Path, tmp_path: Path
) -> None:
    database = done / "session.json"
    tables = json.loads(database.read_text())
    for row in tables["versions"].values():
        if row["parent"] is not None:
            row["parent"] = 77
    database.write_text(json.dumps(tables))
    assert "is lost" in avo("show", "done", "v1", "--json").json["damaged"]
    for form in ("html", "git"):
        assert avo("export", "done", "--to", str(tmp_path / form), "--as", form).code == 0


def test_workers_are_listed_with_what_they_do(avo: Avo, done: Path) -> None:
    missing = avo("workers", "done")
    assert missing.code == 1 and "nothing is known of the devices of done" in missing.err
    assert avo("workers", "done", "--json").json["workers"] == []
    workers = (
        WorkerStatus(
            name="local:0", state="busy", since=now(), joined=now(), operation="evaluate",
            candidate="0123456789", host="here", evaluations=3,
        ),
        WorkerStatus(name="ssh://far", state="lost", since=now(), reason="no \x1b[31mroute"),
    )  # fmt: skip
    file = WorkersFile(done)
    file.write(WorkersSeen(at=now(), workers=workers))
    file.close()
    shown = avo("workers", "done").out
    for words in ("no engine runs", "ended", "3 answered", "route"):
        assert words in shown, shown
    assert "\x1b" not in shown and "evaluate" not in shown, "what is over is not told as going on"
    form = avo("workers", "done", "--json").json
    assert form["session"] == "done" and not form["engine_alive"] and is_utc(form["at"])
    assert [(w["name"], w["state"], w["usable"]) for w in form["workers"]] == [
        ("local:0", "ended", False), ("ssh://far", "lost", False),
    ]  # fmt: skip
    assert [w["name"] for w in avo("status", "done", "--json").json["workers"]] == [
        "local:0", "ssh://far",
    ]  # fmt: skip
    file = WorkersFile(done)
    file.write(WorkersSeen(at=now(), queue=QueueSeen(waiting=3)))
    file.close()
    assert "3 requests wait; no worker yet" in avo("workers", "done").out
    assert avo("workers", "done", "--json").json["queue"]["waiting"] == 3
