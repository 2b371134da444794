"""A whole step through each cloud's client of the SDK, against a server on loopback."""

import json
from pathlib import Path

import httpx2
import pytest

from avo_tui.domain.events import EventBase
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.agent.model.clients import _secrets_in, make_client
from avo_tui.operators.agent.operator import make
from avo_tui.operators.agent.settings import AgentSettings
from tests.loopback.clouds import TOKEN, BedrockServer, CloudServer, TokenServer, service_account
from tests.loopback.server import Server, Status
from tests.operators.agent.helpers import step, work
from tests.operators.fake_workbench import FakeWorkbench

SECRET = "secret-of-aws-0123456789"


def nothing_leaks(bench: FakeWorkbench, *secrets: str) -> None:
    for event in bench.of(EventBase):
        written = event.model_dump_json()
        assert not any(secret in written for secret in secrets), written[:200]


async def test_a_step_through_vertex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("google.auth")
    pytest.importorskip("cryptography")
    pytest.importorskip("requests")
    bench = FakeWorkbench()
    async with TokenServer() as tokens, CloudServer(work()) as server:
        account = service_account(tmp_path, tokens.url)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
        outcome = await step(
            bench, server, provider="vertex", region="us-east5", project="my-project",
            context_editing="auto", model="claude-opus-5-5",
        )  # fmt: skip
    assert outcome.outcome == "committed", (outcome, bench.troubles())
    assert not server.refusals and not bench.troubles()
    assert len(tokens.asked) == 1 and "assertion=" in tokens.asked[0]
    path = "/projects/my-project/locations/us-east5/publishers/anthropic/models/claude-opus-5-5"
    assert {p.split(":")[0] for p in server.paths} == {path}
    assert {h["authorization"] for h in server.headers} == {f"Bearer {TOKEN}"}
    nothing_leaks(bench, TOKEN)


async def test_a_token_that_a_cloud_gave_is_secret_where_the_server_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Google's library obtains it at the first request, so nobody knew of it when the run began."""
    pytest.importorskip("google.auth")
    pytest.importorskip("cryptography")
    pytest.importorskip("requests")
    bench = FakeWorkbench()
    script = [Status(500, "api_error", f"upstream refused Bearer {TOKEN}"), *work()]
    async with TokenServer() as tokens, CloudServer(script) as server:
        account = service_account(tmp_path, tokens.url)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
        options = {"provider": "vertex", "region": "us-east5", "project": "p", "model": "m"}
        options |= {"base_url": server.url}
        run = RunSettings.model_validate({"options": {f"agent.{k}": v for k, v in options.items()}})
        bench.state.session = bench.state.session.replaced(settings=run)
        outcome = await make(run).vary(bench)
    assert outcome.outcome == "committed", (outcome, bench.troubles())
    assert any("upstream refused" in trouble for trouble in bench.troubles()), bench.troubles()
    nothing_leaks(bench, TOKEN)


def test_what_a_request_carries_is_known_as_secret() -> None:
    sent = {"x-api-key": "key-1", "authorization": "Bearer token-2", "x-amz-security-token": "t-3"}
    request = httpx2.Request("POST", "http://127.0.0.1/", headers={**sent, "api-key": "none"})
    assert sorted(_secrets_in(request)) == ["key-1", "t-3", "token-2"]
    signed = {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/x, Signature=abcd"}
    assert _secrets_in(httpx2.Request("POST", "http://127.0.0.1/", headers=signed)) == []


async def test_a_step_through_bedrock(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST00000000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    bench = FakeWorkbench()
    script = ["throttlingException", *work()]
    async with BedrockServer(script) as server:
        outcome = await step(
            bench, server, provider="bedrock", region="us-east-1", context_editing="auto",
            model="us.anthropic.claude-opus-5-5-v1:0",
        )  # fmt: skip
    assert outcome.outcome == "committed", (outcome, bench.troubles())
    assert not server.refusals
    assert len(bench.parked) == 1, "throttled in mid-stream: waited out"
    assert server.paths[0].startswith("/model/us.anthropic.claude-opus-5-5-v1")
    assert all("AWS4-HMAC-SHA256" in h["authorization"] for h in server.headers)
    nothing_leaks(bench, SECRET)


async def test_a_step_through_foundry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_FOUNDRY_API_KEY", "key-of-foundry-0123456789")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    bench = FakeWorkbench()
    async with Server(work()) as server:
        outcome = await step(bench, server, provider="foundry", model="my-deployment")
    assert outcome.outcome == "committed", (outcome, bench.troubles())
    sent = json.dumps(server.headers)
    assert "key-of-foundry-0123456789" in sent and server.requests[0]["model"] == "my-deployment"
    nothing_leaks(bench, "key-of-foundry-0123456789")


async def test_credentials_that_are_nowhere_pause_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("google.auth")
    pytest.importorskip("cryptography")
    pytest.importorskip("requests")
    file = tmp_path / "later.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    bench = FakeWorkbench()
    async with TokenServer() as tokens, CloudServer(work()) as server:

        def sign_in(reason: str) -> None:
            service_account(tmp_path, tokens.url).rename(file)

        bench.on_pause = sign_in
        outcome = await step(
            bench, server, provider="vertex", region="us-east5", project="p", model="m"
        )
    assert outcome.outcome == "committed", outcome
    assert len(bench.paused) == 1 and "later.json" in bench.paused[0], bench.paused


def test_a_cloud_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLOUD_ML_REGION", "ANTHROPIC_VERTEX_PROJECT_ID", "ANTHROPIC_FOUNDRY_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    pytest.importorskip("google.auth")
    with pytest.raises(ValueError, match="region"):
        make_client(AgentSettings(provider="vertex"))
    with pytest.raises(ValueError, match="project"):
        make_client(AgentSettings(provider="vertex", region="us-east5"))
    with pytest.raises(ValueError, match="credentials"):
        make_client(AgentSettings(provider="foundry"))


async def test_a_clouds_own_words_for_an_error() -> None:
    bench = FakeWorkbench()
    async with Server([Status(424, "", "the model failed"), *work()]) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "committed"
