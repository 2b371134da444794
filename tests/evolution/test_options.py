"""Options of a run that are changed while it goes on: what is taken, what is refused, and undo."""

import asyncio
from pathlib import Path

import pytest

from avo_tui.domain import commands as cmd
from avo_tui.domain import events as ev
from avo_tui.domain.run_settings import OptionValue, RunSettings
from avo_tui.evolution.options import changed_settings, known_options
from avo_tui.operators.ports import StepOutcome, Workbench
from avo_tui.store import SessionReader
from tests.evolution.laboratory import Laboratory


class Waiting:
    """Stands at a boundary."""

    author = "agent"

    async def vary(self, bench: Workbench) -> StepOutcome:
        while True:  # ends: the engine ends the step
            await bench.control.boundary("waiting")
            await asyncio.sleep(0.005)


AGENT = RunSettings(operator="agent", model="claude-opus-5-5", options={"agent.effort": "high"})
LOCAL = {"agent.base_url": "http://127.0.0.1:9"}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-api03-not-a-real-key-0123456789")


def test_changes_and_defaults() -> None:
    low = changed_settings(AGENT, {"agent.effort": "low", "agent.max_tokens": "8000"})
    assert low.options == {"agent.effort": "low", "agent.max_tokens": "8000"}
    assert changed_settings(low, {"agent.effort": None}).options == {"agent.max_tokens": "8000"}


@pytest.mark.parametrize("operator", ["tuner", "external", "seat", "agent"])
def test_every_option_that_is_listed_can_be_set_to_its_default(operator: str) -> None:
    """And none that the engine reads is missing in the list."""
    base = RunSettings(operator=operator)
    assert all(option.meaning.strip() for option in known_options(base))
    listed = {option.name: option.default for option in known_options(base)}
    assert {"audit.every", "troubles", "crash_loop", "disk.patience_hours"} <= set(listed)
    for name, default in listed.items():
        if default:
            assert changed_settings(base, {name: default}).option(name) is not None, name


def test_the_model_is_the_model_of_the_session() -> None:
    other = changed_settings(AGENT, {"agent.model": "claude-haiku-5"})
    assert other.model == "claude-haiku-5" and "agent.model" not in other.options
    assert other.option("agent.model") == "claude-haiku-5"
    old = RunSettings(operator="agent", model="a", options={"agent.model": "b"})
    assert old.option("agent.model") == "b"
    assert old.with_options({"agent.model": "c"}).option("agent.model") == "c"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("agent.effort", "enormous", "'low'"),
        ("agent.max_tokens", "-3", "greater than"),
        ("agent.max_tokens", "many", "integer"),
        ("audit.every", "often", "whole number"),
        ("troubles", "-1", "whole number"),
        ("crash_loop", "1.5", "whole number"),
        ("agent.price_input", "inf", "finite"),
        ("agent.model", " ", "agent.model"),
        ("agent.efort", "low", "did you mean agent.effort?"),
        ("effort", "low", "did you mean agent.effort?"),
        ("tuner.attempts", "3", "there is no option"),  # of another operator
        ("origin", "x", "there is no option"),
        ("agent.base_url", "not an address", "http"),
        ("agent.api_key_file", "/nowhere/at/all", "cannot be read"),
        ("agent.base_url", "http://sk-ant-api03-abcdefghijklmnop@h", "looks like a key"),
        ("supervisor.attempts", "-1", "supervisor.attempts"),
        ("supervisor.seconds", "nan", "greater than"),
        ("supervisor.seconds", "inf", "finite"),
        ("disk.patience_hours", "soon", "hours"),
    ],
)
def test_bad_values_are_one_sentence(name: str, value: OptionValue, words: str) -> None:
    with pytest.raises(ValueError) as raised:
        changed_settings(AGENT, {name: value})
    assert words in str(raised.value) and "\n" not in str(raised.value), raised.value


async def test_a_change_is_recorded_answered_undone(tmp_path: Path) -> None:
    lab = Laboratory(tmp_path / "s", AGENT.replaced(options={**LOCAL, "supervisor.attempts": 0}))
    lab.start(Waiting())
    await lab.versions(1)
    record = await lab.send(cmd.SetOptions(options={"agent.effort": "low", "agent.model": "llama"}))
    assert record.refused is None
    assert record.effect.startswith("agent.effort is low (it was high), agent.model is llama (it")
    assert lab.state.session.settings.model == "llama"
    assert record.undo is not None
    await lab.send(record.undo)
    assert lab.state.session.settings.model == "claude-opus-5-5"
    assert lab.state.session.settings.option("agent.effort") is None
    refused = await lab.send(cmd.SetOptions(options={"agent.effort": "low", "agent.x": 1}))
    assert refused.refused is not None and "agent.x" in refused.refused
    assert lab.state.session.settings.option("agent.effort") is None, "all or nothing"
    await lab.stop()
    reader = SessionReader.open(tmp_path / "s")
    changes = [e for e in reader.events() if isinstance(e, ev.OptionsChanged)]
    assert len(changes) == 2
    assert reader.state.session.settings == lab.state.session.settings
