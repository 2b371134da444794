"""A model that calls tools badly, with the few tools and the short prompt that are meant for it."""

from __future__ import annotations

import json

import pytest

from avo_tui.domain.run_settings import RunSettings
from tests.loopback.server import Answer, Server, text, tool
from tests.operators.agent.helpers import results, step, well_formed
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source


@pytest.mark.parametrize("parts", ["extras", "extras,memory,knowledge,timing"])
async def test_a_clumsy_model_gets_to_a_version_with_few_tools(parts: str) -> None:
    written = {"name": "write_file", "arguments": {"file": "kernel.cpp", "text": source(1.25)}}
    clumsy = [
        Answer([text("Certainly! First I will read the kernel.")]),
        Answer([tool("functions.read_candidate")]),
        Answer([text(f"<tool_call>\n{json.dumps(written)}\n</tool_call>")]),
        Answer([tool("search_knowledge", query="tiles")]),
        Answer([tool("evaluate", name="faster")]),
        Answer([tool("evaluate", title="speed 1.25")]),
        Answer([tool("submit", summary="It is faster because the number is larger.")]),
    ]
    bench = FakeWorkbench(settings=RunSettings(options={"toolbox.without": parts}))
    async with Server(clumsy) as server:
        outcome = await step(bench, server, thinking="off", max_tokens=8000, clear_at=24_000)
    assert outcome.outcome == "committed"
    first = server.requests[0]
    few = [t["name"] for t in first["tools"]]
    assert len(few) <= 12 and {"write_file", "compile", "evaluate", "submit"} <= set(few)
    assert len(json.dumps([first["system"], first["tools"]])) < 13_000, "about 4,000 tokens"
    for body in server.requests:
        well_formed(body)
    answered = [event for event in results(bench).values() if not event.ok]
    assert [event.tool for event in answered] == ["search_knowledge", "evaluate"]
    assert "It takes: title" in answered[1].summary
