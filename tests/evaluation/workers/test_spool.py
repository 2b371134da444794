"""Evaluators that share nothing but a folder: copies there and back, kills, and strange files."""

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.device import DeviceState
from avo_tui.domain.evidence import Ledger
from avo_tui.domain.gate_plan import GatePlan
from avo_tui.domain.gate_rules import Rival
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import (
    BreadthQuestion,
    CheckQuestion,
    CompileQuestion,
    EvaluateQuestion,
    MachineQuestion,
    RemeasureQuestion,
    SeedQuestion,
)
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.domain.workers import queue_text
from avo_tui.evaluation.evaluators import check_evaluator, make_evaluator, with_absolute_paths
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers import parcels, spool, spool_folder, spool_worker
from avo_tui.evaluation.workers.link import LEASE_SECONDS, WorkerGoneError
from avo_tui.evaluation.workers.spool import SpoolEvaluator
from avo_tui.evaluation.workers.spool_folder import SpoolFolder, WorkerNote
from avo_tui.evaluation.workers.spool_worker import SpoolWorker
from tests.evaluation.evaluation_support import needs_compiler

TASK = "attention_cpu"
MACHINE = MachineInfo(device="made up", conditions="made up")
SEED, OTHER = (Candidate(files={"attention.cpp": text}) for text in ("seed", "other"))


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (spool, spool_worker):
        monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(spool_worker, "BEAT_SECONDS", 0.02)


def score(ratio: float) -> Score:
    one = ConfigurationScore(
        name="small", throughput=100 * ratio, p20=99 * ratio, p80=101 * ratio, ratio=ratio,
        ratio_p20=0.99 * ratio, ratio_p80=1.01 * ratio, baselines={"library": 100.0},
    )  # fmt: skip
    return Score(unit="GFLOP/s", reference_baseline="library", configurations=(one,))


class FakeLink:
    """A worker whose figures are made up: a candidate's ratio stands in its source, or is 1."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.hold: Callable[[dict[str, Any]], bool] = lambda _: False
        self.cancelled = 0
        self.dies = 0
        """How many requests the worker dies under."""
        self.machine = MACHINE
        self._task = ""
        self._who = {"host": "far"}

    async def hello(self) -> dict[str, Any]:
        return self._who

    async def request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        match body["op"]:
            case "task_key":
                return self._task
            case "take_task":
                files = body["files"]
                assert isinstance(files, dict) and "task.py" in files
                self._task = "sent"
                return True
            case "machine":
                return self.machine.model_dump(mode="json")
            case "describe":
                from avo_tui.evaluation.tasks import find_tasks

                return find_tasks().info(TASK).model_dump(mode="json")
            case "seed":
                return SEED.model_dump()
        self.asked.append(dict(body))
        if progress is not None:
            progress(EvaluationProgress(stage="benchmark", state="started"))
        try:
            while self.hold(body):  # ends: the worker cancels it
                await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.dies:
            self.dies -= 1
            raise WorkerGoneError("it was killed")
        return self._report(body).model_dump(mode="json")

    def _report(self, body: dict[str, object]) -> EvaluationReport:
        candidate = Candidate.model_validate({"files": body["files"]})
        text = "".join(candidate.files.values())
        correct = "broken" not in text
        paired = PairedMeasurement(
            configurations={"small": (1.09, 1.1, 1.11)}, rounds={"small": 40}
        )  # fmt: skip
        return EvaluationReport(
            task=str(body["task"]), candidate=candidate.id,
            verdict=Verdict.CORRECT if correct else Verdict.COMPILE_ERROR,
            feedback=Feedback(summary="made up"), conditions=self.machine.conditions,
            score=score(1.1 if "other" in text else 1.0) if body["op"] == "evaluate" else None,
            paired=paired if body["op"] == "remeasure" else None,
        )  # fmt: skip

    async def sense(self) -> tuple[DeviceState, ...]:
        return ()

    async def rest(self) -> None: ...

    async def close(self) -> None: ...


class Lab:
    """A spool, engines over it, and workers at it or at copies of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = SpoolFolder(root)
        self.links: list[FakeLink] = []

    def engine(self, session: str = "one", **more: Any) -> SpoolEvaluator:
        return SpoolEvaluator(self.root, task=TASK, session=session, here=FakeLink(), **more)

    def worker(self, root: Path | None = None, link: FakeLink | None = None) -> SpoolWorker:
        self.links.append(link or FakeLink())
        return SpoolWorker(root or self.root, say=lambda _: None, link=self.links[-1])

    async def trip(self, name: str, **options: Any) -> FakeLink:
        """Copies what waits to a machine that shares nothing, works it off, copies answers back."""
        far = self.root.parent / name
        for kind in ("requests", "tasks"):
            shutil.copytree(self.root / kind, far / kind)
        worker = self.worker(far, **options)
        await worker.run(until_empty=True)
        self.copy_back(far)
        return self.links[-1]

    def copy_back(self, far: Path) -> None:
        for kind in ("answers", "workers"):
            for path in (far / kind).glob("*.json"):
                shutil.copy(path, self.root / kind / path.name)

    async def cut_off(self, link: FakeLink, holds: Callable[[], object]) -> None:
        """Runs a worker, and ends it in the middle of its work, once something holds."""
        work = asyncio.create_task(self.worker(link=link).run())
        await self.until(holds)
        work.cancel()
        await asyncio.wait({work})

    @property
    def waiting(self) -> list[str]:
        return list(self.folder.names("requests"))

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(400):
            while not holds():
                await asyncio.sleep(0.005)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield Lab(tmp_path / "spool")


def plan(candidate: Candidate, against: Candidate) -> GatePlan:
    comparison = Ledger(()).begin(candidate.id, against.id, MACHINE.conditions)
    return GatePlan.of("strict", comparison, (), against, Rival(0, score(1.0)))


async def test_machine_and_seed_take_one_journey(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = lab.engine()
    asking = asyncio.create_task(engine.ask(TASK, MachineQuestion()))
    await lab.until(lambda: len(lab.waiting) == 2)
    assert queue_text(engine.queue()).startswith("2 requests wait; no worker yet")
    link = await lab.trip("gpu")
    assert await asking == MACHINE
    report = await engine.ask(TASK, EvaluateQuestion(files=SEED.files))
    assert report.correct and report.score is not None and not lab.waiting
    assert [body["op"] for body in link.asked] == ["evaluate"]
    assert report.worker.startswith("spool:"), "an answer says where it was measured"
    await engine.close()
    again = lab.engine()
    assert await again.ask(TASK, MachineQuestion()) == MACHINE and not lab.waiting, (
        "told by the last worker"
    )
    await again.close()
    monkeypatch.setattr(parcels, "program_key", lambda: "after an update")
    updated = lab.engine(plants_seed=False)
    asking = asyncio.create_task(updated.ask(TASK, MachineQuestion()))
    await lab.until(lambda: len(lab.waiting) == 1)  # other sources: other conditions
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await updated.close()


async def test_an_evaluation_brings_the_pairs_that_the_gate_asks_for(lab: Lab) -> None:
    engine = lab.engine()
    engine.foresee(plan(OTHER, SEED))
    asking = asyncio.create_task(engine.ask(TASK, EvaluateQuestion(files=OTHER.files)))
    await lab.until(lambda: lab.waiting)
    link = await lab.trip("gpu")
    assert (await asking).score is not None
    pairs = [body for body in link.asked if body["op"] == "remeasure"]
    assert len(pairs) >= 2 and [body["replicate"] for body in pairs] == list(range(len(pairs)))
    judged = plan(OTHER, SEED)
    for number in range(len(pairs)):
        assert judged.undecided, "no more than the gate needs"
        report = await engine.ask(
            TASK, RemeasureQuestion(files=OTHER.files, other=SEED.files, replicate=number)
        )
        assert report.paired is not None and not lab.waiting
        judged = judged.with_pair(report.paired)
    assert not judged.undecided and judged.accepted
    assert link.asked[-1]["op"] == "breadth", "for what is to be committed"
    assert (await engine.ask(TASK, BreadthQuestion(files=OTHER.files))).correct and not lab.waiting
    await engine.close()


async def test_a_candidate_that_is_far_behind_gets_no_pairs(lab: Lab) -> None:
    engine, slow = lab.engine(), plan(SEED, OTHER).replaced(rival_score=score(3.0))
    engine.foresee(slow)
    asking = asyncio.create_task(engine.ask(TASK, EvaluateQuestion(files=SEED.files)))
    await lab.until(lambda: lab.waiting)
    link = await lab.trip("gpu")
    await asking
    assert [body["op"] for body in link.asked] == ["evaluate"]
    await engine.close()


async def test_an_answer_that_comes_twice_counts_once(lab: Lab) -> None:
    engine = lab.engine()
    asking = asyncio.create_task(engine.ask(TASK, EvaluateQuestion(files=SEED.files)))
    await lab.until(lambda: lab.waiting)
    await lab.trip("gpu")
    await asking
    lab.copy_back(lab.root.parent / "gpu")
    again = asyncio.create_task(
        engine.ask(TASK, EvaluateQuestion(files=SEED.files))
    )  # a new measurement is meant
    await lab.until(lambda: lab.waiting)
    await lab.until(lambda: not lab.folder.names("answers"))
    assert not again.done()
    await lab.trip("gpu2")
    assert (await again).correct
    await engine.close()


async def test_an_engine_that_was_killed_finds_its_requests_and_answers(lab: Lab) -> None:
    first = lab.engine()
    lost = asyncio.create_task(first.ask(TASK, EvaluateQuestion(files=SEED.files)))
    await lab.until(lambda: lab.waiting)
    assert first._pump is not None
    first._pump.cancel()  # as by a kill: nothing is tidied up
    link = await lab.trip("gpu")
    second, stranger = lab.engine(), lab.engine("another session")
    theirs = asyncio.create_task(stranger.ask(TASK, EvaluateQuestion(files=SEED.files)))
    await lab.until(lambda: len(lab.waiting) == 2)
    async with asyncio.timeout(60):
        assert (await second.ask(TASK, EvaluateQuestion(files=SEED.files))).correct
    assert len(link.asked) == 1 and not theirs.done(), "each session has its own answers"
    theirs.cancel()
    lost.cancel()
    await asyncio.gather(theirs, lost, return_exceptions=True)
    for engine in (second, stranger):
        await engine.close()


async def test_what_is_not_wanted_any_more_is_ended(lab: Lab) -> None:
    engine, link = lab.engine(), FakeLink()
    link.hold = lambda _: True
    work = asyncio.create_task(lab.worker(link=link).run())
    asking = asyncio.create_task(engine.ask(TASK, EvaluateQuestion(files=SEED.files)))
    await lab.until(lambda: link.asked)
    asking.cancel()
    await lab.until(lambda: link.cancelled)
    assert not lab.waiting
    work.cancel()
    await asyncio.gather(work, asking, return_exceptions=True)
    await engine.close()


async def test_a_request_that_is_cut_off_is_given_back(lab: Lab) -> None:
    engine, link = lab.engine(), FakeLink()
    link.hold = lambda _: True
    asking = asyncio.create_task(engine.ask(TASK, EvaluateQuestion(files=SEED.files)))
    await lab.until(lambda: lab.waiting)
    await lab.cut_off(link, lambda: link.asked)
    assert len(lab.waiting) == 1 and link.cancelled == 1
    assert await lab.worker(lab.root.parent / "empty").run(seconds=0.01) == 0
    await lab.worker().run(until_empty=True)
    assert (await asking).correct
    await engine.close()


async def test_pairs_that_were_measured_when_time_was_over_are_kept(lab: Lab) -> None:
    engine, link = lab.engine(), FakeLink()
    link.hold = lambda body: body.get("replicate") == 1
    engine.foresee(plan(OTHER, SEED))
    asking = asyncio.create_task(engine.ask(TASK, EvaluateQuestion(files=OTHER.files)))
    await lab.until(lambda: lab.waiting)
    await lab.cut_off(link, lambda: any(link.hold(body) for body in link.asked))
    assert (await asking).score is not None
    assert (
        await engine.ask(TASK, RemeasureQuestion(files=OTHER.files, other=SEED.files, replicate=0))
    ).paired is not None
    assert not lab.waiting
    await engine.close()


async def taken_by(lab: Lab, note: WorkerNote) -> str:
    """Leaves the first request as a worker that died has left it."""
    (identity,) = lab.waiting
    (lab.root / "requests" / f"{identity}.json").rename(
        lab.root / "taken" / f"{identity}@{note.name}.json"
    )
    lab.folder.write(f"workers/{note.name}.json", note.model_dump(mode="json"))
    return identity


@pytest.mark.parametrize("drift", [-1e7, 0.0, 1e7])
async def test_a_worker_that_dies_loses_nothing_whatever_its_clock_says(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, drift: float
) -> None:
    passed = 0.0
    monkeypatch.setattr(spool_folder, "time", SimpleNamespace(monotonic=lambda: passed))
    engine = lab.engine()
    asking = asyncio.create_task(engine.ask(TASK, EvaluateQuestion(files=SEED.files)))
    await lab.until(lambda: lab.waiting)
    note = WorkerNote(name="far-1", host="far", pid=1, space="another machine")
    identity = await taken_by(lab, note)
    path = lab.root / "workers/far-1.json"
    for beat in range(20):  # it lives: its file changes, whatever time it bears
        lab.folder.write("workers/far-1.json", note.replaced(beat=beat).model_dump(mode="json"))
        os.utime(path, (time.time() + drift, time.time() + drift))
        assert "far-1" in engine._folder.living() and lab.waiting == []
        passed += LEASE_SECONDS / 2
    passed += LEASE_SECONDS
    await lab.until(lambda: lab.waiting == [identity])
    last = engine.queue().last_worker
    assert last is not None and last <= now()
    await lab.worker().run(until_empty=True)
    assert (await asking).correct
    await engine.close()


async def test_a_dead_process_of_this_machine_holds_nothing_up(lab: Lab) -> None:
    engine = lab.engine()
    asking = asyncio.create_task(engine.ask(TASK, EvaluateQuestion(files=SEED.files)))
    await lab.until(lambda: lab.waiting)
    gone = next(pid for pid in range(2**22 - 1, 1, -1) if not psutil.pid_exists(pid))
    await taken_by(lab, WorkerNote(name="here", pid=gone, space=spool_folder.pid_space()))
    await lab.worker().run(until_empty=True)
    assert (await asking).correct
    await engine.close()


async def test_a_candidate_that_kills_its_worker_is_answered(lab: Lab) -> None:
    engine, link = lab.engine(), FakeLink()
    asking = asyncio.create_task(engine.ask(TASK, EvaluateQuestion(files=SEED.files)))
    await lab.until(lambda: lab.waiting)
    link.dies = 1
    await lab.worker(link=link).run(until_empty=True)
    assert (await asking).correct, "it is tried again"
    asking = asyncio.create_task(engine.ask(TASK, EvaluateQuestion(files=SEED.files)))
    await lab.until(lambda: lab.waiting)
    link.dies = 5
    await lab.worker(link=link).run(until_empty=True)
    report = await asking
    assert report.verdict is Verdict.HARNESS_ERROR and "killed" in report.feedback.summary
    await engine.close()


async def test_a_worker_of_another_version_takes_nothing_and_says_so(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = lab.engine()
    asking = asyncio.create_task(engine.ask(TASK, EvaluateQuestion(files=SEED.files)))
    await lab.until(lambda: lab.waiting)
    with monkeypatch.context() as patch:
        patch.setattr(parcels, "program_key", lambda: "another")
        assert await lab.worker().run(until_empty=True) == 1
        assert not lab.links[-1].asked
    await lab.until(lambda: "another avo-tui" in queue_text(engine.queue()))
    await lab.worker().run(until_empty=True)
    assert (await asking).correct
    await engine.close()


async def test_a_device_under_other_conditions_takes_nothing(lab: Lab) -> None:
    engine = lab.engine(plants_seed=False)
    knowing = asyncio.create_task(engine.ask(TASK, MachineQuestion()))
    await lab.until(lambda: lab.waiting)
    await lab.trip("gpu")
    await knowing
    asking = asyncio.create_task(engine.ask(TASK, EvaluateQuestion(files=SEED.files)))
    await lab.until(lambda: lab.waiting)
    other = FakeLink()
    other.machine = MACHINE.replaced(device="another", conditions="others")
    assert await lab.worker(link=other).run(until_empty=True) == 1 and not other.asked
    await lab.until(lambda: "this is another" in queue_text(engine.queue()))
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await engine.close()


@pytest.mark.slow
async def test_five_hundred_requests_keep_their_order(lab: Lab) -> None:
    engine = lab.engine(batch=500)
    assert engine.width == 500
    many = [Candidate(files={"attention.cpp": f"kernel {n}"}) for n in range(500)]
    asking = [asyncio.create_task(engine.ask(TASK, CheckQuestion(files=one.files))) for one in many]
    await lab.until(lambda: len(lab.waiting) == 500)
    link = await lab.trip("gpu")
    reports = await asyncio.gather(*asking)
    assert [r.candidate for r in reports] == [c.id for c in many]
    assert [body["files"] for body in link.asked] == [c.files for c in many]
    assert not lab.waiting and not lab.folder.names("answers")
    await engine.close()


async def test_files_that_are_half_there_or_lies_are_not_believed(lab: Lab) -> None:
    engine = lab.engine()
    asking = asyncio.create_task(engine.ask(TASK, EvaluateQuestion(files=SEED.files)))
    await lab.until(lambda: lab.waiting)
    (identity,) = lab.waiting
    path = lab.root / "answers" / f"{identity}.json"
    whole = json.dumps({"worker": "x", "result": {"verdict": "correct", "task": "another"}})
    for text in (whole[:20], "[1]", "[" * 100_000, ""):
        path.write_text(text)
        await lab.until(lambda: not engine._folder.read(path))
        assert not asking.done()
    path.write_text(whole)
    report = await asking
    assert (
        report.verdict is Verdict.HARNESS_ERROR and "cannot be a report" in report.feedback.summary
    )
    await engine.close()


async def test_what_needs_no_device_is_answered_here(lab: Lab) -> None:
    engine = lab.engine(architecture="sm_90a")
    await engine.start()
    assert (await engine.ask(TASK, CompileQuestion(files=SEED.files))).correct
    broken = Candidate(files={"attention.cpp": "broken"})
    report = await engine.ask(TASK, EvaluateQuestion(files=broken.files))
    assert report.verdict is Verdict.COMPILE_ERROR and not lab.waiting
    await engine.close()


async def test_who_waits_is_told_what_waits(lab: Lab) -> None:
    engine, told = lab.engine(), list[str]()
    asking = asyncio.create_task(
        engine.ask(
            TASK, EvaluateQuestion(files=SEED.files), lambda p: told.append(f"{p.stage} {p.detail}")
        )
    )
    await lab.until(lambda: told)
    assert told[0] == "waiting 1 request waits; no worker yet"
    link = FakeLink()
    link.hold = lambda _: True
    work = asyncio.create_task(lab.worker(link=link).run())
    await lab.until(lambda: told[-1].startswith("benchmark"))  # a worker is at it
    (status,) = engine.workers()
    assert status.state == "busy" and engine.queue().working == 1
    link.hold = lambda _: False
    assert (await asking).correct
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await lab.until(lambda: True)
    await engine.close()


def test_urls_say_what_is_wrong_and_become_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text, word in {
        "spool:": "name a folder", "spool://host/x": "name a folder",
        "spool:x?batch=0": "batch is a number", "spool:x?speed=1": "no 'speed'",
        "spool:x local": "stands alone",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=word):
            check_evaluator(RunSettings(evaluator=text), "cpu")
    with pytest.raises(ValueError, match="stands alone"):
        check_evaluator(RunSettings(evaluator="spool:x", devices="0"), "cpu")
    assert isinstance(make_evaluator(RunSettings(evaluator="spool:x"), TASK), SpoolEvaluator)
    given = "spool:a%20b?batch=3 ssh://h?config=c&devices=0,1 ssh://h?config=none local"
    assert with_absolute_paths(given).split() == [
        f"spool:{tmp_path}/a%20b?batch=3", f"ssh://h?config={tmp_path}/c&devices=0,1",
        "ssh://h?config=none", "local",
    ]  # fmt: skip


@needs_compiler
@pytest.mark.slow
async def test_a_killed_worker_process_and_a_real_kernel(lab: Lab) -> None:
    """`python -m avo_tui.evaluation --spool` is killed in mid-evaluation; the next one does it."""
    engine = SpoolEvaluator(lab.root, task=TASK, session="one", plants_seed=False)
    seed = await engine.ask(TASK, SeedQuestion())
    asking = asyncio.create_task(engine.ask(TASK, CheckQuestion(files=seed.files, quick=True)))
    await lab.until(lambda: lab.waiting)
    command = [sys.executable, "-m", "avo_tui.evaluation", "--spool", str(lab.root)]
    first = await asyncio.create_subprocess_exec(*command)
    await lab.until(lambda: lab.folder.names("taken"))
    first.kill()
    await first.wait()
    second = await asyncio.create_subprocess_exec(*command, "--until-empty")
    report = await asking
    assert report.correct and report.worker and report.device, report.feedback
    assert await second.wait() == 0
    await engine.close()


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EvaluatorError, match="spool"):
        await SpoolEvaluator(tmp_path / "file", task=TASK, session="one").start()
