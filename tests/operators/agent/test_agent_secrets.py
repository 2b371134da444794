"""The key: not in the record, and not in what is said of a fault."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from json import dumps
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
import zstandard

from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.secrets import redactor, secret_values
from avo_tui.operators.agent import make
from tests.loopback.server import Answer, Behaviour, Broken, Server, Status, text, thinking, tool
from tests.operators.agent.helpers import step, work
from tests.operators.agent.test_agent_odd_servers import RawServer, response
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source

EVOLUTION = Path(__file__).resolve().parents[2] / "evolution"


async def test_the_key_is_nowhere_in_the_record(key: str) -> None:
    """Even where the server, the model and a tool repeat it to us."""
    bench = FakeWorkbench()
    bench.queue_hint(f"my key is {key}")
    script: list[Behaviour] = [
        Status(401, "authentication_error", f"invalid x-api-key {key}"),
        Status(500, "api_error", f"debug: x-api-key={key}"),
        Answer([thinking(f"the key is {key}"), text(f"{key}"), tool("list_versions")]),
        Answer([tool("search_knowledge", query=key)]),
        Answer([tool("evaluate", title=f"with {key}")]),
        Answer([tool("wrong_" + key)]),
        Answer([{**thinking("fine"), "signature": f"c2ln{key}"}, tool("list_versions")]),
        Answer([{"type": "redacted_thinking", "data": key}, tool("list_versions")]),
        Answer([text("The rest of an answer.")], stop=key, usage={"service_tier": key}),
        Answer([tool("write_file", file="kernel.cpp", text=source(1.0, f"// {key}\n"))]),
        *work(),
    ]
    async with Server(script) as server:
        assert (await step(bench, server)).outcome == "committed"
        sent = server.headers[0]
        assert (sent["x-api-key"], sent["authorization"]) == (key, f"Bearer {key}")
    # The hint's own record is the person's; everything the agent wrote must be clean.
    for event in bench.journal:
        if event.kind not in {"hint_queued", "session_created"}:
            assert key not in event.model_dump_json(), event
    for identity, data in bench.objects.items():
        assert key.encode() not in data, identity


def test_without_credentials_one_sentence_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    with pytest.raises(ValueError, match=r"set ANTHROPIC_API_KEY .* tuner .* need none"):
        make(RunSettings(operator="agent"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-one-11111")
    assert make(RunSettings(operator="agent")).setup.model.name == "claude-opus-5-5"


def test_secrets_are_found_where_they_are_set() -> None:
    env = {
        "ANTHROPIC_API_KEY": "sk-one-11111",
        "ANTHROPIC_AUTH_TOKEN": "token-22222",
        "ANTHROPIC_CUSTOM_HEADERS": "X-Auth-Token: header-33333\nX-Team: attention_kernel",
        "HOME": "/home/somebody",
    }
    found = secret_values(env)
    assert set(found) == {"sk-one-11111", "token-22222", "header-33333"}
    assert redactor(found)("a sk-one-11111 b") == "a [redacted] b"
    replace = redactor(["ab+cd/ef=="])
    for written in ("ab+cd/ef==", "ab%2Bcd%2fef%3D%3D", r"ab\u002Bcd\/ef\u003d="):
        assert replace(f"?key={written}&") == "?key=[redacted]&"
    shaped = "sk-ant-api03-0123456789abcdef"
    json = "".join(rf"\u{ord(c):04x}" for c in shaped)
    address = "".join(f"%{ord(c):02X}" for c in shaped)
    program = "".join(rf"\x{ord(c):02x}" for c in shaped)
    for keys in ([shaped], []):
        replace = redactor(keys)
        for written in (shaped, json, address, program, rf"\u0073{shaped[1:]}", f"sk{json[12:]}"):
            assert replace(f"key={written}&") == "key=[redacted]&"
    for before in (r"\n", r"\t", "%20", "%3D", r"\u0022", r"\x3d"):
        assert replace(f"{before}{shaped}") == f"{before}[redacted]"
    assert replace(quote(quote(address))) == "[redacted]"
    kept = r"100%75 of task-0123456789abcdef01 \u0073 mask%2D0123456789abcdef01"
    assert replace(kept) == kept
    odd = 'sk-0123456789abcdef"/+rest\\of it'
    replace = redactor([odd])
    for written in (odd, dumps(odd)[1:-1], dumps(dumps(odd))[3:-3], quote(quote(odd))):
        assert replace(f"<{written}>") == "<[redacted]>"


@pytest.mark.parametrize("before", [20, 45, 150, 185, 285, 490, 590, 1990])
async def test_no_part_of_a_key_is_left_where_a_text_is_cut(
    before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a server repeats is redacted before it is made shorter."""
    key = "0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    long = "y" * before + key
    call = f'<tool_call>{{"name": "recall", "arguments": ["{long}"]}}</tool_call>'
    refusal = Answer([], stop="refusal", details={"category": long, "explanation": key})
    script: list[Any] = [
        Status(500, "api_error", long),
        response(long.encode(), "text/plain", 503),
        Answer([text("hm"), {"type": long}, {**tool("recall"), "name": long}], usage={long: -1}),
        Answer([text(call)]),
        Answer([tool("recall")], broken_json='{"a' + long),
        *[refusal] * 3,
    ]
    bench = FakeWorkbench()
    async with RawServer(script) as server:
        outcome = await step(bench, server)
    assert "refused 3 times" in outcome.reason
    written = (
        "".join(e.model_dump_json() for e in bench.journal) + str(bench.objects) + str(outcome)
    )
    assert "y" * before in written and not re.search("y[0-9a]", written)


async def test_the_key_is_nowhere_after_a_crash(tmp_path: Path, key: str) -> None:
    """A real engine process, killed in mid-step; every file it left, and its log, are searched."""
    from avo_tui.store import SessionReader
    from tests.evolution.laboratory import Laboratory

    script: list[Behaviour] = [
        Status(500, "api_error", f"debug: authorization: Bearer {key}"),
        Answer([text(f"I found {key} in my request"), tool("recall", containing=key[:90])]),
        Answer([tool("remember", category="fact", text=f"the key is {key}")]),
        Broken("hang", Answer([text("hm")]), events=3),
    ]
    async with Server(script) as server:
        options = {"base_url": server.url, "wait_first": 0.05}
        lab = Laboratory(tmp_path / "s", RunSettings(operator="agent", model="m", options=options))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(EVOLUTION / "engine_process.py"),
            str(lab.folder),
            "0",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        deadline = time.monotonic() + 240
        while len(server.requests) < 4:
            assert process.returncode is None and time.monotonic() < deadline
            await asyncio.sleep(0.05)
        process.kill()
        output, _ = await process.communicate()
    assert server.headers[0]["x-api-key"] == key
    assert key.encode() not in output
    files = [f for f in lab.folder.rglob("*") if f.is_file()]
    assert len(files) > 10
    for file in files:
        data = file.read_bytes()
        assert key.encode() not in data, file
        if file.parent.parent.name == "objects":
            assert key.encode() not in zstandard.ZstdDecompressor().decompressobj().decompress(data)
    reader = SessionReader.open(lab.folder)
    assert "[redacted]" in str([e for e in reader.events() if e.kind == "note_written"])


async def test_the_key_is_not_in_the_evaluations_environment(key: str) -> None:
    """Neither in the worker's, nor where a candidate or a scratch program could read it."""
    from avo_tui.domain.questions import ScratchQuestion
    from avo_tui.evaluation.evaluators import LocalEvaluator

    program = (
        "#include <cstdio>\n#include <cstdlib>\n"
        'int main() { const char* k = std::getenv("ANTHROPIC_API_KEY");\n'
        '  std::printf("key: %s\\n", k ? k : "none"); }\n'
    )
    async with LocalEvaluator() as evaluator:
        question = ScratchQuestion(files={"look.cpp": program})
        report = await evaluator.ask("attention_cpu", question)
        worker = psutil.Process(evaluator._link.pid)
        assert "PATH" in worker.environ(), "the worker must be running"
        for process in (worker, *worker.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                assert key not in str(process.environ()), process
    assert key not in report.model_dump_json()
    assert "key: none" in report.stdout or not report.compiled


@pytest.mark.parametrize("around", ["{}\n", " {}\t", "{}\r\n"])
async def test_white_space_around_the_key_is_not_sent(
    key: str, monkeypatch: pytest.MonkeyPatch, around: str
) -> None:
    """Keys come from files; no header can hold a line end, and the run would wait for ever."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", around.format(key))
    bench = FakeWorkbench()
    async with Server(work()) as server:
        assert (await step(bench, server)).outcome == "committed"
    assert {h["x-api-key"] for h in server.headers} == {key} and not bench.parked


@pytest.mark.parametrize(
    "wrong", ["two words-0123456789", "\u201cquoted-0123456789\u201d", "a\x1bb-0123456"]
)
def test_what_cannot_be_a_key_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", wrong)
    with pytest.raises(ValueError, match="the key in the environment is not one") as refused:
        make(RunSettings(operator="agent"))
    assert wrong not in str(refused.value)


def test_a_key_that_is_a_word_damages_no_source() -> None:
    """Servers of one's own are given anything as a key."""
    env = {"ANTHROPIC_API_KEY": "attention", "DB_PASSWORD": "attentions", "X_TOKEN": "aB3attention"}
    assert secret_values(env, more=["attention", "flash_attention"]) == [
        "aB3attention",
        "attentions",
    ]
    assert redactor(secret_values(env))("attention.cpp") == "attention.cpp"
