"""The recording that ships: it loads, it says what it is, its tokens and dollars are right."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.agent.model.prices import Pricing
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.operators.recorded import make
from avo_tui.operators.recorded.recording import load
from avo_tui.operators.toolbox.box import ALL_TOOLS


def test_the_shipped_recording_is_a_real_sequence() -> None:
    recording = load(None)
    assert recording.task == "attention_cpu" and len(recording.steps) == 3
    assert "no model was asked" in recording.about
    calls = [
        block
        for step in recording.steps
        for turn in step.turns
        for block in turn.content
        if block["type"] == "tool_use"
    ]
    assert {c["name"] for c in calls} <= {t.name for t in ALL_TOOLS}
    names = [c["name"] for c in calls]
    assert names.count("submit") == 3 and names.count("evaluate") >= 5
    assert {"set_plan", "remember", "compile", "check", "scratch", "replace_text"} <= set(names)


def test_each_step_begins_where_the_one_before_ended() -> None:
    """The edits of a step applied to its base give the next one's base."""
    recording = load(None)
    for step, following in zip(recording.steps, recording.steps[1:], strict=False):
        (name, source), *_ = step.base.files.items()
        for turn in step.turns:
            for block in turn.content:
                if block.get("name") == "replace_text":
                    old, new = block["input"]["old"], block["input"]["new"]
                    assert source.count(old) == 1, old
                    source = source.replace(old, new)
        assert following.base.files[name] == source


def test_tokens_and_dollars_agree_with_a_count_by_hand() -> None:
    recording = load(None)
    raw = json.loads((files("avo_tui.operators.recorded") / "attention_cpu.json").read_text())
    usages = [turn["usage"] for step in raw["steps"] for turn in step["turns"]]
    into, out, read, write = (
        sum(u[key] for u in usages)
        for key in (
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
        )
    )
    spend = recording.spend(Pricing(AgentSettings(model="claude-opus-5-5")))
    assert spend.requests == len(usages)
    assert (spend.input_tokens, spend.output_tokens) == (into, out)
    assert (spend.cache_read_tokens, spend.cache_write_tokens) == (read, write)
    by_hand = (4 * into + 20 * out + 0.2 * read + 5 * write) / 1e6
    assert spend.usd == pytest.approx(by_hand)
    assert 0.05 < spend.usd < 5


def test_a_recording_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no recording 'nothing'"):
        make(RunSettings(operator="recorded", recording="nothing"))
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    with pytest.raises(ValueError, match="is not a recording"):
        make(RunSettings(operator="recorded", recording=str(bad)))


def test_playing_needs_no_key_and_no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert make(RunSettings(operator="recorded")).author == "recorded"
