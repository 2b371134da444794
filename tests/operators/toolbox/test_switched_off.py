"""A run without the knowledge base or the memory."""

from __future__ import annotations

import pytest

from avo_tui.domain.base import now
from avo_tui.domain.events import NoteWritten
from avo_tui.domain.records import Note
from avo_tui.domain.run_settings import OptionValue, RunSettings
from avo_tui.evolution.options import changed_settings
from avo_tui.operators import registry
from avo_tui.operators.agent.prompts.opening import opening
from avo_tui.operators.seat.step import tool_specs
from avo_tui.operators.toolbox import Toolbox
from avo_tui.operators.toolbox.box import TOOLS_OF_PARTS
from avo_tui.operators.toolbox.switched_off import PARTS, parts_off
from tests.operators.fake_workbench import FakeWorkbench


def without(parts: OptionValue) -> RunSettings:
    return RunSettings(operator="seat", options={"toolbox.without": parts})


def test_each_part_has_tools() -> None:
    assert set(TOOLS_OF_PARTS) == set(PARTS) and all(TOOLS_OF_PARTS.values())


@pytest.mark.parametrize("part", sorted(PARTS))
async def test_tools_of_a_part_do_not_exist(part: str) -> None:
    box = Toolbox(FakeWorkbench(settings=without(part)))
    whole = Toolbox(FakeWorkbench()).names
    assert whole - box.names == TOOLS_OF_PARTS[part]
    assert {spec.name for spec in box.specs()} == box.names
    seat = {spec.name for spec in tool_specs(without(part))}
    assert not seat & TOOLS_OF_PARTS[part] and box.names < seat
    for name in TOOLS_OF_PARTS[part]:
        result = await box.call(name, {})
        assert not result.ok and "switched off in this run" in result.text


def test_without_timing_only_evaluations_measure() -> None:
    box = Toolbox(FakeWorkbench(settings=without("timing")))
    assert not {"bench", "quick_bench", "scratch"} & box.names
    assert {"evaluate", "check", "submit"} <= box.names


NOTE = Note(id="n1", category="fact", text="Strides of 17 pay here.", step=1, at=now())


def test_the_opening_says_what_is_missing_and_shows_no_notes() -> None:
    bench = FakeWorkbench(settings=without("memory, knowledge"))
    other = FakeWorkbench()
    for each in (bench, other):
        each.recording.record(NoteWritten(note=NOTE))
    assert "Switched off in this run: the knowledge base and the memory." in opening(bench, ())
    three = FakeWorkbench(settings=without("timing,memory,knowledge"))
    sentence = "the knowledge base, the memory and timing of anything but evaluations."
    assert f"Switched off in this run: {sentence}" in opening(three, ())
    assert "Switched off" not in opening(other, ())
    assert "Strides of 17" in opening(other, ())
    assert "Strides of 17" not in opening(bench, ())


@pytest.mark.parametrize("operator", ["agent", "seat", "acp"])
def test_the_option_is_listed_and_checked(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")
    settings = RunSettings(operator=operator, options={"acp.agent": "true"})
    assert "toolbox.without" in {o.name for o in registry.descriptor(operator).options()}
    changed = changed_settings(settings, {"toolbox.without": "memory"})
    assert parts_off(changed) == {"memory"}
    with pytest.raises(ValueError, match=r"toolbox\.without: .*no part 'memry'; the parts are"):
        changed_settings(settings, {"toolbox.without": "memry"})
