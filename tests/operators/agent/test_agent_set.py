"""Model, effort, thinking and prices changed in mid-run: from the next request on, and recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps, Spend
from avo_tui.domain.commands import Resume, SetOptions
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.agent import make
from avo_tui.store import SessionReader
from tests.evolution.laboratory import Laboratory
from tests.loopback.server import Answer, Behaviour, Body, Broken, Server, Status, text, tool
from tests.loopback.strict import SIGNED, StrictServer
from tests.operators.agent.helpers import bills

THOUGHT = {"type": "thinking", "thinking": "The loads wait.", "signature": SIGNED}


def looking(number: int, body: Body) -> Behaviour:
    """Looks around with a thought, for ever."""
    call = {**tool("recall", containing=str(number)), "id": f"toolu_{number}"}
    return Answer([THOUGHT, call], usage={"input_tokens": 100, "output_tokens": 20})


def laboratory(folder: Path, server: Server, **more: object) -> Laboratory:
    options = {
        "agent.base_url": server.url,
        "agent.price_input": 1.0,
        "agent.price_output": 5.0,
        "supervisor.attempts": 0,
        **more,
    }
    settings = RunSettings.model_validate(
        {
            "operator": "agent",
            "model": "first",
            "options": options,
            "budget": Budget(run=Caps(steps=50)),
        }
    )
    lab = Laboratory(folder, settings)
    lab.start(make(settings))
    return lab


async def test_model_effort_and_thinking_from_the_next_request_on(tmp_path: Path) -> None:
    async with StrictServer(looking, keep=True) as server:
        lab = laboratory(tmp_path / "s", server)
        await lab.until(lambda: len(server.requests) >= 3)
        assert server.requests[-1]["output_config"] == {"effort": "high"}
        change = SetOptions(
            options={"agent.model": "second", "agent.effort": "low", "agent.max_tokens": "9000"}
        )
        assert (await lab.send(change)).refused is None
        asked = len(server.requests)
        await lab.until(lambda: len(server.requests) >= asked + 3)
        body = server.requests[asked + 1]
        assert body["model"] == "second" and body["max_tokens"] == 9000
        assert body["output_config"] == {"effort": "low"}
        kinds = [b["type"] for m in body["messages"] for b in m["content"]]
        assert kinds.count("thinking") <= 1, "the thoughts of the other model are left out"
        off = SetOptions(options={"agent.thinking": "off", "agent.effort": "default"})
        assert (await lab.send(off)).refused is None
        asked = len(server.requests)
        await lab.until(lambda: len(server.requests) >= asked + 2)
        assert not {"thinking", "output_config"} & set(server.requests[-1])
        assert not server.refusals
        await lab.stop()
        reader = SessionReader.open(tmp_path / "s")
        requests = [
            json.loads(reader.get(e.ref))
            for e in lab.events
            if isinstance(e, ev.MessageRecorded) and e.role == "request" and e.awaits_answer
        ]
        assert requests[0]["model"] == "first"
        assert requests[-1]["model"] == "second" and requests[-1]["parameters"] == {}


async def test_new_prices_count_from_the_next_answer_on(tmp_path: Path) -> None:
    async with Server(looking) as server:
        lab = laboratory(tmp_path / "s", server)
        await lab.until(lambda: len(server.requests) >= 2)
        await lab.send(SetOptions(options={"agent.price_input": 10, "agent.price_output": "50"}))

        def spends() -> list[Spend]:
            return bills(lab.events)[:-1]  # the last may not have ended

        count = len(spends())
        await lab.until(lambda: len(spends()) >= count + 3)
        one = (100 * 1.0 + 20 * 5.0) / 1e6
        assert spends()[0].usd == pytest.approx(one)
        assert spends()[-1].usd == pytest.approx(10 * one)
        await lab.stop()


async def test_another_model_helps_a_run_that_is_paused_for_an_unknown_one(tmp_path: Path) -> None:
    def strict_about_names(number: int, body: Body) -> Behaviour:
        if body["model"] == "first":
            return Status(404, "not_found_error", "model: first")
        return looking(number, body)

    async with Server(strict_about_names) as server:
        lab = laboratory(tmp_path / "s", server)
        await lab.in_state("paused")
        assert (await lab.send(SetOptions(options={"agent.model": "second"}))).refused is None
        await lab.send(Resume())
        await lab.until(lambda: [r["model"] for r in server.requests].count("second") >= 2)
        await lab.stop()


async def test_a_change_holds_across_a_restart_in_mid_step(tmp_path: Path) -> None:
    async with StrictServer(looking, keep=True) as server:
        lab = laboratory(tmp_path / "s", server)
        await lab.until(lambda: len(server.requests) >= 3)
        await lab.send(SetOptions(options={"agent.model": "second"}))
        asked = len(server.requests)
        await lab.until(lambda: len(server.requests) >= asked + 3)
        await lab.killed()
        server.requests.clear()
        lab.start(make(lab.state.session.settings))
        await lab.until(lambda: len(server.requests) >= 3)
        first = server.requests[0]
        assert first["model"] == "second"
        kinds = [b["type"] for m in first["messages"] for b in m["content"]]
        assert "thinking" in kinds, "its own thoughts are kept: it is the same model as before"
        assert not server.refusals
        await lab.stop()


async def test_settings_that_cannot_be_taken_up_leave_the_agent_as_it_was(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-ant-test-another-key-0123456789")
    async with Server(looking) as server:
        lab = laboratory(tmp_path / "s", server)
        await lab.until(lambda: len(server.requests) >= 2)
        operator: Any = lab.run.operator

        def gone(settings: object) -> None:
            raise ValueError("the key file is gone")

        operator.setup._remake = gone
        await lab.send(SetOptions(options={"agent.api_key_file": str(key)}))

        def troubles() -> list[str]:
            return [e.message for e in lab.of(ev.TroubleNoted)]

        await lab.until(lambda: any("go" in t and "key file is gone" in t for t in troubles()))
        asked = len(server.requests)
        await lab.until(lambda: len(server.requests) >= asked + 3)
        assert sum("key file is gone" in t for t in troubles()) == 1, "said once"
        await lab.stop()


async def test_a_change_while_an_answer_hangs(tmp_path: Path) -> None:
    holding = Broken("hang", Answer([text("hm")]), events=3)
    state = {"hang": True}

    def hanging(number: int, body: Body) -> Behaviour:
        return holding if state["hang"] else looking(number, body)

    async with Server(hanging) as server:
        lab = laboratory(tmp_path / "s", server, **{"agent.read_timeout": 0.5})
        await lab.until(lambda: len(server.requests) >= 1)
        state["hang"] = False
        answer = await lab.send(SetOptions(options={"agent.model": "second"}))
        assert answer.refused is None
        await lab.until(lambda: server.requests[-1]["model"] == "second")
        await lab.stop()
