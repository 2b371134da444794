"""Replays a recorded conversation through the agent's loop; tools and measurements are real."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from avo_tui.domain.budget import Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.events import AgentText
from avo_tui.domain.records import Author
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.secrets import redactor, secret_values
from avo_tui.operators.agent.model.features import Features
from avo_tui.operators.agent.model.port import Block, Reply, Request, Sink
from avo_tui.operators.agent.model.prices import FREE, Price
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.operators.agent.setup import Setup
from avo_tui.operators.agent.step import AgentStep
from avo_tui.operators.ports import StepOutcome, Workbench
from avo_tui.operators.recorded.recording import RecordedStep, RecordedTurn, Recording, load

TICK = 0.05
"""Seconds between two pieces of replayed text."""

NOTICE = (
    "[This is a recording: words and edits are played, no model is asked. Every compilation, check"
    " and measurement is made here and now.]\n\n"
)

OVER = "the recording is over"

LONGEST_CALL = 2.5
"""Longest time that the arguments of a tool call appear to take, in seconds."""


class Player:
    """A model that answers with the turns of one recorded step."""

    def __init__(self, recording: Recording, step: RecordedStep, head: Candidate, pace: float):
        self.name = f"recording of {recording.task}"
        self.features = Features()
        self._pace = pace
        self._turns = list(step.turns)
        if head.id != step.base.id:
            self._turns.insert(0, _bridge(head, step.base))

    @property
    def checks_signatures(self) -> bool:
        return False

    def relative_price(self) -> Price:
        return FREE

    @property
    def reviews(self) -> bool:
        return False

    async def reply(self, request: Request, sink: Sink) -> Reply:
        """The next recorded turn, streamed at reading speed."""
        if request.turn < len(self._turns):
            turn = self._turns[request.turn]
        else:
            turn = _over()
        for index, block in enumerate(turn.content):
            if block["type"] in {"text", "thinking"}:
                await self._speak(index, block, sink)
            elif block["type"] == "tool_use":
                size = len(json.dumps(block["input"]))
                await asyncio.sleep(min(LONGEST_CALL, size / (4 * self._pace)))
            sink.end(index)
        return Reply(
            content=[dict(b) for b in turn.content],
            stop_reason=turn.stop_reason,
            model=self.name,
        )

    async def _speak(self, index: int, block: Block, sink: Sink) -> None:
        thinking = block["type"] == "thinking"
        words = str(block["thinking" if thinking else "text"])
        size = max(1, int(self._pace * TICK))
        for start in range(0, len(words), size):
            sink.text(index, words[start : start + size], thinking)
            await asyncio.sleep(len(words[start : start + size]) / self._pace)

    def spend(self, usage: Mapping[str, Any], model: str = "") -> Spend:
        return Spend()

    def remarks(self) -> list[str]:
        return []

    def renew(self) -> str:
        return ""

    def parameters(self) -> dict[str, Any]:
        return {}

    async def close(self) -> None:
        """Nothing to close: there are no connections."""


def _bridge(head: Candidate, base: Candidate) -> RecordedTurn:
    """A turn that sets the working candidate to the recorded source, if this run's head differs."""
    words = (
        "[The recording goes on from another source than this run's head: here the gate decided"
        " otherwise, or the seed has changed. The recorded source is put in its place.]"
    )
    content: list[Block] = [{"type": "text", "text": words}]
    for number, (name, text) in enumerate(base.files.items()):
        if head.files.get(name) != text:
            content.append(_call(f"bridge_{number}", "write_file", {"file": name, "text": text}))
    for number, name in enumerate(n for n in head.files if n not in base.files):
        content.append(_call(f"bridge_gone_{number}", "delete_file", {"file": name}))
    return RecordedTurn(content=content)


def _over() -> RecordedTurn:
    """A turn that ends the step after its recorded turns are used up."""
    reason = "The recording of this step ends here; on this machine the gate decided otherwise."
    return RecordedTurn(content=[_call("over", "end_step", {"reason": reason})])


def _call(identity: str, name: str, arguments: dict[str, Any]) -> Block:
    return {"type": "tool_use", "id": identity, "name": name, "input": arguments}


class RecordedOperator:
    """Replays the n-th recorded step in the n-th step of the run."""

    author: Author = "recorded"

    def __init__(self, settings: AgentSettings, recording: Recording) -> None:
        self.settings = settings
        self.recording = recording
        self._redact = redactor(secret_values())

    async def vary(self, bench: Workbench) -> StepOutcome:
        """One step; the run ends after the last recorded one."""
        if bench.reading.step > len(self.recording.steps):
            return StepOutcome(outcome="stopped", reason=OVER)
        step = self.recording.steps[bench.reading.step - 1]
        if not any(isinstance(e, AgentText) for e in bench.reading.step_events()):
            bench.recording.record(AgentText(block=f"{bench.reading.step}.recording", text=NOTICE))
        head = bench.reading.candidate(bench.reading.head.candidate)
        player = Player(self.recording, step, head, self.settings.pace)
        agent = AgentStep(bench, Setup(self.settings, player), self._redact, self.author)
        done = await agent.run()
        if bench.reading.step == len(self.recording.steps):
            reason = f"{done.reason}; {OVER}" if done.reason else OVER
            return StepOutcome(outcome="stopped", reason=reason)
        return done


def make(settings: RunSettings) -> RecordedOperator:
    """The operator of a session. Raises ValueError with one sentence for a bad recording."""
    return RecordedOperator(AgentSettings.of(settings), load(settings.recording))
