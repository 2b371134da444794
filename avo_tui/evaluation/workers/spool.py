"""`spool:FOLDER[?batch=N&arch=sm_90a]`: an evaluator that shares nothing with its workers but a
folder. `spool_folder.py` says what is in it, `spool_worker.py` is the other side.

What needs no device (the task, compiling, machine code) is done on this machine. The rest waits in
the folder, for days if need be, and is found there again by an engine that was started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote

from avo_tui import __version__
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.gate_plan import GatePlan
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import DescribeQuestion, EvaluateQuestion, SeedQuestion
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.verdict import Verdict
from avo_tui.domain.workers import QueueSeen, WorkerStatus, queue_text
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.evaluation.workers import parcels
from avo_tui.evaluation.workers.answers import NoAnswerError, cleaned, told
from avo_tui.evaluation.workers.evaluator import Evaluator, say
from avo_tui.evaluation.workers.link import LEASE_SECONDS, WEAK, WorkerGoneError, worker_here
from avo_tui.evaluation.workers.ports import Link, SiteRequest, only
from avo_tui.evaluation.workers.spool_folder import SpoolFolder, digest
from avo_tui.evaluation.workers.spool_worker import take_task_files

POLL_SECONDS = 1.0
SAY_SECONDS = 15.0
BATCH = 16
"""Requests that may wait at once, unless the URL says."""
MOST_BATCH = 1000
OLD = timedelta(hours=1)
_HERE = {"describe", "seed", "compile", "disassemble"}
"""Requests that need no device."""
_COMPILED_FIRST = {"evaluate", "check"}
"""Requests that are answered here where the candidate does not compile."""


class SpoolEvaluator(Evaluator):
    """`Evaluator` over a folder. `session` tells its requests from those of other sessions."""

    width: int = BATCH

    def __init__(
        self,
        root: Path,
        *,
        task: str,
        session: str,
        batch: int = BATCH,
        architecture: str = "",
        allow_weak_sandbox: bool = False,
        plants_seed: bool = True,
        here: Link | None = None,
    ) -> None:
        """`plants_seed`: the session begins with an evaluation of the task's seed, which then goes
        with the question for the machine. `here`: the worker of this machine, one of its own
        without."""
        self._folder = SpoolFolder(root)
        self._task, self._session, self.width = task, session, batch
        self._architecture, self._weak = architecture, allow_weak_sandbox
        self._plants_seed = plants_seed
        self._here = here
        self._machine: MachineInfo | None = None
        self._plans: dict[str, GatePlan] = {}
        self._waiting: dict[str, tuple[asyncio.Future[dict[str, Any]], ProgressSink | None]] = {}
        self._queue = QueueSeen()
        self._workers: tuple[WorkerStatus, ...] = ()
        self._pump: asyncio.Task[None] | None = None
        self._opened = False
        self._files = ""
        """Key of the task's files, once they are in the folder."""

    # -- beginning and end

    async def start(self) -> None:
        """Makes the folder, and takes over what its workers have told of the machine."""
        if self._opened:
            return
        self._folder.make()
        for identity, path in self._folder.names("requests").items():
            old = self._folder.read(path) or {}
            other = old.get("program") != parcels.program_key()
            if other and old.get("session") == self._session:
                self._folder.withdraw(identity)  # of this session's engine before an update
        self._look()
        for note, _, _ in self._folder.workers():
            if note.program == parcels.program_key():  # others measure under other conditions
                self._machine = note.machines.get(self._task, self._machine)
        self._opened = True

    async def close(self) -> None:
        """Stops waiting. Answers that come later are found by the next engine that asks."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})
            self._pump = None
        if self._here is not None:
            await self._here.close()

    async def rest(self) -> None:
        if self._here is not None:
            await self._here.rest()

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Those that have not ended by themselves."""
        return self._workers

    def queue(self) -> QueueSeen:
        if self._opened and (self._pump is None or self._pump.done()):
            self._look()
        return self._queue

    def foresee(self, plan: GatePlan) -> None:
        self._plans[plan.comparison.candidate] = plan

    # -- requests

    async def request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        await self.start()
        operation = str(body["op"])
        if operation in _HERE or (operation in _COMPILED_FIRST and self._architecture_known):
            answer = await self._compiled_here(body, progress)
            if answer is not None:
                return answer
        await self._put_task()
        if operation == "machine":
            return await self._ask_machine(body)
        files = body.get("files")
        identity = Candidate(files=files).id if isinstance(files, dict) else ""
        return await self._ask(body, progress, self._plans.pop(identity, None))

    @property
    def _architecture_known(self) -> bool:
        return bool(self._architecture or (self._machine and self._machine.architecture))

    async def _compiled_here(
        self, body: dict[str, object], progress: ProgressSink | None
    ) -> dict[str, Any] | None:
        """The answer of this machine to a request, where it is final; None where the spool is
        asked."""
        if self._here is None:
            machine = self._machine.architecture if self._machine is not None else ""
            options = [WEAK] if self._weak else []
            if (architecture := self._architecture or machine).startswith("sm_"):
                options += ["--arch", architecture]  # of the GPU there; there is none here
            self._here = worker_here(options)
        plain = body
        if compiles := body["op"] in _COMPILED_FIRST:
            plain = {**body, "op": "compile"}
        try:
            answer = await self._here.request(plain, progress)
        except (EvaluatorError, WorkerGoneError):
            if body["op"] in {"describe", "seed"}:
                raise
            return None  # such as a compiler that is not installed here
        if not isinstance(answer, dict) or "verdict" not in answer:
            return answer
        verdict = Verdict(answer["verdict"])
        if not verdict.judges_candidate:
            return None
        return None if compiles and verdict is Verdict.CORRECT else answer

    async def _put_task(self) -> None:
        if not self._files:
            files = parcels.read_task(find_tasks().folder(self._task))
            self._files = take_task_files(self._folder, files)

    async def _ask_machine(self, body: dict[str, object]) -> Any:
        if self._machine is not None:
            return self._machine.model_dump(mode="json")
        self._post(body)  # first, so that it is also served first
        if self._plants_seed:
            info = await self.ask(self._task, DescribeQuestion())
            if not info.seedless:
                seed = await self.ask(self._task, SeedQuestion())
                self._post(EvaluateQuestion(files=seed.files).request(self._task))
        return await self._ask(body, None, None)

    async def _ask(
        self, body: dict[str, object], progress: ProgressSink | None, plan: GatePlan | None
    ) -> Any:
        identity = self._post(body, plan)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[identity] = future, progress
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._collect())
        try:
            answer = await future
        except asyncio.CancelledError:
            if identity in self._waiting:  # not of an engine that ends
                self._folder.withdraw(identity)
            raise
        finally:
            self._waiting.pop(identity, None)
        self._folder.settle(identity)
        return self._result(answer)

    def _result(self, answer: dict[str, Any]) -> Any:
        """The result in an answer. Raises EvaluatorError and WorkerGoneError."""
        if answer.get("machine") is not None:
            self._machine = told(MachineInfo, answer["machine"], "description of a machine")
        if "gone" in answer:
            raise WorkerGoneError(str(answer["gone"]))
        if "error" in answer:
            raise EvaluatorError(str(answer["error"]))
        result = answer.get("result")
        if isinstance(result, dict) and "verdict" in result:
            result["worker"] = f"spool:{answer.get('worker')}"
        return result

    def _post(self, body: dict[str, object], plan: GatePlan | None = None) -> str:
        """The id of this request in the folder, where it may be from before; it is put there if it
        is not."""
        name, done = digest(self._session, body), self._folder.names("done")
        for state in ("answers", "taken", "requests"):
            for identity in self._folder.names(state):
                known = identity in self._waiting or identity in done
                if identity.endswith(name) and not known:
                    return identity
        machine = self._machine
        request = {
            "session": self._session, "version": __version__, "program": parcels.program_key(),
            "task": body["task"], "files": self._files, "body": body,
            "conditions": machine.conditions if machine is not None else "",
            "device": machine.device if machine is not None else "",
            "plan": plan.model_dump(mode="json") if plan is not None else None,
        }  # fmt: skip
        identity = f"{self._folder.next_number():06d}-{name}"
        try:
            self._folder.write(f"requests/{identity}.json", request)
        except OSError as error:
            raise EvaluatorError(f"the spool cannot be written: {error.strerror}") from error
        return identity

    # -- what comes back

    async def _collect(self) -> None:
        """Hands answers to who waits for them, and says what is waited for."""
        told_last = -SAY_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            self._folder.give_back()
            self._folder.forget_workers(OLD)
            for identity, path in self._folder.open_answers().items():
                future, _ = self._waiting.get(identity, (None, None))
                if future is not None and not future.done():
                    with contextlib.suppress(NoAnswerError):
                        if (answer := cleaned(self._folder.read(path))) is not None:
                            future.set_result(answer)
            self._look()
            due = loop.time() - told_last >= SAY_SECONDS
            living = {n.doing: n for n in self._folder.living().values() if n.doing}
            for identity, (future, progress) in list(self._waiting.items()):
                note = living.get(identity)
                if note is not None and note.progress is not None and progress is not None:
                    progress(note.progress)
                elif due and not future.done():
                    say(progress, queue_text(self._queue))
            told_last = loop.time() if due else told_last
            await asyncio.sleep(POLL_SECONDS)

    def _look(self) -> None:
        """Notes what waits and what the workers do."""
        notes = self._folder.workers()
        living = self._folder.living()
        waits = self._folder.names("requests").keys() | self._folder.names("taken").keys()
        latest = notes[-1] if notes else None
        self._queue = QueueSeen(
            waiting=len(waits - self._folder.names("answers").keys()),
            last_worker=latest[2] if latest is not None else None,
            refused=latest[0].refuses if latest is not None else "",
            working=len(living),
        )
        self._workers = tuple(
            WorkerStatus(
                name=f"spool:{note.name}", host=note.host, since=moment, joined=moment,
                state="lost" if note.name not in living else "busy" if note.doing else "idle",
                reason=f"nothing was heard of it for {LEASE_SECONDS:.0f} s",
                device=next((m.device for m in note.machines.values()), ""),
                evaluations=note.answered, operation=note.progress.stage if note.progress else "",
            )
            for note, _, moment in notes
            if not note.ended
        )  # fmt: skip


def make_spool(
    url: SplitResult, wanted: SiteRequest, settings: RunSettings, session: str, begins: bool
) -> SpoolEvaluator:
    only(url, wanted.query, {"batch", "arch"})
    path = Path(unquote(url.path)).expanduser()
    if not url.path or url.netloc:
        raise ValueError(
            f"--evaluator {url.geturl()}: name a folder, such as spool:/shared/avo or spool:~/avo"
        )
    batch = wanted.query.get("batch", str(BATCH))
    if not batch.isdecimal() or not 1 <= int(batch) <= MOST_BATCH:
        raise ValueError(f"--evaluator {url.geturl()}: batch is a number from 1 to {MOST_BATCH}")
    return SpoolEvaluator(
        path.absolute(), task=wanted.task, session=session, batch=int(batch),
        architecture=wanted.query.get("arch", ""),
        plants_seed=begins and "origin_candidate" not in settings.options,
        allow_weak_sandbox=settings.options.get("allow_weak_sandbox") is True,
    )  # fmt: skip
