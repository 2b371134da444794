"""The seat over the Model Context Protocol, with the official client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.commands import Pause, Resume, SendHint
from avo_tui.domain.run_settings import OperatorTraits, RunSettings
from avo_tui.operators.seat.operator import SeatOperator
from avo_tui.operators.seat.step import RESUMED
from avo_tui.operators.seat.wire import Hello
from avo_tui.seat.client import SeatClient, SeatNotThereError
from avo_tui.seat.resources import Library
from avo_tui.store import SessionReader
from tests.evolution.laboratory import Laboratory, MakeLab, NoKnowledge
from tests.evolution.seat_lab import DEADLINE, seated

mcp = pytest.importorskip("mcp")
from avo_tui.seat.server import SeatServer, serve_http  # noqa: E402


def begun(make_lab: MakeLab) -> Laboratory:
    traits = OperatorTraits(title="agent in the seat")
    lab = make_lab(RunSettings(operator="seat", traits=traits))
    lab.start(SeatOperator(lab.settings))
    return lab


def served(lab: Laboratory, patience: float = 30.0, *, take_over: bool = False) -> SeatServer:
    async def sit_down(hello: Hello) -> SeatClient:
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    return await SeatClient.sit_down(lab.folder, hello)
                except SeatNotThereError:
                    if lab.has_ended:
                        raise
                    await asyncio.sleep(0.01)

    reader = SessionReader.open(lab.folder)
    library = Library(reader, NoKnowledge(), lambda command: None)
    return SeatServer(
        library,
        sit_down,
        waiting=lambda: "the lab works",
        patience=patience,
        take_over=take_over,
    )


@contextlib.asynccontextmanager
async def client_of(seat: SeatServer) -> AsyncIterator[Any]:
    try:
        async with mcp.Client(seat.server) as client:
            yield client
    finally:
        await seat.close()


async def call(client: Any, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert result.content[0].text.startswith(result.structured_content["text"])
    assert result.is_error is not result.structured_content["ok"]
    structured: dict[str, Any] = result.structured_content
    return structured


async def until_told(client: Any, words: str) -> None:
    """Wait until an answer of `wait`, while a tool runs, has these words."""
    async with asyncio.timeout(DEADLINE):
        while True:
            answer = await call(client, "wait")
            assert answer["still_running"], answer["text"]
            if words in "\n".join([answer["text"], *(told["text"] for told in answer["letters"])]):
                return


async def until_answered(client: Any, tool: str = "wait") -> dict[str, Any]:
    """Call a tool, and wait until its answer is there."""
    answer = await call(client, tool)
    async with asyncio.timeout(DEADLINE):
        while answer["still_running"]:
            answer = await call(client, "wait")
    return answer


async def test_a_step_over_mcp_with_a_hint_on_the_way(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    await lab.versions(1)
    async with client_of(served(lab)) as client:
        tools = {t.name: t for t in (await client.list_tools()).tools}
        assert sum(len(t.model_dump_json()) for t in tools.values()) < 40_000
        assert {"begin_step", "wait", "end_step", "evaluate", "submit", "bench"} <= set(tools)
        assert tools["evaluate"].input_schema["required"] == ["title"]
        assert "Step 1: vary v0" in (await call(client, "begin_step"))["text"]
        await lab.send(SendHint(text="unroll"))
        edit = await call(client, "replace_text", old="UNROLL = 1", new="UNROLL = 4")
        assert edit["letters"][0]["sender"] == "person" and "unroll" in edit["letters"][0]["text"]
        wrong = await call(client, "evaluate")
        assert not wrong["ok"] and "title" in wrong["text"]
        assert (await call(client, "evaluate", title="four at a time"))["ok"]
        done = await call(client, "submit", summary="four at a time is faster")
        assert done["step_ended"] and not done["run_ended"]
    assert len(lab.state.versions) == 2
    await lab.until(lambda: lab.of(ev.SeatTaken))
    assert lab.of(ev.SeatTaken)[0].occupant.way == "mcp"


async def test_a_tool_that_takes_long_says_so_and_wait_brings_its_answer(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avo_tui.seat.slow_calls.TICK", 0.02)
    lab = begun(make_lab)
    lab.hold_from(1)
    async with client_of(served(lab, patience=0.1)) as client:
        await lab.versions(1)
        await until_answered(client, "begin_step")
        edit = await call(client, "replace_text", old="UNROLL = 1", new="UNROLL = 4")
        assert edit["ok"]
        assert (await call(client, "evaluate", title="four at a time"))["still_running"]
        await lab.held()
        busy = await call(client, "read_candidate")
        assert busy["still_running"] and "Not run: evaluate still runs" in busy["text"]
        assert not busy["ok"] and busy["step"] == 1
        await lab.send(SendHint(text="unroll less", delivery="end_of_turn"))
        early = (await call(client, "wait"))["letters"]
        assert [letter["sender"] for letter in early] == ["person"]
        assert "unroll less" in early[0]["text"] and "once more" in early[0]["text"]
        assert (await call(client, "wait"))["letters"] == []
        await lab.send(Pause())
        await until_told(client, "The person pauses the run")
        await lab.send(Resume())
        await until_told(client, RESUMED)
        lab.evaluator.let_go()
        answer = await until_answered(client)
        assert "verdict: correct" in answer["text"]
        await lab.send(Pause(mode="after_tool"))
        await lab.until(lambda: lab.state.session.state == "paused")
        assert (await call(client, "read_candidate"))["still_running"]
        await until_told(client, "The run is paused: the call is held")
        await lab.send(Resume())
        answer = await until_answered(client)
        assert "UNROLL = 4" in answer["text"]


async def test_who_waits_is_told_which_variant_runs_and_what_the_others_gave(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avo_tui.seat.slow_calls.TICK", 0.02)
    lab = begun(make_lab)
    lab.evaluator.hold_paired = 1
    told: list[str | None] = []

    async def progress(seconds: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with client_of(served(lab, patience=0.5)) as client:
        await lab.versions(1)
        await until_answered(client, "begin_step")
        arguments = {"sweep": {"BY": ["2", "4"]}, "pairs": 2}
        await client.call_tool("bench", arguments, progress_callback=progress)
        async with asyncio.timeout(DEADLINE):
            while "pair 2 of 2, 1 of 2" not in (waits := await call(client, "wait"))["text"]:
                assert waits["still_running"]
        assert "So far: BY=2 1.0000 by 1 pair" in waits["text"]
        assert any("BY=4" in (message or "") for message in told)
        await lab.send(Pause(mode="now"))
        answer = await until_answered(client)
        assert not answer["ok"] and "BY=4: 1.0000 [" in answer["text"]
        await lab.send(Resume())


async def test_who_was_sent_away_does_not_take_the_seat_back(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    first = await seated(lab, Hello(client="first", way="mcp"))
    lab.hold_from(1)
    async with client_of(served(lab, take_over=True)) as client:
        assert (await call(client, "begin_step"))["ok"]
        assert first.gone
        assert (await call(client, "replace_text", old="UNROLL = 1", new="UNROLL = 2"))["ok"]
        running = asyncio.create_task(call(client, "evaluate", title="two at a time"))
        await lab.held()
        third = await SeatClient.sit_down(
            lab.folder, Hello(client="third", way="mcp", take_over=True)
        )
        assert "took the place" in (await running)["text"]
        for tool in ("list_versions", "begin_step"):
            assert "third sits in the seat" in (await call(client, tool))["text"]
        lab.evaluator.let_go()
        assert (await third.call("begin_step")).ok
        await third.close()


async def test_pages_and_the_prompt_need_no_seat(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    await lab.versions(1)
    async with client_of(served(lab)) as client:
        uris = [str(r.uri) for r in (await client.list_resources()).resources]
        for uri in [*uris, "avo:///version/0", "avo:///attempt/0.1"]:
            assert (await client.read_resource(uri)).contents[0].text is not None
        with pytest.raises(mcp.MCPError, match="nothing at"):
            await client.read_resource("avo:///nonsense")
        prompt = await client.get_prompt("step")
        assert "Brief for the agent" in prompt.messages[0].content.text
    assert not lab.of(ev.SeatTaken)


async def test_a_second_client_is_told_who_sits_there(make_lab: MakeLab) -> None:
    lab = begun(make_lab)
    await lab.versions(1)
    async with client_of(served(lab)) as first, client_of(served(lab)) as second:
        assert (await call(first, "begin_step"))["ok"]
        refused = await call(second, "begin_step")
        assert not refused["ok"] and "sits in the seat, over MCP, since" in refused["text"]


async def test_the_record_is_read_over_mcp_after_the_end(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = begun(make_lab)
    async with client_of(served(lab)) as client:
        assert (await call(client, "begin_step"))["ok"]
        await call(client, "replace_text", old="UNROLL = 1", new="UNROLL = 4")
        assert (await call(client, "evaluate", title="four at a time"))["ok"]
        await lab.stop()
        recorded = len(lab.check_whole().attempts)
        for tool, arguments, words in (
            ("list_versions", {}, "v0"),
            ("list_attempts", {}, "four at a time"),
            ("read_attempt", {"step": 1, "number": 1, "part": "source"}, "UNROLL = 4"),
            ("read_version", {"version": 0, "part": "source"}, "UNROLL = 1"),
            ("read_result", {"call": "c3"}, "verdict: correct"),
        ):
            answer = await call(client, tool, **arguments)
            assert answer["ok"] and answer["run_ended"] and words in answer["text"], tool
            assert answer["run_state"] == "stopped"
        assert not (await call(client, "read_version", version=7))["ok"]
        over = iter([False, True])  # it ends between the question and the call
        monkeypatch.setattr("avo_tui.seat.resources.is_over", lambda reader: next(over))
        assert (await call(client, "list_versions"))["run_ended"]
        assert len(SessionReader.open(lab.folder).state.attempts) == recorded


async def test_http_asks_for_the_token(make_lab: MakeLab) -> None:
    from mcp.client.streamable_http import streamable_http_client

    lab = begun(make_lab)
    await lab.versions(1)
    seat = served(lab)
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve_http(seat, 0, "secret", port.set_result))
    url = f"http://127.0.0.1:{await port}/mcp"
    async with httpx2.AsyncClient() as bare:
        assert (await bare.post(url, json={})).status_code == 401
        wrong = {"Authorization": "Bearer other"}
        assert (await bare.post(url, json={}, headers=wrong)).status_code == 401
    headers = {"Authorization": "Bearer secret"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        mcp.Client(streamable_http_client(url, http_client=http)) as client,
    ):
        assert "Step 1" in (await call(client, "begin_step"))["text"]
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)
