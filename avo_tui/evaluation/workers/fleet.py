"""A fleet: many devices behind one evaluator, each request on one that is free.

What is lost in mid-evaluation is done again on another device, and only one answer is given. A
device that was lost is tried again, later and later; one that cannot be used is set aside. A device
that takes unusually long while another is idle gets company: the first answer counts, and the other
evaluation is ended (backup tasks, Dean and Ghemawat, MapReduce, OSDI 2004). Now and then each
device measures the same candidate, and one that disagrees with the others gets no work until it
agrees again (`agreement.py`).
"""

from __future__ import annotations

import asyncio
import logging
import statistics
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

from avo_tui.domain.base import now
from avo_tui.domain.device import DeviceState
from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.verdict import Verdict
from avo_tui.domain.workers import WorkerStatus
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers.agreement import Controls
from avo_tui.evaluation.workers.evaluator import Evaluator, say
from avo_tui.evaluation.workers.link import WorkerGoneError
from avo_tui.evaluation.workers.members import FleetSensing, Member, difference
from avo_tui.evaluation.workers.ports import Device, DeviceRefusedError, Site

log = logging.getLogger(__name__)

FIRST_RECHECK, LAST_RECHECK = 60.0, 600.0
"""Seconds until a device that disagrees measures the control candidate again: they double."""
LOSSES = 6
"""Workers that may be lost under one request; a candidate that ends them all ends no more."""
FIRST_RETRY, LAST_RETRY = 1.0, 60.0
"""Seconds until a lost device is tried again, at first and at most: they double."""
FORGET_SECONDS = 3600.0
"""How long a device that left its cluster for good is still listed as lost, at least."""
SAY_SECONDS = 15.0
"""Seconds between two signs that a request waits for a device."""
STRAGGLES = 4.0
"""Times the median duration after which a request gets company on an idle device."""
STRAGGLE_SECONDS = 60.0
"""Least such time, in seconds."""
KNOWN = 5
"""Durations of a kind of request that must be known before any counts as long."""
_REPEATABLE = {"compile", "check", "evaluate"}
_MEASURED = {*_REPEATABLE, "remeasure"}


class Fleet(Evaluator):
    """`Evaluator` on many devices; serves as many requests at once as there are."""

    def __init__(self, sites: Sequence[Site]) -> None:
        """The sites are opened by `start`, or by the first request."""
        self.sites = tuple(sites)
        self._members: dict[str, Member] = {}
        self._idle: deque[Member] = deque()
        self._waiters: deque[asyncio.Future[Member]] = deque()
        self._tending: set[asyncio.Task[None]] = set()
        self._opening = asyncio.Lock()
        self._open = False
        self._conditions: str | None = None
        """What all devices must have in common; the first device that was ready decides it."""
        self._durations: dict[object, deque[float]] = {}
        self._controls = Controls()
        self._sensing = FleetSensing()

    # -- what there is

    @property
    def width(self) -> int:
        return max(1, len(self._in_use()))

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Every device with its state, in the order in which they joined."""
        return tuple(member.status() for member in self._members.values())

    async def devices(self) -> tuple[DeviceState, ...]:
        """This machine's, and those of each other machine of the fleet."""
        return await self._sensing.sample([m.device for m in self._members.values()])

    def _in_use(self) -> list[Member]:
        return [m for m in self._members.values() if m.usable]

    # -- beginning and end

    async def start(self) -> None:
        """Opens all sites. Raises EvaluatorError where no device can be used."""
        async with self._opening:
            if not self._open:
                await self._open_sites()
                self._open = True
            if self._tending and not self._in_use():
                await asyncio.wait([*self._tending], timeout=0)
            if not self._in_use():
                raise EvaluatorError(self._nobody())

    async def _open_sites(self) -> None:
        first = [asyncio.create_task(s.open(self._join, self._leave)) for s in self.sites]
        results = await asyncio.gather(*first, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                if len(results) == 1 or not isinstance(result, EvaluatorError):
                    raise result
                log.warning("%s", result)
        await asyncio.gather(*(self._begin(m) for m in list(self._members.values())))

    def _nobody(self) -> str:
        reasons = [f"{m.name}: {m.reason or m.state}" for m in self._members.values()]
        return "no device can be used: " + ("; ".join(reasons) or "there is none")

    def _join(self, device: Device) -> None:
        """Adds a device; it is started at once if the fleet is open already."""
        earlier = self._members.get(device.name)
        if earlier is not None and not earlier.left and earlier.state != "lost":
            raise EvaluatorError(f"the device {device.name} is named twice")
        self._forget_old()
        member = self._members[device.name] = Member(device)
        if earlier is not None:
            member.go_on_from(earlier)
        if self._open:
            self._tend(member, 0.0)

    def _leave(self, name: str, reason: str) -> None:
        """Takes a device out of use that its site no longer has, whatever it is doing."""
        member = self._members.get(name)
        if member is None or member.left:
            return
        if member in self._idle:
            self._idle.remove(member)
        if member.state != "lost":
            member.lose(reason)
            log.warning("%s is lost: %s", name, reason)
        member.left = True

    def _forget_old(self) -> None:
        """Drops devices that left long ago: a cluster may give each new worker a new name."""
        for name, member in list(self._members.items()):
            if member.left and (now() - member.since).total_seconds() > FORGET_SECONDS:
                del self._members[name]

    async def close(self) -> None:
        for task in self._tending:
            task.cancel()
        await asyncio.gather(*self._tending, return_exceptions=True)
        await self._sensing.close()
        members = list(self._members.values())
        await asyncio.gather(*(m.device.close() for m in members), return_exceptions=True)
        await asyncio.gather(*(site.close() for site in self.sites), return_exceptions=True)
        self._members.clear()
        self._idle.clear()
        self._open = False

    async def rest(self) -> None:
        """Ends workers that have nothing to do; the next request starts them."""
        await asyncio.gather(*(m.device.rest() for m in self._idle))

    # -- devices come, are lost, and come back

    async def _begin(self, member: Member) -> bool:
        """Tries to make a device ready; False where it makes sense to try again."""
        try:
            machine = await member.device.start()
        except EvaluatorError as error:
            return self._not_ready(member, error)
        if member.left:
            return True
        member.is_ready(machine)
        self._controls.forget(member.name)
        if self._conditions is None:
            self._conditions = machine.conditions
        if machine.conditions != self._conditions:
            others = (m.machine for m in self._members.values() if m.machine is not None)
            rest = next(m for m in others if m.conditions == self._conditions)
            self._set_aside(member, difference(machine, rest))
            return True
        if member.state == "lost":
            log.warning("%s is back", member.name)
        self._free(member)
        return True

    def _not_ready(self, member: Member, error: EvaluatorError) -> bool:
        """Notes why a device did not start; see `_begin` for the answer."""
        if member.left:
            return True
        if isinstance(error, DeviceRefusedError):
            self._set_aside(member, str(error))
            return True
        if member.state != "lost":
            self._tend(member, FIRST_RETRY)
        member.become("lost", str(error))
        return False

    def _set_aside(self, member: Member, reason: str) -> None:
        member.become("set_aside", reason)
        log.warning("%s is set aside: %s", member.name, reason)
        if all(m.state == "set_aside" for m in self._members.values()):
            while self._waiters:
                waiter = self._waiters.popleft()
                if not waiter.done():
                    waiter.set_exception(EvaluatorError(self._nobody()))

    def _tend(self, member: Member, delay: float) -> None:
        async def tend() -> None:
            wait = delay
            while True:
                await asyncio.sleep(wait)
                if self._members.get(member.name) is not member:
                    return
                if await self._begin(member):
                    return
                wait = min(LAST_RETRY, max(FIRST_RETRY, 2 * wait))

        self._beside(tend())

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs a task in the background until it is done or the fleet is closed."""
        task = asyncio.create_task(work)
        self._tending.add(task)
        task.add_done_callback(self._tending.discard)

    def _lose(self, member: Member, error: WorkerGoneError) -> None:
        if member.left:
            return
        member.lose(str(error))
        log.warning("%s is lost: %s", member.name, error)
        self._tend(member, FIRST_RETRY)

    def _free(self, member: Member) -> None:
        """Gives a free device to the request that waits longest; controls come first."""
        if member.left:
            return
        if self._is_due(member):
            self._control(member)
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                member.become("busy")
                waiter.set_result(member)
                return
        member.become("idle")
        self._idle.append(member)

    def _release(self, member: Member) -> None:
        """Frees a device whose request has ended, unless it was taken out of use meanwhile."""
        if member.state == "busy":
            self._free(member)

    # -- whether the devices agree

    def _is_due(self, member: Member) -> bool:
        """Whether a device is to measure the control candidate; never, if it is the only device."""
        company = any(m is not member for m in self._in_use())
        return company and self._controls.due(member.name, member.answered)

    def _control_idle(self) -> None:
        """Starts the measurement of the control candidate on each idle device where it is due."""
        for member in [m for m in self._idle if self._is_due(m)]:
            self._idle.remove(member)
            self._control(member)

    def _control(self, member: Member) -> None:
        """Measures the control candidate on a device that serves no other request now."""
        member.work_on(self._controls.body or {}, "control")
        self._beside(self._compare(member))

    async def _compare(self, member: Member) -> None:
        if not await self._ask_control(member):
            return
        odd = self._controls.review([m.name for m in self._in_use()])
        for name, reason in odd.items():
            self._exclude(self._members[name], reason)
        if member.name not in odd:
            self._free(member)
        self._control_idle()

    async def _ask_control(self, member: Member) -> bool:
        """Measures the control candidate and keeps the result; False if the worker was lost."""
        try:
            answer = await member.device.request(dict(self._controls.body or {}), None)
        except WorkerGoneError as error:
            self._lose(member, error)
            return False
        except DeviceRefusedError as error:
            self._set_aside(member, str(error))
            return False
        except EvaluatorError as error:
            log.warning("%s did not measure the control candidate: %s", member.name, error)
            answer = None
        outcome = self._controls.take(member.name, answer, member.answered)
        if outcome is None:
            member.failures += 1
        else:
            member.controls += 1
            member.control_ratio = outcome.ratio or None
        return True

    def _exclude(self, member: Member, reason: str) -> None:
        """Takes a device that disagrees out of work until it agrees again."""
        since = self._controls.answered_since_agreement(member.name, member.answered)
        doubt = f"; what it measured since it last agreed is in doubt ({since} answers)"
        if member in self._idle:
            self._idle.remove(member)
        member.become("disagrees", reason + (doubt if since else ""))
        log.warning("%s disagrees with the others: %s", member.name, member.reason)
        self._beside(self._recheck(member))

    async def _recheck(self, member: Member) -> None:
        wait = FIRST_RECHECK
        while True:
            await asyncio.sleep(wait)
            if self._members.get(member.name) is not member or member.state != "disagrees":
                return
            if not await self._ask_control(member):
                return
            if self._controls.agrees_again(member.name, [m.name for m in self._in_use()]):
                log.warning("%s agrees with the others again", member.name)
                self._free(member)
                return
            wait = min(LAST_RECHECK, 2 * wait)

    # -- requests

    async def request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        """The answer of the next free device; a lost evaluation is done again on another.

        Raises EvaluatorError, and WorkerGoneError once `LOSSES` workers were lost under it.
        """
        if not self._open:
            await self.start()
        lost = 0
        while True:
            member = await self._acquire(progress)
            try:
                return await self._accompanied(member, body, progress)
            except WorkerGoneError as error:
                lost += 1
                if lost == LOSSES:
                    raise WorkerGoneError(
                        f"{LOSSES} workers were lost under it, the last one: {error}"
                    ) from error
                what = "disagrees" if member.state == "disagrees" else "was lost"
                say(progress, f"{member.name} {what} ({error}); it is done again")

    async def _acquire(self, progress: ProgressSink | None) -> Member:
        if self._idle:
            member = self._idle.popleft()
            member.become("busy")
            return member
        members = self._members.values()
        if members and all(m.state == "set_aside" for m in members):
            raise EvaluatorError(self._nobody())
        waiter: asyncio.Future[Member] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            while not waiter.done():
                say(progress, self._busy())
                await asyncio.wait([waiter], timeout=SAY_SECONDS)
            return waiter.result()
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._release(waiter.result())
            waiter.cancel()
            raise

    def _busy(self) -> str:
        states = [m.state for m in self._members.values()]
        lost = [m for m in self._members.values() if m.state == "lost"]
        if lost and "busy" not in states:
            return f"waits for {lost[0].device.name}, which is lost: {lost[0].reason}"
        if "busy" not in states and "disagrees" in states:
            return "waits for a device: those that are left disagree with the ones that are gone"
        return f"waits for one of {len(states)} devices; {states.count('busy')} are busy"

    async def _accompanied(
        self, member: Member, body: dict[str, object], progress: ProgressSink | None
    ) -> Any:
        """The first answer, where a request that takes unusually long is given to two devices."""
        clock = RequestClock(progress)
        runs = {asyncio.create_task(self._run(member, body, clock))}
        try:
            while True:
                done, runs = await asyncio.wait(
                    runs, timeout=self._patience(body, clock), return_when=asyncio.FIRST_COMPLETED
                )
                for run in sorted(done, key=lambda ended: ended.exception() is not None):
                    if not (runs and isinstance(run.exception(), WorkerGoneError)):
                        return run.result()
                if not done and len(runs) == 1 and self._idle:
                    other = self._idle.popleft()
                    other.become("busy")
                    log.warning(
                        "%s takes unusually long; it is done on %s as well",
                        member.name, other.device.name,
                    )  # fmt: skip
                    runs.add(asyncio.create_task(self._run(other, body, clock)))
        finally:
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)

    def _patience(self, body: dict[str, object], clock: RequestClock) -> float | None:
        """Seconds after which a request counts as unusually long; None if it never does."""
        known = self._durations.get(body["op"], ())
        if body["op"] not in _REPEATABLE or len(known) < KNOWN or len(self._members) < 2:
            return None
        limit = max(STRAGGLE_SECONDS, STRAGGLES * statistics.median(known))
        return max(1.0, limit - clock.seconds)

    async def _run(self, member: Member, body: dict[str, object], clock: RequestClock) -> Any:
        """Serves one request on one device; afterwards the device is free, or lost."""
        member.work_on(body)

        def see(progress: EvaluationProgress) -> None:
            member.hear(progress)
            clock.see(progress)

        try:
            answer = await member.device.request(dict(body), see)
        except WorkerGoneError as error:
            self._lose(member, error)
            raise
        except DeviceRefusedError as error:
            self._set_aside(member, str(error))
            raise WorkerGoneError(str(error)) from error
        except BaseException as error:
            member.failures += isinstance(error, EvaluatorError)
            self._release(member)
            raise
        if member.state == "disagrees" and body["op"] in _MEASURED:
            raise WorkerGoneError(member.reason)
        member.answered += 1
        self._durations.setdefault(body["op"], deque(maxlen=50)).append(clock.seconds)
        if isinstance(answer, dict) and "verdict" in answer:
            answer["worker"] = member.name
            member.failures += answer["verdict"] == Verdict.HARNESS_ERROR
        fresh = len(self._members) > 1 and self._controls.offer(body, answer)
        self._release(member)
        if fresh:
            self._control_idle()
        return answer


class RequestClock:
    """Measures how long a request has run, without its waits for a device that is in use."""

    def __init__(self, progress: ProgressSink | None) -> None:
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    @property
    def seconds(self) -> float:
        """Since it began, or since it last waited."""
        return self._loop.time() - self._began

    def see(self, progress: EvaluationProgress) -> None:
        if progress.stage == "waiting":
            self._began = self._loop.time()
        if self._progress is not None:
            self._progress(progress)
