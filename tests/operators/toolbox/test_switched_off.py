"""A run without the knowledge base or the memory."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator

import pytest

from avo_tui.domain.base import now
from avo_tui.domain.events import CandidateProfiled, NoteWritten
from avo_tui.domain.questions import ProfileWanted
from avo_tui.domain.records import Note, Profile
from avo_tui.domain.run_settings import OptionValue, RunSettings
from avo_tui.evolution.options import changed_settings
from avo_tui.operators import registry
from avo_tui.operators.agent.prompts import prompt
from avo_tui.operators.agent.prompts.opening import opening
from avo_tui.operators.agent.prompts.progress import progress_text
from avo_tui.operators.seat.opening import seat_opening
from avo_tui.operators.seat.step import tool_specs
from avo_tui.operators.toolbox import Toolbox
from avo_tui.operators.toolbox.box import TOOLS_OF_PARTS
from avo_tui.operators.toolbox.switched_off import PARTS, fitting, parts_off
from avo_tui.seat.brief import GATES, brief
from avo_tui.seat.server import INSTRUCTIONS
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source


def without(parts: OptionValue) -> RunSettings:
    return RunSettings(operator="seat", options={"toolbox.without": parts})


def test_each_part_has_tools() -> None:
    assert set(TOOLS_OF_PARTS) == set(PARTS) and all(TOOLS_OF_PARTS.values())


@pytest.mark.parametrize("part", sorted(PARTS))
async def test_tools_of_a_part_do_not_exist(part: str) -> None:
    box = Toolbox(FakeWorkbench(settings=without(part)))
    whole = Toolbox(FakeWorkbench()).names
    assert whole - box.names == TOOLS_OF_PARTS[part] & whole
    assert {spec.name for spec in box.specs()} == box.names
    seat = {spec.name for spec in tool_specs(without(part))}
    assert not seat & TOOLS_OF_PARTS[part] and box.names < seat
    for name in TOOLS_OF_PARTS[part] & whole:
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


async def answers(settings: RunSettings) -> AsyncIterator[str]:
    """Whatever a step says to an agent: of failures, small gains, losses, repetitions, commits."""
    bench = FakeWorkbench(settings=settings)
    bench.profiler = True
    box = Toolbox(bench)
    yield opening(bench, ())
    for number, text in enumerate((source(3, "WRONG"), source(0.5), source(1.001), source(1.3))):
        assert (await box.call("write_file", {"text": text})).ok
        for tool in ("compile", "check", "profile", "disassemble", "show_diff"):
            yield (await box.call(tool, {})).text
        for _ in range(2):
            tried = await box.run(f"c{number}", "evaluate", {"title": f"try {number}"})
            yield tried.text
        yield opening(bench, (), progress=progress_text(box.workspace))
        yield seat_opening(bench, (), box.workspace, set())
        yield (await box.call("submit", {"summary": "it is the fastest"})).text
    flags = {"title": "by flags", "flags": ["-O2", "-O3"]}
    yield (await box.call("evaluate_many", flags)).text
    for tool in ("list_attempts", "list_versions", "evalute"):
        yield (await box.call(tool, {})).text
    yield (await box.call("read_attempt", {"step": 1, "number": 2})).text


EVERYTHING = ",".join(sorted(set(PARTS) - {"extras"}))


def test_the_short_prompt_names_tools_that_are_there() -> None:
    few = frozenset({"extras"})
    text = fitting(prompt("few_tools"), few)
    assert not {name for name in TOOLS_OF_PARTS["extras"] if re.search(rf"\b{name}\b", text)}


@pytest.mark.parametrize("parts", [*EVERYTHING.split(","), EVERYTHING])
async def test_no_text_names_a_tool_that_is_off(parts: str) -> None:
    off = frozenset().union(*(TOOLS_OF_PARTS[part] for part in parts.split(",")))
    state = FakeWorkbench(settings=without(parts)).state
    texts = [brief(state), fitting(prompt("system"), frozenset(parts.split(",")))]
    texts += [json.dumps(spec.model_dump()) for spec in tool_specs(without(parts))]
    texts += [str(GATES), INSTRUCTIONS]
    texts += [text async for text in answers(without(parts))]
    for text in texts:
        named = {name for name in off if re.search(rf"\b{name}\b", text, re.IGNORECASE)}
        assert not named, (named, text)
        assert "[[" not in text and "]]" not in text, text


async def test_texts_of_a_whole_run_name_the_tools_there_are() -> None:
    """The other side of the test above: what is offered is said."""
    texts = [text async for text in answers(without(""))]
    texts.append(brief(FakeWorkbench(settings=without("")).state))
    texts.append(fitting(prompt("system"), frozenset()))
    whole = "\n".join(texts)
    assert all(name in whole for name in ("bench", "scratch", "remember", "search_knowledge"))
    assert "[[" not in whole and "]]" not in whole


async def test_without_timing_the_profile_tells_shares_only() -> None:
    for parts, times in (("", True), ("memory", True), ("timing", False)):
        bench = FakeWorkbench(settings=without(parts))
        await Toolbox(bench).call("profile", {"configuration": "small", "kind": "normal"})
        wanted = ProfileWanted(configuration="small", kind="normal", times=times)
        assert bench.profiled == wanted


async def test_a_profile_made_with_times_is_not_shown_once_timing_is_off() -> None:
    for parts, shown in (("", True), ("timing", False)):
        bench = FakeWorkbench(settings=without(parts))
        for number, text in enumerate(("9 samples in 3 calls of 1.5 ms", "a loop: 80%")):
            profile = Profile(
                id=str(number), candidate=bench.head.candidate, configuration="", at=now(),
                report=bench.keep(text), summary=text,
            )  # fmt: skip
            bench.record(CandidateProfiled(profile=profile))
            first = opening(bench, ())
            assert (text in first) is (shown or number == 1)


@pytest.mark.parametrize("operator", ["agent", "seat"])
def test_the_option_is_listed_and_checked(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")
    settings = RunSettings(operator=operator, options={})
    assert "toolbox.without" in {o.name for o in registry.descriptor(operator).options()}
    changed = changed_settings(settings, {"toolbox.without": "memory"})
    assert parts_off(changed) == {"memory"}
    with pytest.raises(ValueError, match=r"toolbox\.without: .*no part 'memry'; the parts are"):
        changed_settings(settings, {"toolbox.without": "memry"})
