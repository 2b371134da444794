"""Has every device of a fleet measure the control candidate; one that disagrees gets no work."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers.control import Controls
from avo_tui.evaluation.workers.members import Member
from avo_tui.evaluation.workers.ports import DeviceRefusedError
from avo_tui.evaluation.workers.process import WorkerGoneError

log = logging.getLogger(__name__)

FIRST_RECHECK, LAST_RECHECK = 60.0, 600.0
"""Seconds until a device that disagrees measures the control candidate again: they double."""


class Agreement:
    """Compares the devices of a fleet by the rules of `Controls`."""

    def __init__(
        self,
        members: Mapping[str, Member],
        idle: deque[Member],
        beside: Callable[[Coroutine[Any, Any, None]], None],
        free: Callable[[Member], None],
        lose: Callable[[Member, WorkerGoneError], None],
        set_aside: Callable[[Member, str], None],
    ) -> None:
        """`members` and `idle` are the fleet's own; the rest is what it does with a device."""
        self._members = members
        self._idle = idle
        self._beside = beside
        self._free, self._lose, self._set_aside = free, lose, set_aside
        self._controls = Controls()

    def offer(self, body: Mapping[str, object], answer: object) -> bool:
        """See `Controls.offer`."""
        return self._controls.offer(body, answer)

    def forget(self, member: Member) -> None:
        """See `Controls.forget`."""
        self._controls.forget(member.name)

    def is_due(self, member: Member) -> bool:
        """Whether a device is to measure the control candidate; never, if it is the only device."""
        company = any(m.usable for m in self._members.values() if m is not member)
        return company and self._controls.due(member.name, member.answered)

    def control_idle(self) -> None:
        """Starts the measurement of the control candidate on each idle device where it is due."""
        for member in [m for m in self._idle if self.is_due(m)]:
            self._idle.remove(member)
            self.control(member)

    def control(self, member: Member) -> None:
        """Measures the control candidate on a device that serves no other request now."""
        member.work_on(self._controls.body or {}, "control")
        self._beside(self._measure(member))

    def _in_use(self) -> list[str]:
        return [m.name for m in self._members.values() if m.usable]

    async def _measure(self, member: Member) -> None:
        if not await self._ask(member):
            return
        odd = self._controls.review(self._in_use())
        for name, reason in odd.items():
            self.exclude(self._members[name], reason)
        if member.name not in odd:
            self._free(member)
        self.control_idle()

    async def _ask(self, member: Member) -> bool:
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

    def exclude(self, member: Member, reason: str) -> None:
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
            if not await self._ask(member):
                return
            if self._controls.agrees_again(member.name, self._in_use()):
                log.warning("%s agrees with the others again", member.name)
                self._free(member)
                return
            wait = min(LAST_RECHECK, 2 * wait)
