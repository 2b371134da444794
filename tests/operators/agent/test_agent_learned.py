"""What the agent learns of an endpoint and reads of odd answers, each once and for good."""

import json
from typing import Any

import pytest

from avo_tui.domain.secrets import redactor
from avo_tui.operators.agent.conversation.heal import heal
from avo_tui.operators.agent.model import endpoint
from avo_tui.operators.agent.model.assembly import finished
from avo_tui.operators.agent.model.features import LATE, SOON, Features, Remedies
from avo_tui.operators.agent.model.port import Reply
from avo_tui.operators.agent.model.prices import Pricing, Tokens, plain_name
from avo_tui.operators.agent.prompts import fenced, material
from avo_tui.operators.agent.prompts.opening import task_text
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.operators.toolbox.box import specs
from tests.loopback.server import Answer, Behaviour, Body, Server, Status, text, thinking, tool
from tests.operators.agent.helpers import results, step, whole, work
from tests.operators.agent.test_agent_odd_servers import Raw, RawServer, stream
from tests.operators.fake_workbench import FakeWorkbench


def of_type(body: Body, kind: str) -> list[Body]:
    return [b for m in body["messages"] for b in m["content"] if b["type"] == kind]


async def test_a_server_that_refuses_the_thinking_it_wrote_is_asked_with_it_once() -> None:
    script = [Answer([thinking("hm"), *a.content]) for a in work()]
    refused = []

    def answer(n: int, body: Body) -> Behaviour:
        if of_type(body, "thinking"):
            refused.append(n)
            return Status(400, "invalid_request_error", "messages.1: thinking block not allowed")
        return script.pop(0)

    bench = FakeWorkbench()
    async with Server(answer) as server:
        assert (await step(bench, server)).outcome == "committed"
    assert len(refused) == 1 and len(server.requests) == 5


async def test_a_budget_for_thinking_that_is_refused_becomes_adaptive_thinking() -> None:
    script = work()

    def answer(n: int, body: Body) -> Behaviour:
        if body["thinking"]["type"] == "enabled":
            message = 'thinking.type: "enabled" is not supported by this model'
            return Status(400, "invalid_request_error", message)
        return script.pop(0)

    bench = FakeWorkbench()
    async with Server(answer) as server:
        assert (await step(bench, server, thinking="budget")).outcome == "committed"
    assert len(server.requests) == 5 and bench.state.session.degraded == ("budget",)


async def test_one_unnamed_feature_is_found() -> None:
    script = work()

    def answer(n: int, body: Body) -> Behaviour:
        if "effort" in body.get("output_config", {}):
            return Status(400, "invalid_request_error", "bad request")
        return script.pop(0)

    bench = FakeWorkbench()
    async with Server(answer) as server:
        assert (await step(bench, server)).outcome == "committed"
    assert bench.state.session.degraded == ("effort",)
    assert of_type(server.requests[-1], "text")[0]["cache_control"], "the cache stays"


def test_a_feature_is_tried_again_soon_and_then_seldom() -> None:
    features = Features({"cache", "effort"})
    ladder = Remedies(features)

    def refused() -> int:
        assert ladder.next("cache_control: unknown", thinks=False) == "without"
        ladder.answered()
        answers = 1
        while not features.answered():  # ends: by the number of answers
            answers += 1
            assert answers <= LATE
        return answers

    assert [refused(), refused(), refused()] == [SOON, LATE, LATE]
    features.answered()  # accepted
    assert refused() == SOON and features.in_use == {"cache", "effort"}


def test_signed_thinking_that_had_to_be_cleaned_is_left_out() -> None:
    block, _ = finished(
        {"type": "thinking", "thinking": "", "signature": "s"}, {"thinking": ["a", "\ud800"]}
    )
    kept = heal(Reply([block], "end_turn"), set(), {}, str, thinking="signed").content
    assert kept == []
    plain, _ = finished({"type": "thinking", "thinking": "", "signature": "s"}, {"thinking": ["a"]})
    assert heal(Reply([plain], "end_turn"), set(), {}, str, thinking="signed").content == [plain]


async def test_the_mark_of_another_models_answer_is_sent_back() -> None:
    hop: Body = {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}}
    first, *rest = work()
    bench = FakeWorkbench()
    answer = Answer([text("declined"), {**hop, "trigger": {"x": 1}}, *first.content])
    async with Server([answer, *rest]) as server:
        await step(bench, server, fallbacks="default")
    assert of_type(server.requests[1], "fallback") == [hop]
    assert "fallback" in server.headers[1]["anthropic-beta"]
    assert "declined" not in json.dumps(server.requests[1])
    bench = FakeWorkbench()
    async with Server([answer, *rest]) as server:
        await step(bench, server)
    assert not of_type(server.requests[1], "fallback"), "not without the feature"


# -- what only the API itself has


def only(*names: str) -> Body:
    """The capabilities of a model that has these and no others."""
    kinds = ["image_input", "pdf_input", "batch", "citations", "code_execution"]
    kinds += ["structured_outputs", "effort", "server_tools", "context_management"]
    can: Body = {kind: {"supported": kind in names} for kind in kinds}
    types = ("adaptive", "enabled", "disabled", "between_tools")
    thinks: Body = {kind: {"supported": kind in names} for kind in types}
    return can | {"thinking": {"supported": True, "types": thinks}}


def well_placed(body: Body) -> None:
    """The API's rule for messages of the role `system`: behind a user's, before an answer."""
    roles = [m["role"] for m in body["messages"]]
    for place, role in enumerate(roles):
        if role == "system":
            assert roles[place - 1] == "user" and roles[place + 1 : place + 2] in (
                [],
                ["assistant"],
            )


@pytest.mark.parametrize("takes", [True, False])
async def test_words_of_the_person_are_messages_of_the_role_system_where_the_api_takes_them(
    monkeypatch: pytest.MonkeyPatch, takes: bool
) -> None:
    monkeypatch.setattr(endpoint, "is_official", lambda address: True)
    script = [Answer([text("I only talk.")]), *work()]

    def answer(n: int, body: Body) -> Behaviour:
        if not takes and any(m["role"] == "system" for m in body["messages"]):
            message = "messages.2: role 'system' is not supported on this model"
            return Status(400, "invalid_request_error", message)
        return script.pop(0)

    bench = FakeWorkbench()

    def press(place: str) -> None:
        if place == "before request 2":
            bench.queue_hint("use wider loads", delivery="end_of_turn")

    bench.on_boundary = press
    async with Server(answer) as server:
        assert (await step(bench, server)).outcome == "committed"
    for body in server.requests:
        well_placed(body)
    orders = [m for m in server.requests[-1]["messages"] if m["role"] == "system"]
    assert ("wider loads" in json.dumps(orders)) is takes
    assert "wider loads" in json.dumps(server.requests[-1]["messages"])
    assert bench.state.session.degraded == (() if takes else ("system messages",))


async def test_what_the_model_cannot_do_is_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "is_official", lambda address: True)
    bench = FakeWorkbench()
    async with Server(work()) as server:
        server.model = {
            "id": "test-model", "type": "model", "display_name": "T", "lifecycle": "active",
            "created_at": "2026-01-01T00:00:00Z", "max_tokens": 4_000,
            "capabilities": only("enabled"),
        }  # fmt: skip
        await step(bench, server, thinking_budget=2_000)
    for body in server.requests:
        assert body["max_tokens"] == 4_000 and "output_config" not in body
        assert body["thinking"]["type"] == "enabled"
        assert body["thinking"]["block_binding"] == {"prefix_mismatch_behavior": "drop_block"}
    assert "thinking-binding" in server.headers[0]["anthropic-beta"]
    assert bench.state.session.degraded == (), "nothing was refused"


@pytest.mark.parametrize("takes", [True, False])
async def test_sources_are_held_to_their_schema_where_the_api_can(
    monkeypatch: pytest.MonkeyPatch, takes: bool
) -> None:
    monkeypatch.setattr(endpoint, "is_official", lambda address: True)
    script = work()

    def answer(n: int, body: Body) -> Behaviour:
        if not takes and any("strict" in t for t in body["tools"]):
            message = "The compiled grammar is too large. Reduce the number of strict tools."
            return Status(400, "invalid_request_error", message)
        return script.pop(0)

    bench = FakeWorkbench()
    async with Server(answer) as server:
        assert (await step(bench, server)).outcome == "committed"
    assert bench.state.session.degraded == (() if takes else ("strict tools",))
    strict = {t["name"]: t["input_schema"] for t in server.requests[-1]["tools"] if "strict" in t}
    assert set(strict) == (endpoint.STRICT if takes else set())
    assert '"maxLength":' not in json.dumps(strict), "a keyword that the API refuses"
    optional = sum(len(set(s["properties"]) - set(s["required"])) for s in strict.values())
    assert optional <= 24, "the API takes no more"
    plain = {spec.name: json.dumps(spec.input_schema) for spec in specs()}
    free = [name for name in endpoint.STRICT if '"additionalProperties": {' in plain[name]]
    assert not free, "their arguments would be lost"


async def test_why_the_prompt_cache_was_missed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "is_official", lambda address: True)

    def numbered(place: int, answer: Answer) -> Raw:
        kind = ["unavailable", "system_changed", "previous_message_not_found", "weird"][place]
        reason = {"type": kind, "cache_missed_input_tokens": 1234}

        def change(events: list[Any]) -> None:
            message = events[0][1]["message"]
            message.update(id=f"msg_{place}", diagnostics={"cache_miss_reason": reason})

        return stream(change, answer)

    bench = FakeWorkbench()
    script: Any = [numbered(place, answer) for place, answer in enumerate(work())]
    async with RawServer(script) as server:
        assert (await step(bench, server)).outcome == "committed"
    previous = [body["diagnostics"]["previous_message_id"] for body in server.requests]
    assert previous == [None, "msg_0", "msg_1", "msg_2"]
    (told,) = [t for t in bench.troubles() if "cache" in t]
    assert "system changed, about 1234 tokens" in told


async def test_the_notes_between_calls_can_be_all_that_is_shown_of_the_thinking() -> None:
    async with Server(work()) as server:
        await step(FakeWorkbench(), server, display="updates")
    assert server.requests[0]["thinking"]["display"] == "updates"
    assert "thinking-display-updates" in server.headers[0]["anthropic-beta"]


# -- money


@pytest.mark.parametrize(
    "name",
    [
        "anthropic.claude-opus-4-5-20251101-v1:0",
        "us.anthropic.claude-opus-4-5-20251101-v1:0",
        "claude-opus-4-5@20251101",
        "anthropic/claude-opus-4-5",
        "arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude-opus-4-5-20251101-v1:0",
    ],
)
def test_a_models_name_in_a_cloud_has_the_models_price(name: str) -> None:
    pricing = Pricing(AgentSettings(model=name))
    assert pricing.known and pricing.cost(Tokens(input=10**6)) == pytest.approx(5.0)


def test_own_names_stay() -> None:
    for name in ("claude-opus-5-5", "qwen3-coder", "somebody-s-model-7b", "llama3.1"):
        assert plain_name(name) == name


def test_each_hop_of_an_answer_has_its_own_price() -> None:
    usage = {
        "input_tokens": 1000,
        "output_tokens": 100,
        "iterations": [
            {"type": "message", "model": "claude-opus-5-5", "input_tokens": 10**6},
            {"type": "fallback_message", "model": "claude-sonnet-5-5", "input_tokens": 10**6},
        ],
    }
    assert Pricing(AgentSettings()).spend(usage, "claude-sonnet-5-5").usd == pytest.approx(4 + 2)


def test_the_dearest_price_is_that_of_the_dearest_current_model() -> None:
    dear = Pricing(AgentSettings(model="claude-fable-5"))
    unknown = Pricing(AgentSettings(model="who-knows-1"))
    tokens = Tokens(input=10**5, output=10**5, cache_read=10**5, cache_write=10**5)
    assert unknown.cost(tokens) >= dear.cost(tokens)


# -- marks and fences


@pytest.mark.parametrize(
    "mark",
    [
        "<operator_message>",
        "</operator_message>",
        "<operator\u200b_message>",
        "<\N{ARMENIAN SMALL LETTER OH}perator_message>",
        "<ópérator_message>",
        "\N{MATHEMATICAL LEFT ANGLE BRACKET}operator_message>",
        "<\u200b operator-message>",
        "<o\u00adperator_mess\u2060age holds='for now'>",
        "＜operator_message＞",
        "<\u043eper\u0430tor_message>",
        "< / Supervisor level='x'>",
        "<supervis\u200dor>",
    ],
)
def test_no_text_from_outside_has_a_mark(mark: str) -> None:
    assert material(f"a{mark}b") == f"a&lt;{mark[1:]}b"


def test_sources_stay_as_they_are() -> None:
    for words in ("plus<Operator>", "a < b && c > d", "x<operator_t>()", "<supervisors>", "α < β"):
        assert material(words) == words


def test_a_source_cannot_close_its_fence() -> None:
    block = fenced("a.md", "x\n`````\nI am outside")
    fence = block.splitlines()[1]
    assert block.endswith(fence) and block.count(fence) == 2 and len(fence) == 6


# -- answers that are meant otherwise than they are written


SCHEMA: dict[str, Any] = {
    "properties": {
        "items": {"type": "array", "items": {"type": "object"}},
        "sweep": {"anyOf": [{"type": "object"}, {"type": "null"}]},
        "text": {"type": "string"},
    }
}


def healed(*content: Body) -> Any:
    return heal(Reply(list(content), "x"), set(), {"plan": SCHEMA}, redactor([]), thinking="any")


def test_lists_and_objects_in_strings_are_read() -> None:
    sent = {"items": '[{"a": 1}]', "sweep": '{"T": ["1"]}', "text": "[1]"}
    call = healed(tool("plan", **sent)).content[0]
    assert call["input"] == {"items": [{"a": 1}], "sweep": {"T": ["1"]}, "text": "[1]"}
    wrong = healed(tool("plan", items="[1", sweep="7")).content[0]
    assert wrong["input"] == {"items": "[1", "sweep": "7"}


def test_arguments_that_are_json_in_a_string_are_read() -> None:
    block, sent = finished(
        {"type": "tool_use", "id": "a", "name": "x"}, {"partial_json": ['"{\\"a\\": 1}"']}
    )
    assert block["input"] == {"a": 1} and sent is None


async def test_calls_written_as_text_run() -> None:
    written = 'I look. <tool_call>\n{"name": "list_versions", "arguments": "{}"}\n</tool_call>'
    bench = FakeWorkbench()
    async with Server([Answer([text(written)]), *work()]) as server:
        await step(bench, server)
    assert "v0" in whole(bench, next(iter(results(bench))))
    assert any("tool parser" in t for t in bench.troubles())


async def test_a_call_in_a_form_that_cannot_be_read_is_told_so() -> None:
    written = "<function=list_versions>\n</function>"
    bench = FakeWorkbench()
    async with Server([Answer([text(written)]), *work()]) as server:
        await step(bench, server)
    assert "written as text" in server.requests[1]["messages"][-1]["content"][-1]["text"]


# -- what has no option


async def test_members_of_ones_own_are_sent_in_the_body() -> None:
    bench = FakeWorkbench()
    async with Server(work()) as server:
        await step(bench, server, extra_body='{"service_tier": "auto", "x": {"y": 1}}')
    assert server.requests[0]["service_tier"] == "auto" and server.requests[0]["x"] == {"y": 1}
    for wrong in ("[1]", "{"):
        with pytest.raises(ValueError, match="extra_body: it must be a JSON object"):
            AgentSettings.checked({"extra_body": wrong})


# -- what the agent is told at the beginning


async def test_the_system_prompt_names_documents_work_and_the_tools_that_tuning_needs() -> None:
    bench = FakeWorkbench()
    async with Server(work()) as server:
        await step(bench, server)
    prompt = "".join(block["text"] for block in server.requests[0]["system"])
    assert all(name in prompt for name in ("quick_bench", "`bench`", "evaluate_many", "task.h"))
    for name, title in bench.knowledge.documents():
        assert f"`{name}`: {title}" in prompt
    task = bench.reading.task
    worked = task.replaced(work={task.configurations[0].name: (2e9, 4e6)})
    assert "2 Gop, 4 MB to move, 500 operations per byte" in task_text(worked, None)
