"""Runs one step of the real agent against the loopback server."""

import random
from collections.abc import Iterable
from typing import Any

from avo_tui.domain.budget import Spend
from avo_tui.domain.events import Event, MessageRecorded, Spent, ToolReturned
from avo_tui.domain.secrets import redactor, secret_values
from avo_tui.operators.agent.model.endpoint import AnthropicModel
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.operators.agent.setup import Setup
from avo_tui.operators.agent.step import AgentStep
from avo_tui.operators.ports import StepOutcome
from tests.loopback.server import Answer, Body, Server, text, tool
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source

WORK = [
    Answer([text("A plan."), tool("set_plan", title="Faster", items=[{"text": "edit"}])]),
    Answer([tool("write_file", file="kernel.cpp", text=source(1.25))]),
    Answer([tool("evaluate", title="speed 1.25")]),
    Answer([tool("submit", summary="It is faster because the number is larger.")]),
]


def work() -> list[Answer]:
    """Four answers that lead to a commit, with call ids of their own."""
    return [
        Answer([{**b, "id": f"w{i}"} if "id" in b else b for b in a.content])
        for i, a in enumerate(WORK)
    ]


def settings(server: Server | None, **more: Any) -> AgentSettings:
    address = server.url if server else "http://127.0.0.1:1"
    given = {"model": "test-model", "base_url": address, "context_editing": "local", **more}
    return AgentSettings.model_validate(given)


async def step(bench: FakeWorkbench, server: Server | None, **more: Any) -> StepOutcome:
    """Runs the step, with a model of its own."""
    own = settings(server, **more)
    model = AnthropicModel(own)
    redact = redactor(secret_values(more=model.credentials()))
    agent = AgentStep(bench, Setup(own, model, chance=random.Random(1)), redact)
    try:
        return await agent.run()
    finally:
        await model.close()


def results(bench: FakeWorkbench) -> dict[str, ToolReturned]:
    return {e.call: e for e in bench.of(ToolReturned)}


def whole(bench: FakeWorkbench, call: str) -> str:
    ref = results(bench)[call].ref
    assert ref is not None
    return bench.reading.fetch(ref).decode()


def answers(bench: FakeWorkbench) -> int:
    return sum(e.role == "assistant" for e in bench.of(MessageRecorded))


def bills(events: Iterable[Event]) -> list[Spend]:
    """What each answer cost: its input is on record when it begins, the rest when it ends."""
    answers_paid: list[Spend] = []
    for event in events:
        if isinstance(event, Spent) and event.spend.tokens:
            if event.spend.requests:
                answers_paid.append(event.spend)
            else:
                answers_paid[-1] = answers_paid[-1] + event.spend
    return answers_paid


def last_user(body: Body) -> list[Body]:
    assert body["messages"][-1]["role"] == "user"
    content: list[Body] = body["messages"][-1]["content"]
    return content


def well_formed(body: Body) -> None:
    """What every endpoint asks of a conversation: turns in order, each call answered at once."""
    messages = body["messages"]
    assert messages[0]["role"] == "user"
    for place, message in enumerate(messages):
        assert message["content"], "an empty message"
        calls = [b["id"] for b in message["content"] if b["type"] == "tool_use"]
        if message["role"] == "assistant" and calls:
            following = messages[place + 1]
            assert following["role"] == "user"
            given = [b["tool_use_id"] for b in following["content"] if b["type"] == "tool_result"]
            assert given == calls
            kinds = [b["type"] for b in following["content"]]
            assert kinds == sorted(kinds, key=lambda k: k != "tool_result"), "results come first"
        if message["role"] == "user" and place:
            assert messages[place - 1]["role"] == "assistant"
