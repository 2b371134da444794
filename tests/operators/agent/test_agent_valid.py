"""What is recorded of an answer is what every server takes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.domain.secrets import redactor
from avo_tui.operators.agent.conversation.heal import heal
from avo_tui.operators.agent.exchange import useful
from avo_tui.operators.agent.model.port import Reply
from avo_tui.operators.agent.words import clean_text
from tests.loopback.rules import refusal
from tests.loopback.server import Answer, Behaviour, Body, Server, text, thinking, tool
from tests.loopback.strict import StrictServer
from tests.operators.agent.helpers import step, whole, work
from tests.operators.fake_workbench import FakeWorkbench

TOOLS: dict[str, Any] = {"compile": {}, "read_candidate": {}, "write_file": {}}
SECRET = "sk-ant-0123456789abcdef0123"

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
surrogates = st.text(st.characters(), max_size=12) | st.just("a\ud800b") | st.just("\ud83d\ude00")
names = st.sampled_from(
    ["compile", "functions.compile", "", "a b", "x" * 300, "näme", "mcp__x__compile"]
)
blocks = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": surrogates | st.just("  ")}),
    st.fixed_dictionaries(
        {
            "type": st.just("thinking"),
            "thinking": surrogates,
            "signature": st.sampled_from(["", "s"]),
        }
    ),
    st.fixed_dictionaries(
        {"type": st.just("redacted_thinking"), "data": st.just("d") | st.just("")}
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("tool_use"),
            "id": surrogates | st.sampled_from(["call:1", "call:1", "ok_1", "", "é" * 90]),
            "name": names,
            "input": anything,
            "caller": st.just({"type": "direct"}),
        }
    ),
    st.fixed_dictionaries({"type": st.just("server_tool_use"), "id": st.text(), "name": st.text()}),
    st.fixed_dictionaries(
        {
            "type": st.just("fallback"),
            "from": st.just({"model": "n"}) | st.none(),
            "to": st.just({"model": "m"}),
            "trigger": st.none(),
        }
    ),
    st.fixed_dictionaries(
        {"type": st.just("compaction"), "content": st.none() | st.just("") | st.just("c")}
    ),
)


def conversation(contents: list[list[Body]]) -> list[Body]:
    """The messages of a conversation with these assistant messages, every call answered."""
    messages: list[Body] = [{"role": "user", "content": [{"type": "text", "text": "begin"}]}]
    for content in contents:
        messages.append({"role": "assistant", "content": content})
        results = [
            {"type": "tool_result", "tool_use_id": b["id"], "content": "done"}
            for b in content
            if b["type"] == "tool_use"
        ]
        messages.append({"role": "user", "content": [*results, {"type": "text", "text": "go on"}]})
    return messages


@settings(deadline=None)
@given(st.lists(st.lists(blocks, max_size=5), min_size=1, max_size=4))
def test_whatever_a_model_says_is_healed_into_what_a_server_takes(
    answers: list[list[Body]],
) -> None:
    used: set[str] = set()
    contents = []
    for content in answers:
        healed = heal(Reply(content, "tool_use"), used, TOOLS, redactor([SECRET]), thinking="any")
        used |= {b["id"] for b in healed.content if b["type"] == "tool_use"}
        if useful(healed.content):
            contents.append(healed.content)
    messages = conversation(contents)
    assert refusal({"model": "m", "max_tokens": 1, "messages": messages}) is None
    json.dumps(messages, allow_nan=False).encode()


@pytest.mark.parametrize(
    "poison",
    [
        {**tool("functions.read_candidate"), "id": "x1"},
        {**tool(""), "id": "x2"},
        {**tool("compile"), "id": "call:with/odd chars"},
        {**tool("näme with blanks"), "id": ""},
        {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}},
        {"type": "hologram", "data": "?"},
        {**thinking("unsigned"), "signature": ""},
        text("a lone \ud800 surrogate"),
    ],
    ids=lambda block: f"{block['type']}-{str(block.get('name', ''))[:12]}",
)
async def test_a_poisoned_answer_never_poisons_the_conversation(poison: Body) -> None:
    """The same through a server that validates: not one request is refused afterwards."""
    bench = FakeWorkbench()
    script: list[Behaviour] = [Answer([text("I look."), poison, tool("list_versions")]), *work()]
    async with StrictServer(script, binding=False) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "committed" and server.refusals == []


async def test_a_tool_called_by_its_full_name_runs() -> None:
    bench = FakeWorkbench()
    call = {**tool("functions.list_versions"), "id": "f1"}
    async with Server([Answer([call]), *work()]) as server:
        await step(bench, server)
    assert "v0" in whole(bench, "f1")


def test_thinking_that_repeats_a_secret_is_left_out_not_edited() -> None:
    said = Reply([thinking(f"the key is {SECRET}"), text(f"it is {SECRET}")], "end_turn")
    healed = heal(said, set(), TOOLS, redactor([SECRET]), thinking="any")
    assert [b["type"] for b in healed.content] == ["text"]
    assert healed.content[0]["text"] == "it is [redacted]"


@given(st.text(st.characters()))
def test_clean_text_can_be_written(words: str) -> None:
    clean_text(words).encode()
    assert clean_text("\ud83d\ude00") == "\U0001f600", "two halves make one character"
