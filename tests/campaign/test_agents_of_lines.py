"""Lines whose operator is the agent: one budget in dollars, and notes that all of them read."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from avo_tui.campaign.conductor import Conductor
from avo_tui.domain.budget import Caps
from avo_tui.domain.campaigns import SHARED_BY
from avo_tui.domain.run_settings import RunSettings
from avo_tui.store import (
    CampaignFolder,
    CampaignReader,
    CampaignView,
    CampaignWriter,
    SessionReader,
)
from tests.campaign.engines import Engines
from tests.campaign.stage import new_campaign
from tests.loopback.server import Answer, Body, Server, text, tool

REQUEST = 0.2
"""Dollars of one answer: 100 tokens in for 1 dollar a thousand, 20 out for 5."""
PRICES = {"price_input": 1000.0, "price_output": 5000.0}
LINES = 2


class Mind:
    """Per step one note, one edit that helps nothing, and its evaluation."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __call__(self, number: int, body: Body) -> Answer:
        done = {
            block["name"]
            for message in body["messages"]
            if message["role"] == "assistant"
            for block in message["content"]
            if block["type"] == "tool_use"
        }
        fresh = next(self._numbers)
        if "remember" not in done:
            return Answer([tool("remember", category="fact", text=f"observation {fresh}")])
        if "replace_text" not in done:
            old = "// A pretend kernel."
            return Answer([tool("replace_text", old=old, new=f"{old} Try {fresh}.")])
        if "evaluate" not in done:
            return Answer([text("now"), tool("evaluate", title=f"try {fresh}")])
        return Answer([tool("end_step", reason=f"try {fresh} was no faster")])


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engines]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-the-test")
    engines = Engines(tmp_path)
    yield engines
    engines.close()


@pytest.mark.timeout(900)
@pytest.mark.slow
async def test_lines_stop_at_the_dollars_of_the_campaign_and_read_each_others_notes(
    engines: Engines,
) -> None:
    async with Server(Mind()) as server:
        settings = RunSettings(
            operator="agent", model="test-model", options={"base_url": server.url, **PRICES}
        )
        cap = 20 * REQUEST
        folder = new_campaign(
            lines=LINES, settings=settings, caps=Caps(usd=cap), shared_memory=True
        )
        final = await conducted(folder.path, engines)
        requests = list(server.requests)
    assert {line.state for line in final.lines} == {"finished"}
    spent = sum(line.spend.usd for line in final.lines)
    assert spent == pytest.approx(len(requests) * REQUEST), "each answer is counted once"
    assert cap - REQUEST * LINES <= spent <= cap + REQUEST * LINES
    shares = [SessionReader.open(line.folder).state.session.budget.run.usd for line in final.lines]
    assert sum(share or 0.0 for share in shares) <= cap + 1e-9
    for line in final.lines:
        notes = SessionReader.open(line.folder).state.memory.values()
        own = {n.text for n in notes if n.author != SHARED_BY}
        others = {n.text for n in notes if n.author == SHARED_BY}
        assert own and others and not any("from line" in note for note in own)
        assert not any(f"(from line {line.line.number})" in note for note in others)
    assert any("(from line " in str(body["messages"][0]) for body in requests)


async def conducted(folder: Path, engines: Engines) -> CampaignView:
    """The campaign after its lines are over."""
    store = CampaignWriter(folder)
    try:
        conductor = Conductor(store, engines.used)
        async with asyncio.timeout(600):
            while await asyncio.to_thread(conductor.look):
                await asyncio.sleep(0.05)
    finally:
        store.close()
    return CampaignReader(CampaignFolder(folder)).view()
