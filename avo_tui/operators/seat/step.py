"""One step in the seat: runs the outside agent's calls one after the other until the step ends.

Hints of the person, directions of the supervisor and other news are added to the next answer. They
count as delivered when an answer with them reaches a connected client.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from avo_tui.domain.budget import exhausted
from avo_tui.domain.events import (
    Event,
    HintDelivered,
    SeatLeft,
    SeatTaken,
    ToolCalled,
    ToolReturned,
    VersionCommitted,
)
from avo_tui.domain.records import Hint, Occupant
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.agent.prompts.memory import note_key, persons_changes
from avo_tui.operators.agent.prompts.opening import (
    hint_text,
    intervention_key,
    intervention_text,
)
from avo_tui.operators.ports import Interrupted, Presence, StepEnded, StepOutcome, Workbench
from avo_tui.operators.seat.door import Door, Request
from avo_tui.operators.seat.opening import seat_opening
from avo_tui.operators.seat.wire import Answer, Letter, Working
from avo_tui.operators.toolbox import ALL_TOOLS, Toolbox
from avo_tui.operators.toolbox.box import ToolSpec, specs
from avo_tui.operators.toolbox.running_call import cut_short
from avo_tui.operators.toolbox.switched_off import parts_off
from avo_tui.operators.toolbox.tool import ToolResult, first_lines

BEGIN = "begin_step"
WAIT = "wait"
SUBMIT = "submit"
END = "end_step"

READING = frozenset({
    "list_versions", "read_version", "diff_versions", "list_attempts", "read_attempt",
    "search_knowledge", "read_knowledge", "list_knowledge", "recall", "read_result",
})  # fmt: skip
"""Tools that only read the record: they are there after the run, too."""

UNOPENED = READING | {"remember"}
"""Tools that need no opened step, such as between two of them."""

AFTER_BUDGET = frozenset(
    {BEGIN, WAIT, *(tool.name for tool in ALL_TOOLS if tool.group != "execution")}
)
"""Tools that may still run once the budget is used up: those that neither compile nor measure, so
that a candidate which was evaluated can be taken up and committed, and what was learned is kept."""

ON_DEVICE = frozenset({
    SUBMIT, *(tool.name for tool in ALL_TOOLS if tool.group == "execution"),
}) - {"compile", "disassemble"}  # fmt: skip
"""Tools that need the device. Where that comes and goes, their calls are set aside."""

ASIDE_SECONDS = 5.0
"""Seconds after which a call is set aside: the agent can go on with what needs no device."""

RESUMED = "The run was paused; the person has let it go on."

WAIT_SECONDS = 40.0
"""Seconds after which `wait` answers though no answer has come."""

GRACE_SECONDS = 300.0
"""Seconds without a call after which a step whose budget is used up is ended."""

MOST_GRACE_SECONDS = 1800.0
"""Seconds after which it is ended even while calls come."""

_CALL = re.compile(r"c\d{1,9}")
_ANSWER = "Answer of call"

_NOTHING: dict[str, object] = {"type": "object", "properties": {}, "additionalProperties": False}

OWN_TOOLS = (
    ToolSpec(
        name=BEGIN,
        group="self",
        description="Open the step: the task, the head with its score (and its source, if it is "
        "short), the lineage, what was tried and rejected, the memory, the gate, the budget, and "
        "the words of the person. Call it first in every step, and again after a step has ended.",
        input_schema={
            **_NOTHING,
            "properties": {
                "whole": {
                    "type": "boolean",
                    "description": "Tell the task and the source though you have read them before.",
                }
            },
        },
    ),
    ToolSpec(
        name=WAIT,
        group="self",
        description="Wait: for the answer of a tool that takes long, or for the person to resume a "
        "paused run. Answers after a while in any case; call it again where it says so.",
        input_schema={
            **_NOTHING,
            "properties": {
                "withdraw": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Calls that wait for the device and need not run, as c3.",
                }
            },
        },
    ),
)


def tool_specs(settings: RunSettings) -> tuple[ToolSpec, ...]:
    """The tools of the seat in this run: those that only the seat has, and the toolbox."""
    return (*OWN_TOOLS, *specs(parts_off(settings)))


Attend = Callable[[], Awaitable[None]]
"""May raise StepEnded."""


class SeatStep:
    """Serves the seat's requests with the toolbox of one step."""

    def __init__(self, bench: Workbench, door: Door, attend: Attend | None = None) -> None:
        """`attend` is awaited when the step begins and whenever `arrival` is set without a request.

        An operator uses it to keep its own agent working.
        """
        self.bench = bench
        self.door = door
        self._attend = attend
        self._serving: Request | None = None
        self.box = Toolbox(bench, tell=self._tell)
        self._calls = _last_call(bench.reading.step_events())
        self._begun_by = ""
        """Name of the client that has read this step's opening; empty if none has."""
        self._told: set[str] = set()
        self._over_since: float | None = None
        self._called = 0.0
        """When the last call came, by the monotonic clock."""
        self._end_told = False
        self._aside: dict[str, tuple[str, asyncio.Task[ToolResult]]] = {}
        """Call → (tool, its work), of calls that wait for the device behind the agent's back."""
        self._pause_told = False

    async def run(self) -> StepOutcome:
        """Run the step, or the remainder of an interrupted one."""
        for event in self.bench.reading.step_events():
            if isinstance(event, VersionCommitted):  # the step's end was not recorded
                return StepOutcome(outcome="committed", reason=event.version.gate.reason)
        try:
            if self._attend is not None:
                await self._attend()
            while True:
                await self.bench.control.standby(self.door.arrival, self._presence)
                outcome = self._take_answers()
                if outcome is not None:
                    return outcome
                request = self.door.next()
                if request is None:
                    if self._attend is not None:
                        await self._attend()
                    continue
                outcome = await self._serve(request)
                if outcome is not None:
                    return outcome
        except StepEnded as end:
            if not self._end_told:
                text = f"Step {self.bench.reading.step} was ended ({end.outcome}): {end.reason}."
                text += " begin_step opens the next one."
                self.door.leave_letter(Letter(sender="run", text=text))
            raise
        finally:
            await self._drop_aside()

    def _presence(self) -> Presence:
        """Whether an agent is there; also checks the seat and the budget."""
        self._note_occupant()
        over = self._over()
        if over is None:
            self._over_since = None
            return Presence(self.door.empty(), self.door.visitor is not None)
        now = monotonic()
        if self._over_since is None:
            self._over_since = now
        since_call = now - max(self._over_since, self._called)
        if since_call > GRACE_SECONDS or now - self._over_since > MOST_GRACE_SECONDS:
            raise StepEnded(over.outcome, over.reason)
        return Presence(self.door.empty(), self.door.visitor is not None)

    def _note_occupant(self) -> None:
        """Record a change of the agent that has the seat."""
        door, occupant = self.door, self.door.occupant
        if occupant == door.recorded:
            return
        if occupant is not None:
            _, run, _ = self.bench.reading.remaining()
            seconds, usd = door.sittings.setdefault(occupant.name, (run.seconds, run.usd))
            seated = occupant.replaced(seconds_at=seconds, usd_at=usd)
            self.bench.recording.record(SeatTaken(occupant=seated))
        elif door.empty():
            self.bench.recording.record(SeatLeft(why="the client has gone"))
            door.sittings.clear()
        else:
            return
        door.recorded = occupant

    # -- one call

    async def _serve(self, request: Request) -> StepOutcome | None:
        self._note_occupant()
        self._called = monotonic()
        tool, self._serving = request.call.tool, request
        try:
            paused = self._pause_told or bool(self.bench.control.pause_wanted())
            hints = await self.bench.control.boundary(f"before tool {self._calls + 1} ({tool})")
            if paused and not self.bench.control.pause_wanted():
                self._pause_told = False
                self.door.leave_letter(Letter(sender="run", text=RESUMED))
            over = self._over()
            if over is not None and tool not in AFTER_BUDGET:
                text = f"Not run. {_spent(over.reason)}"
                result, call = ToolResult(ok=False, text=text, whole=text), ""
            elif tool == END and self._unread():
                text = (
                    "Not ended: answers have come that you have not read. They stand below; call"
                    " end_step again if you still want it."
                )
                result, call = ToolResult(ok=False, text=text, whole=text), ""
            else:
                result, call = await self._call(request, hints)
                if outcome := self._take_answers():
                    result = result.replaced(ends_step=result.ends_step or outcome)
        except StepEnded as end:
            self._end_told = True
            text = _ended(end)
            if end.outcome != "stopped":
                text += " begin_step opens the next one."
            await self._send(request, Answer(
                id=request.call.id, ok=False, text=text, step=self.bench.reading.step,
                step_ended=True, run_ended=end.outcome == "stopped",
            ))  # fmt: skip
            raise
        if result.ends_step is not None:
            await self._drop_aside()
        opened = tool == BEGIN and result.ok
        await self._answer(request, result, () if opened else hints, call)
        return result.ends_step

    async def _call(self, request: Request, hints: Sequence[Hint]) -> tuple[ToolResult, str]:
        """Run a tool; returns (its result, the call's name in the record)."""
        tool, call = request.call.tool, f"c{self._calls + 1}"
        if tool == WAIT:
            text = await self._wait(request.call.arguments.get("withdraw") or ())
            return ToolResult(ok=True, text=text, whole=text), ""
        opened = self._begun_by == request.visitor.occupant.name
        if tool != BEGIN and not opened and tool not in UNOPENED:
            text = self._not_opened(request.visitor.occupant)
            return ToolResult(ok=False, text=text, whole=text), ""
        self._calls += 1
        if tool == BEGIN:
            self.bench.recording.record(ToolCalled(call=call, tool=tool))
            if request.call.arguments.get("whole"):
                request.visitor.read.clear()
            text = self._opening(hints, request.visitor.read)
            self._begun_by = request.visitor.occupant.name
            result = ToolResult(ok=True, text=text, whole=text)
            self.box.returned(call, tool, result)
            return result, call
        work = self._run_tool(call, tool, request.call.arguments)
        if tool in ON_DEVICE and self.bench.reading.queue():
            return await self._set_aside(call, tool, asyncio.create_task(work)), call
        return await work, call

    async def _run_tool(self, call: str, tool: str, arguments: Mapping[str, Any]) -> ToolResult:
        try:
            return await self.box.run(call, tool, arguments)
        except Interrupted as cut:
            text = cut_short(cut, f"Interrupted before it was finished ({cut.reason})")
            return self.box.refuse(call, tool, f"{text}\nCall it again if you still want it.")
        except StepEnded as end:
            self.box.refuse(call, tool, _ended(end))
            raise

    # -- calls that wait for a device that comes and goes

    async def _set_aside(self, call: str, tool: str, work: asyncio.Task[ToolResult]) -> ToolResult:
        """The answer of a call, or that it waits: its answer then comes with a later one."""
        before, submits = (
            self._named_aside(),
            [c for c, (t, _) in self._aside.items() if t == SUBMIT],
        )
        try:
            await asyncio.wait({work}, timeout=ASIDE_SECONDS)
        finally:
            if not work.done():
                self._aside[call] = tool, work
                work.add_done_callback(lambda _: self.door.arrival.set())
        if work.done():
            return work.result()
        text = (
            f"{tool} waits as call {call}: {self.bench.reading.queue()}. Its answer comes with"
            " that of a later call, or by `wait`. Meanwhile compile, disassemble, edit and read,"
            " or give further candidates to the device: what waits together is measured together."
            " `wait withdraw=[…]` takes calls back."
        )
        if tool == SUBMIT and before:
            text += f" A commit ends the step, and what has no answer by then is not run: {before}."
        elif submits:
            text += f" If {submits[0]} is committed first, the step ends and this call is not run."
        return ToolResult(ok=True, text=text, whole=text)

    def _named_aside(self) -> str:
        """The calls that wait for the device, such as `evaluate (c3)`."""
        return ", ".join(f"{tool} ({call})" for call, (tool, _) in self._aside.items())

    async def _drop_aside(self) -> None:
        """End the calls that still wait when the step is over, and tell which they are."""
        works = [work for _, work in self._aside.values()]
        if not works:
            return
        self.door.leave_letter(Letter(
            sender="run", text=f"Not run, as the step has ended: {self._named_aside()}. What is"
            " still worth it, call again in the next step.",
        ))  # fmt: skip
        self._aside.clear()
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    def _take_answers(self) -> StepOutcome | None:
        """Keep the answers that have come for the next one; the outcome, if one ended the step.

        Raises StepEnded.
        """
        outcome = None
        for call, (tool, work) in list(self._aside.items()):
            if not work.done():
                continue
            del self._aside[call]
            result = work.result()
            self.door.leave_letter(
                Letter(sender="run", text=f"{_ANSWER} {call}, {tool}:\n{result.text}")
            )
            outcome = outcome or result.ends_step
        return outcome

    def _unread(self) -> bool:
        """Whether answers of calls have come that no client has been sent."""
        return any(letter.text.startswith(_ANSWER) for letter in self.door.unread())

    async def _withdraw(self, calls: Sequence[str]) -> str:
        """Take calls back that wait for the device."""
        waiting = {c: self._aside.pop(c) for c in calls if c in self._aside}
        for _, work in waiting.values():
            work.cancel("withdrawn")
        await asyncio.gather(*(work for _, work in waiting.values()), return_exceptions=True)
        for call, (tool, _) in waiting.items():
            self.box.refuse(call, tool, "Withdrawn before it had an answer.")
        parts = [f"Withdrawn: {', '.join(waiting)}."] if waiting else []
        if others := [c for c in calls if c not in waiting]:
            parts.append(f"No call that waits: {', '.join(others)}.")
        if self._aside:
            parts.append(f"Still without an answer: {self._named_aside()}.")
        return " ".join(parts)

    async def _wait(self, withdraw: Sequence[str] = ()) -> str:
        if withdraw:
            return await self._withdraw(withdraw)
        if not self._aside:
            return "There is nothing to wait for: the run goes on and no tool is at work."
        works = {work for _, work in self._aside.values()}
        waiting = asyncio.wait(works, timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        with contextlib.suppress(Interrupted):  # a hint, say, which comes with this answer
            await self.bench.control.interruptible(waiting)
        if any(work.done() for work in works):
            return "An answer has come, below."
        return (
            f"No answer yet of {self._named_aside()}: {self.bench.reading.queue()}. Go on with what"
            " needs no device, or call `wait` again."
        )

    def _tell(self, doing: str, results: tuple[str, ...]) -> None:
        """Tell the client whose call runs what its tool does."""
        if self._serving is not None:
            call = self._serving.call.id
            self._serving.visitor.tell(Working(id=call, working=doing, results=results))

    def _not_opened(self, occupant: Occupant) -> str:
        """Why a tool of a client that has not called `begin_step` is not run, and what to do."""
        step, head = self.bench.reading.step, self.bench.reading.head.number
        by = self._begun_by
        if not by:
            return (
                f"Not run. Nobody has opened step {step} yet, which starts from v{head}: call"
                " begin_step first, it tells how things stand."
            )
        text = f"Not run. Step {step} was opened by {by!r}, and you are {occupant.name!r}."
        if occupant.way == "command_line":
            text += f" If that was you, say --as {shlex.quote(by)} once from this folder. If not,"
        else:
            text += " To go on in its place,"
        return f"{text} call begin_step first: it tells what the step has brought so far."

    def _opening(self, hints: Sequence[Hint], known: set[str]) -> str:
        """The step's opening: with what it brought so far, where it is taken up, and the hints of
        this step that an earlier client was told. `known` is what the client has read before."""
        bench = self.bench
        seen = {h.id for h in hints}
        earlier = [
            bench.reading.hint(e.hint)
            for e in bench.reading.step_events()
            if isinstance(e, HintDelivered) and e.hint not in seen
        ]
        unique = {h.id: h for h in (*earlier, *hints)}
        self._told |= {intervention_key(i) for i in bench.reading.interventions()}
        self._told |= {note_key(n) for n in bench.reading.notes()}
        return seat_opening(bench, tuple(unique.values()), self.box.workspace, known)

    def _over(self) -> StepOutcome | None:
        """The outcome if a cap is reached; None while there is budget."""
        sentence = self.bench.control.budget_left()
        if sentence is None:
            return None
        budget, run, _ = self.bench.reading.remaining()
        ended = "stopped" if exhausted(budget.run, run) else "nothing"
        return StepOutcome(outcome=ended, reason=sentence)

    # -- the answer

    async def _answer(
        self, request: Request, result: ToolResult, hints: Sequence[Hint], call: str = ""
    ) -> None:
        over = self._over()
        run_over = over is not None and over.outcome == "stopped"
        moment = f"in the answer of tool {self._calls} ({request.call.tool})"
        letters = self._letters(hints, moment, take=not request.visitor.gone)
        if self.bench.control.pause_wanted() and not self._pause_told:
            self._pause_told = True
            text = "The person pauses the run: a tool or step soon waits until it is resumed."
            letters = (*letters, Letter(sender="run", text=text))
        if self._aside and request.call.tool != WAIT and call not in self._aside:
            text = f"Without an answer yet: {self._named_aside()}; {self.bench.reading.queue()}."
            letters = (*letters, Letter(sender="run", text=text))
        if result.ends_step is not None and result.ends_step.outcome == "committed":
            request.visitor.read.add(self.box.workspace.working.id)
        if over is not None and result.ok:
            known = f"spent: {request.visitor.occupant.name}: {over.reason}"
            text = "The budget is used up." if known in self._told else _spent(over.reason)
            self._told.add(known)
            letters = (*letters, Letter(sender="run", text=text))
        answer = Answer(
            id=request.call.id,
            ok=result.ok,
            text=result.whole if request.call.whole else result.text,
            characters=len(result.whole),
            call=call,
            step=self.bench.reading.step,
            letters=letters,
            step_ended=result.ends_step is not None,
            run_ended=result.ends_step is not None and run_over,
            run_state=self.bench.reading.state.session.state,
        )
        await self._send(request, answer)

    async def _send(self, request: Request, answer: Answer) -> None:
        if await request.visitor.send(answer):
            return
        for letter in answer.letters:
            self.door.leave_letter(letter)
        if answer.call:
            text = f"The client that called {request.call.tool} had gone when its answer came:"
            text += f" {first_lines(answer.text, 2)}\nread_result(call={answer.call!r}) has it all."
            self.door.leave_letter(Letter(sender="run", text=text))

    def _letters(self, hints: Sequence[Hint], place: str, *, take: bool) -> tuple[Letter, ...]:
        """News since the last answer: hints, directions, edits of the memory.

        Queued hints are included unless no client is there to read them.
        """
        bench = self.bench
        more = bench.control.take_hints(place) if take else ()
        letters = [*self.door.letters()]
        letters += [Letter(sender="person", text=hint_text(h)) for h in (*hints, *more)]
        if not self._begun_by:
            return tuple(letters)
        for order in bench.reading.interventions():
            if intervention_key(order) not in self._told:
                self._told.add(intervention_key(order))
                letters.append(Letter(sender="supervisor", text=intervention_text(order)))
        if "memory" in parts_off(bench.reading.settings):
            return tuple(letters)
        text, told = persons_changes(
            bench.reading.notes(), self._told, self.box.workspace.forgotten
        )
        if text:
            self._told |= set(told)
            letters.append(Letter(sender="person", text=text))
        return tuple(letters)


def _last_call(events: Sequence[Event]) -> int:
    """Number of the last call of a step, 0 before the first; also of one that never returned."""
    names = (e.call for e in events if isinstance(e, ToolCalled | ToolReturned))
    return max((int(name[1:]) for name in names if _CALL.fullmatch(name)), default=0)


def _ended(end: StepEnded) -> str:
    """Why a tool was not run to its end, with what it brought until then."""
    reason = f"Not run to its end: the step was ended ({end.outcome}): {end.reason}"
    return cut_short(end, reason) if end.brought else f"{reason}."


def _spent(reason: str) -> str:
    return (
        f"The budget is used up: {reason}. What was evaluated in this step may still be submitted"
        " (an earlier attempt by submit attempt=…); otherwise end_step with what was learned."
        " Either may end the run: keep what others should know before it. Tools that read the"
        " record still answer."
    )
