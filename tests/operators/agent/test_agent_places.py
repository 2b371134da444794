"""Where models live: clients, credentials, redirects, and `avo doctor --model`."""

from pathlib import Path
from typing import Any

import pytest

from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.agent.descriptor import DESCRIPTOR
from avo_tui.operators.agent.model.address import is_local
from avo_tui.operators.agent.model.classify import retry_after
from avo_tui.operators.agent.model.clients import make_client
from avo_tui.operators.agent.model.endpoint import AnthropicModel
from avo_tui.operators.agent.model.prices import Pricing, Tokens
from avo_tui.operators.agent.model.probe import probe
from avo_tui.operators.agent.settings import DEFAULT_MODEL, AgentSettings
from tests.loopback.server import Answer, Behaviour, Server, Status, text, tool
from tests.operators.agent.helpers import step, work
from tests.operators.fake_workbench import FakeWorkbench


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_the_key_does_not_follow_a_redirect(status: int, key: str) -> None:
    bench = FakeWorkbench()
    async with Server(work()) as elsewhere:
        away = Status(status, "", "", {"location": f"{elsewhere.url}/v1/messages"})
        async with Server([away, *work()]) as server:
            outcome = await step(bench, server)
        assert outcome.outcome == "committed"
        assert elsewhere.requests == [], "neither the key nor the request went along"
    assert f"redirects to 127.0.0.1:{elsewhere.port} ({status})" in bench.paused[0]
    assert key not in bench.paused[0]


async def test_a_new_key_in_the_file_is_taken_on_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    file = tmp_path / "key"
    file.write_text("sk-ant-the-old-key-0123456789\n")
    bench = FakeWorkbench()

    def renew(reason: str) -> None:
        file.write_text("sk-ant-the-new-key-0123456789\n")

    bench.on_pause = renew
    script: list[Behaviour] = [Status(401, "authentication_error", "invalid x-api-key"), *work()]
    async with Server(script) as server:
        outcome = await step(bench, server, api_key_file=str(file))
    assert outcome.outcome == "committed"
    assert f"read again from {file}" in bench.paused[0]
    sent = [h["x-api-key"] for h in server.headers]
    assert sent[0].endswith("old-key-0123456789") and sent[1].endswith("new-key-0123456789")


@pytest.mark.parametrize("content", ["", "two words", None])
def test_a_key_file_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match="the key file"):
        make_client(AgentSettings(api_key_file=str(file)))


async def test_a_refused_key_says_how_a_new_one_reaches_the_engine() -> None:
    bench = FakeWorkbench()
    async with Server([Status(401, "authentication_error", "no"), *work()]) as server:
        await step(bench, server)
    assert "avo stop NAME" in bench.paused[0] and "api_key_file" in bench.paused[0]


async def test_a_server_of_this_machine_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    bench = FakeWorkbench()
    async with Server(work()) as server:
        assert (await step(bench, server)).outcome == "committed"
        accepted = RunSettings(operator="agent", options={"agent.base_url": server.url})
        assert DESCRIPTOR.accepts is not None and DESCRIPTOR.accepts(accepted) is None
    assert bench.state.session.spend.usd == 0, "and costs nothing"
    assert DESCRIPTOR.accepts(RunSettings(operator="agent")) is not None


def test_what_is_local() -> None:
    for address in ("http://127.0.0.1:8000", "http://localhost", "http://[::1]:1", "http://10.1.2.3",
                    "http://gpu.local:11434", "http://host.docker.internal:80"):  # fmt: skip
        assert is_local(address), address
    for address in ("https://api.anthropic.com", "https://8.8.8.8", "", "http://[", "https://a.ai"):
        assert not is_local(address), address


def test_an_unpriced_model_is_dear_far_away_and_free_at_home() -> None:
    far = Pricing(AgentSettings(model="qwen-7b"), "https://models.example.com")
    near = Pricing(AgentSettings(model="qwen-7b"), "http://127.0.0.1:8000")
    million = Tokens(input=10**6)
    assert far.cost(million) > 1 and not far.known
    assert near.cost(million) == 0 and near.known and "cost nothing" in near.source
    listed = Pricing(AgentSettings(model=DEFAULT_MODEL), "http://127.0.0.1:8000")
    assert listed.cost(million) > 1, "a proxy to a priced model is not free"
    assert near.relative().cache_read == 0.1


def test_the_agents_own_model_setting_is_heeded() -> None:
    run = RunSettings(operator="agent", options={"agent.model": "claude-haiku-4-5"})
    assert AgentSettings.of(run).model == "claude-haiku-4-5"


@pytest.mark.parametrize(
    ("provider", "more", "environment", "path"),
    [
        (
            "bedrock",
            {"region": "us-east-1"},
            {"AWS_ACCESS_KEY_ID": "AKIATEST00000", "AWS_SECRET_ACCESS_KEY": "secret-of-aws-1234"},
            "/model/test-model/invoke-with-response-stream",
        ),
        ("foundry", {}, {"ANTHROPIC_FOUNDRY_API_KEY": "key-of-foundry-1234"}, "/v1/messages"),
    ],
)
async def test_each_cloud_is_asked_in_its_own_way(
    provider: str,
    more: dict[str, Any],
    environment: dict[str, str],
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if provider == "bedrock":
        pytest.importorskip("boto3")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with Server([Status(403, "permission_error", "not today")]) as server:
        own = AgentSettings.model_validate(
            {"provider": provider, "base_url": server.url, "model": "test-model", **more}
        )
        answers = await probe(own)
    assert answers[-1].state == "fail" and "not today" in answers[-1].sentence
    assert server.paths[0].startswith(path)
    assert AnthropicModel(own).checks_signatures


def test_a_cloud_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(ValueError, match=r"needs boto3: pip install 'avo-tui\[bedrock\]'"):
        make_client(AgentSettings(provider="bedrock"))


async def test_the_probe_tells_what_an_endpoint_supports_and_costs() -> None:
    def picky(n: int, body: dict[str, Any]) -> Behaviour:
        if "thinking" in body:
            return Status(400, "invalid_request_error", "thinking: Extra inputs")
        return Answer([tool("ready", number=7)], usage={"input_tokens": 50})

    async with Server(picky) as server:
        answers = await probe(AgentSettings(model="qwen", base_url=server.url))
    said = "\n".join(a.sentence for a in answers)
    assert "rejects: display, thinking" in said and "takes: cache, effort" in said
    assert "calls tools, with arguments as asked" in said and "input_tokens 50" in said
    assert not any(a.state == "fail" for a in answers)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (Answer([text("seven")]), "cannot be the agent"),
        (Answer([tool("ready", number="7")]), "not as asked"),
        (Status(404, "", "Not Found"), "does not speak the Messages API"),
        (Status(401, "authentication_error", "no"), "refused the credentials"),
        (Status(400, "invalid_request_error", "no"), "refused the request"),
    ],
)
async def test_the_probe_tells_why_an_endpoint_will_not_do(
    behaviour: Behaviour, words: str
) -> None:
    async with Server(lambda n, body: behaviour) as server:
        answers = await probe(AgentSettings(model="qwen", base_url=server.url))
    assert words in "\n".join(a.sentence for a in answers)
    assert any(a.state != "ok" for a in answers)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
async def test_no_proxy_is_asked_for_a_server_of_this_machine(
    name: str, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """It would be handed key and sources in plain text, and could not reach the server."""
    for other in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
    async with Server(work()) as proxy, Server(work()) as server:
        monkeypatch.setenv(name, proxy.url)
        bench = FakeWorkbench()
        outcome = await step(bench, server)
    assert outcome.outcome == "committed", (outcome, bench.troubles())
    assert proxy.requests == [] and len(server.requests) == 4


def test_a_date_to_wait_for_is_read_by_the_servers_clock() -> None:
    """The clock of this machine is years away from the server's, in either direction."""
    for year in (2019, 2040):
        headers = {
            "date": f"Tue, 01 Jan {year} 10:00:00 GMT",
            "retry-after": f"Tue, 01 Jan {year} 10:00:30 GMT",
        }
        assert retry_after(headers) == 30.0
    assert retry_after({"date": "soon", "retry-after": "Tue, 01 Jan 2019 10:00:00 GMT"}) == 0.0
