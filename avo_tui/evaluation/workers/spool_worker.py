"""The side of a spool where the device is: takes requests from a folder and writes answers.

One worker process serves them all, so that torch and the device are started once. What the gate
will ask for after an evaluation is measured with it (`domain/gate_plan.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import secrets
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from avo_tui import __version__
from avo_tui.domain.gate_plan import GatePlan
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import (
    ANY_QUESTION,
    BreadthQuestion,
    EvaluateQuestion,
    MachineQuestion,
    RemeasureQuestion,
    ReportQuestion,
)
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers import parcels
from avo_tui.evaluation.workers.answers import answer_to
from avo_tui.evaluation.workers.link import WorkerGoneError, worker_here
from avo_tui.evaluation.workers.ports import Link
from avo_tui.evaluation.workers.spool_folder import SpoolFolder, WorkerNote, digest, pid_space

BEAT_SECONDS = 1.0
POLL_SECONDS = 0.5
TRIES = 2
"""How often a request is tried that ends the worker process."""

Say = Callable[[str], None]


class SpoolWorker:
    """Serves the requests of one folder, one after the other."""

    def __init__(
        self,
        root: Path,
        options: Sequence[str] = (),
        say: Say = print,
        link: Link | None = None,
    ) -> None:
        """`options`: arguments of the worker process, such as `--allow-weak-sandbox`; `link`: the
        line to one, in place of one of this machine."""
        self._folder = SpoolFolder(root)
        self._say = say
        self._link = link or worker_here(options)
        self._note = WorkerNote(
            name=f"{platform.node()[:60]}-{secrets.token_hex(4)}", host=platform.node(),
            pid=os.getpid(), space=pid_space(), program=parcels.program_key(),
        )  # fmt: skip
        self._telling = threading.Lock()
        self._serving: asyncio.Task[None] | None = None
        self._ready: tuple[object, str] = (None, "")
        """The worker process that has the files of a task, and their key."""

    async def run(self, *, until_empty: bool = False, seconds: float | None = None) -> int:
        """Serves until nothing is left (`until_empty`), the time is over, or a signal comes.

        Returns how many requests are left. A request that is cut off is given back.
        """
        self._folder.make()
        self._tell()
        beat = asyncio.create_task(self._beat())
        work = asyncio.create_task(self._serve_all(until_empty))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, work.cancel)
        try:
            await asyncio.wait({work}, timeout=seconds)
        finally:
            for task in (work, beat):
                task.cancel()
                await asyncio.wait({task})
            await self._link.close()
            self._note = self._note.replaced(ended=True, doing="", progress=None)
            self._tell()
            self._folder.give_back()
        if not work.cancelled():
            work.result()
        left = len(self._folder.names("requests"))
        why = f"; not taken: {self._note.refuses}" if left and self._note.refuses else ""
        self._say(f"{self._note.answered} requests answered, {left} left{why}")
        return left

    def _tell(self) -> None:
        # a beat's thread may be late: it must neither write over what came later nor into its file
        with self._telling, contextlib.suppress(OSError):  # told again with the next beat
            self._folder.write(
                f"workers/{self._note.name}.json", self._note.model_dump(mode="json")
            )

    async def _beat(self) -> None:
        while True:
            self._note = self._note.replaced(beat=self._note.beat + 1)
            await asyncio.to_thread(self._tell)
            serving, doing = self._serving, self._note.doing
            if serving is not None and doing and doing not in self._folder.names("taken"):
                serving.cancel()  # it was withdrawn
            await asyncio.sleep(BEAT_SECONDS)

    async def _serve_all(self, until_empty: bool) -> None:
        while True:
            self._folder.give_back()
            taken = self._take()
            if taken is None:
                if until_empty and not self._folder.names("taken"):
                    return
                await asyncio.sleep(POLL_SECONDS)
                continue
            identity, request = taken
            self._note = self._note.replaced(doing=identity, progress=None)
            self._serving = asyncio.create_task(self._serve(identity, request))
            try:
                await asyncio.wait({self._serving})
            finally:
                if not self._serving.done():
                    self._serving.cancel()
                    await asyncio.wait({self._serving})
                self._note = self._note.replaced(doing="", progress=None)
                with contextlib.suppress(FileNotFoundError):  # of one that was cut off
                    self._place(identity).rename(self._folder.root / f"requests/{identity}.json")
            if not self._serving.cancelled():
                self._serving.result()

    def _place(self, identity: str) -> Path:
        return self._folder.root / "taken" / f"{identity}@{self._note.name}.json"

    def _take(self) -> tuple[str, dict[str, Any]] | None:
        """The next request that this machine can serve; None where there is none."""
        answered = self._folder.names("answers").keys() | self._folder.names("done").keys()
        for identity, path in self._folder.names("requests").items():
            if identity in answered:
                path.unlink(missing_ok=True)  # it came back with a copy of the folder
                continue
            request = self._folder.read(path)
            if request is None:
                continue
            if why := self._other(request):
                self._note = self._note.replaced(refuses=why)
                continue
            try:
                path.rename(self._place(identity))
            except FileNotFoundError:
                continue  # somebody else took it, or it was withdrawn
            return identity, request
        return None

    def _other(self, request: Mapping[str, Any]) -> str:
        """Why answers from here would not compare with those that the session has; or empty."""
        if request.get("program") != parcels.program_key():
            return (
                f"another avo-tui than here ({__version__}) asks, {request.get('version')}, with"
                " other sources: their scores are not comparable; install the same"
            )
        here = self._note.machines.get(str(request.get("task")))
        asked = request.get("conditions")
        if here is not None and asked and asked != here.conditions:
            return (
                f"the session measures on {request.get('device')}, and this is {here.device}, or"
                " its driver or compiler is another one"
            )
        return ""

    async def _serve(self, identity: str, request: dict[str, Any]) -> None:
        """Answers one request, and what follows from it."""
        task, body = str(request["task"]), dict(request["body"])
        answer: dict[str, Any]
        try:
            machine = await self._prepare(task, str(request["files"]))
            if self._other(request):
                return  # given back; `_take` says why
            answer = {"result": await self._ask(body)}
        except WorkerGoneError as error:
            machine, answer = None, {"gone": str(error)}
        except EvaluatorError as error:
            machine, answer = None, {"error": str(error)}
        try:
            if machine is not None and request.get("plan") is not None:
                await self._follow(identity, request, answer["result"], machine)
        finally:  # also where its time is over: what was measured is kept
            self._answer(identity, answer, machine)

    def _answer(self, identity: str, answer: dict[str, Any], machine: MachineInfo | None) -> None:
        about = machine.model_dump(mode="json") if machine is not None else None
        facts = {"worker": self._note.host, "machine": about}
        self._folder.write(f"answers/{identity}.json", {**facts, **answer})
        self._place(identity).unlink(missing_ok=True)
        self._note = self._note.replaced(answered=self._note.answered + 1)
        result = answer.get("result")
        word = result.get("verdict", "") if isinstance(result, dict) else ""
        self._say(f"{identity.partition('-')[0]} {word or next(iter(answer))}")

    async def _prepare(self, task: str, key: str) -> MachineInfo:
        """Gives the worker process the files of the task; what it is measured on here."""
        who = await self._link.hello()
        if self._ready != (who, key):
            if await self._link.request({"op": "task_key", "task": task}) != key:
                files = self._folder.read(self._folder.root / "tasks" / f"{key}.json")
                if files is None:
                    raise EvaluatorError(f"the spool lacks tasks/{key}.json, the files of {task}")
                await self._link.request({"op": "take_task", "task": task, "files": files})
            question = MachineQuestion()
            machine = answer_to(question, task, await self._link.request(question.request(task)))
            self._note = self._note.replaced(machines={**self._note.machines, task: machine})
            self._ready = (who, key)
        return self._note.machines[task]

    async def _ask(self, body: dict[str, Any]) -> Any:
        for _ in range(TRIES - 1):
            with contextlib.suppress(WorkerGoneError):
                return await self._link.request(body, self._see)
        return await self._link.request(body, self._see)

    def _see(self, progress: EvaluationProgress) -> None:
        self._note = self._note.replaced(progress=progress)

    # -- what the gate will ask for

    async def _follow(
        self, identity: str, request: dict[str, Any], result: object, machine: MachineInfo
    ) -> None:
        """Measures what a gate decides on, as long as it needs more, and answers it in advance."""
        try:
            plan = GatePlan.model_validate(request["plan"])
            question = ANY_QUESTION.validate_python(request["body"])
        except ValidationError:
            return
        if not isinstance(question, ReportQuestion):
            return
        files, task, number = question.files, str(request["task"]), 0

        async def ahead(question: ReportQuestion) -> EvaluationReport | None:
            nonlocal number
            number += 1
            body = question.request(task)
            if "drawn_by" in request["body"]:
                body["drawn_by"] = request["body"]["drawn_by"]
            name = digest(str(request["session"]), body)
            known = next((p for i, p in self._folder.names("answers").items() if name in i), None)
            answer = self._folder.read(known) if known is not None else None
            try:
                measured = answer["result"] if answer else await self._ask(body)
            except (WorkerGoneError, EvaluatorError):
                return None
            if known is None:
                ahead_of = f"{identity.partition('-')[0]}.{number:02d}-{name}"
                self._answer(ahead_of, {"result": measured}, machine)
            report = answer_to(question, task, measured)
            return report if report.correct else None

        async def pairs(plan: GatePlan, least: int = 0) -> GatePlan | None:
            while plan.undecided or least > 0:
                count = len(plan.comparison.replicates)
                report = await ahead(
                    RemeasureQuestion(files=files, other=plan.rival.files, replicate=count)
                )
                if report is None or report.paired is None:
                    return None
                plan, least = plan.with_pair(report.paired), least - 1
            return plan

        report = answer_to(question, task, result)
        if report.paired is not None:
            plan = plan.with_pair(report.paired)
        elif report.score is not None and plan.begins(report.score):
            plan = plan.replaced(score=report.score)
        else:
            return
        judged = await pairs(plan)
        if judged is not None and judged.accepted:
            await ahead(BreadthQuestion(files=files))
        if judged is None or not judged.doubted:
            return
        scores = [await ahead(EvaluateQuestion(files=those)) for those in (files, plan.rival.files)]
        if scores[1] is not None and scores[1].score is not None:
            count = len(judged.comparison.replicates)
            again = judged.replaced(begun=count, rival_score=scores[1].score, score=None)
            await pairs(again, least=1)


def take_task_files(folder: SpoolFolder, files: Mapping[str, bytes]) -> str:
    """Puts the files of a task into the spool, where they are not there; returns their key."""
    key = parcels.task_key(files)
    if not (folder.root / "tasks" / f"{key}.json").is_file():
        folder.write(f"tasks/{key}.json", parcels.packed(files))
    return key


def work(
    root: Path, *, until_empty: bool, seconds: float | None, options: Sequence[str] = ()
) -> int:
    """Serves a spool in this process; returns the exit status: 0, or 3 where requests are left."""
    worker = SpoolWorker(root, options, lambda line: print(line, flush=True))
    left = asyncio.run(worker.run(until_empty=until_empty, seconds=seconds))
    return 3 if left else 0
