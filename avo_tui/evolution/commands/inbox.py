"""Takes the person's commands out of the inbox; each is answered once, with its effect."""

from __future__ import annotations

import asyncio
import logging
from math import inf
from time import monotonic

from avo_tui.domain import events as ev
from avo_tui.domain.commands import Command
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evolution.commands.base import Desk, Refused
from avo_tui.evolution.commands.registry import spec_of
from avo_tui.evolution.control import Finish
from avo_tui.operators.ports import Interrupted, StepEnded
from avo_tui.store import BadCommand, DiskTrouble, FolderLost, StoreError

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Number of commands that are carried out before other tasks of the engine run."""
STOP_SECONDS = 1.0
"""How long an engine that is asked to stop goes on with the inbox."""
MAX_JOBS = 50
"""Largest number of commands that may wait for the evaluator."""


class CommandInbox:
    """Carries out commands. One that needs the evaluator stays in the inbox until its job is
    done."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._queued: set[str] = set()

    async def take_all(self) -> None:
        """Carry out the commands in the inbox; those that need the evaluator are queued.

        Other tasks run in between. Where the engine is asked to stop, what is left after a moment
        stays in the inbox for the next engine.
        """
        control = self._desk.run.control
        leave = inf
        while self._take_some() and monotonic() < leave:
            await asyncio.sleep(0)
            if control.stop is not None:
                leave = min(leave, monotonic() + STOP_SECONDS)

    def _take_some(self) -> bool:
        """Carry out the oldest few commands; returns whether there may be more."""
        run = self._desk.run
        try:
            commands = run.writer.pending_commands(AT_ONCE, self._queued)
            for command in commands:
                self._take(command)
                run.control.pulse()
        except DiskTrouble as error:
            log.error("the inbox waits: %s", error)
            return False
        return len(commands) == AT_ONCE

    def _take(self, command: Command | BadCommand) -> None:
        run = self._desk.run
        if isinstance(command, BadCommand):
            run.record(ev.CommandTaken(id=command.id, command="unreadable", refused=command.reason))
            run.writer.command_done(command.id)
            return
        try:
            self._carry_out(command)
        except Refused as refusal:
            self._refuse(command, str(refusal))
        except (DiskTrouble, FolderLost):
            raise
        except Exception as error:
            self._failed(command, error)

    def _failed(self, command: Command, error: Exception) -> None:
        """Record a command that raised an unexpected error; such an error must never end the
        run."""
        what = str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
        reason = f"could not be carried out: {what}"
        self._desk.run.trouble(f"command {command.kind}", reason)
        self._refuse(command, reason)

    def _carry_out(self, command: Command) -> None:
        run, spec = self._desk.run, spec_of(command)
        answer = spec.handle(self._desk, command)
        if answer is None:
            if len(run.control.jobs) >= MAX_JOBS:
                raise Refused(f"{MAX_JOBS} commands wait for the evaluator already")
            run.control.jobs.append(command)
            self._queued.add(command.id)
            return
        run.record(*answer.events, self._taken(command, answer.effect))
        answer.then()
        run.writer.command_done(command.id)

    def _taken(self, command: Command, effect: str) -> ev.CommandTaken:
        spec = spec_of(command)
        return ev.CommandTaken(
            id=command.id,
            by=command.by,
            command=command.kind,
            summary=spec.summary(command),
            effect=effect,
            undo=spec.undo(self._desk.run.state, command),
        )

    def _refuse(self, command: Command, reason: str) -> None:
        taken = self._taken(command, "").model_copy(update={"refused": reason, "undo": None})
        self._desk.run.record(taken)
        self._desk.run.writer.command_done(command.id)

    async def do_jobs(self) -> None:
        """Carry out the queued commands one after the other, until the engine is asked to stop."""
        control = self._desk.run.control
        while control.jobs and control.stop is None:
            command = control.jobs[0]
            try:
                await self._do(command)
            except Interrupted:
                return
            control.jobs.popleft()
            self._queued.discard(command.id)

    async def _do(self, command: Command) -> None:
        job = spec_of(command).job
        assert job is not None
        run = self._desk.run
        try:
            await job(self._desk, command, lambda effect: self._taken(command, effect))
        except Refused as refusal:
            self._refuse(command, str(refusal))
        except EvaluatorError as error:
            run.trouble("evaluator", str(error))
            self._refuse(command, str(error))
        except (DiskTrouble, FolderLost, Finish, Interrupted, StepEnded):
            raise
        except Exception as error:
            self._failed(command, error)
        else:
            run.writer.command_done(command.id)
