"""The operator `acp`: a real process that speaks the Agent Client Protocol makes the steps."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from acp import schema
from avo_tui_acp import operator
from avo_tui_acp.agent import last_words
from avo_tui_acp.descriptor import DESCRIPTOR
from avo_tui_acp.operator import AcpOperator
from avo_tui_acp.panes import Panes, of_the_seat

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.commands import Pause, Resume, SetOptions
from avo_tui.domain.run_settings import RunSettings
from tests.evolution.laboratory import Laboratory, MakeLab

AGENT = Path(__file__).with_name("acp_agent.py")


def settings(mode: str, **more: object) -> RunSettings:
    options = {
        "acp.agent": f"{sys.executable} {AGENT} {mode}",
        "supervisor.attempts": 0,
        **{f"acp.{name}": value for name, value in more.items()},
    }
    return RunSettings.model_validate(
        {
            "operator": "acp",
            "traits": DESCRIPTOR.traits,
            "options": options,
            "budget": Budget(run=Caps(steps=5)),
        }
    )


def begun(make_lab: MakeLab, mode: str, **more: object) -> Laboratory:
    chosen = settings(mode, **more)
    lab = make_lab(chosen)
    lab.start(AcpOperator(chosen))
    return lab


async def paused(lab: Laboratory, words: str) -> None:
    """Wait until the run is paused for a reason with these words."""
    await lab.until(
        lambda: lab.state.session.state == "paused" and words in lab.state.session.state_reason
    )


@pytest.mark.parametrize("mode", ["step", "direct"])
async def test_an_agent_makes_a_step_and_is_shown(make_lab: MakeLab, mode: str) -> None:
    """`step` goes through `avo mcp` as a real agent does, `direct` only through the socket."""
    lab = begun(make_lab, mode)
    await lab.until(lambda: len(lab.state.versions) == 2)
    await lab.until(lambda: lab.state.session.spend.input_tokens >= 1000)
    (taken, *_) = lab.of(ev.SeatTaken)
    assert taken.occupant.way == "acp"
    texts = {(e.thinking, e.text) for e in lab.of(ev.AgentText)}
    assert {(True, "Loads wait."), (False, "I unroll the loop.")} <= texts
    (plan, *_) = [e for e in lab.of(ev.PlanSet) if e.title == "Plan of scripted 1"]
    assert [(i.text, i.status) for i in plan.items] == [("unroll", "doing"), ("measure", "todo")]
    called = [e.tool for e in lab.of(ev.ToolCalled)]
    assert called.count("begin_step") >= 1 and not any("avo_" in tool for tool in called)
    (asked,) = [e for e in lab.of(ev.ToolReturned) if e.tool == "asks permission"]
    assert not asked.ok and "refused (acp.permissions=seat): rm -rf build" in asked.summary
    (own,) = [e for e in lab.of(ev.ToolReturned) if e.tool == "rm -rf build"]
    assert not own.ok
    spend = lab.state.session.spend
    assert spend.usd == pytest.approx(0.25)
    assert spend.output_tokens * 10 == spend.input_tokens
    await lab.stop()
    assert not (lab.folder / "seat.json").exists()


async def test_an_agent_that_only_talks_pauses_the_run_with_its_words(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "IDLE_SECONDS", 0.01)
    lab = begun(make_lab, "idle", idle_turns=2)
    await paused(lab, "ended 2 turns in a row")
    assert "Shall I go on?" in lab.state.session.state_reason
    await lab.send(Resume())
    await lab.until(lambda: lab.state.session.state == "running")
    await paused(lab, "ended 2 turns in a row")


async def test_an_agent_that_ends_is_said_with_its_last_line(make_lab: MakeLab) -> None:
    lab = begun(make_lab, "dies")
    await paused(lab, "has ended with status 3: the account has no credit")


async def test_an_agent_that_wants_a_login_is_said(make_lab: MakeLab) -> None:
    lab = begun(make_lab, "login")
    await paused(lab, "wants you to log in")


async def test_pause_now_cancels_the_turn_and_resume_asks_again(make_lab: MakeLab) -> None:
    lab = begun(make_lab, "endless")
    await lab.until(lambda: any("I think" in e.text for e in lab.of(ev.AgentText)))
    await lab.send(Pause(mode="now"))
    await lab.until(lambda: any("stop." in e.text for e in lab.of(ev.AgentText)))
    await lab.until(lambda: lab.state.session.state == "paused")
    assert len(lab.state.versions) == 1
    await lab.send(Resume())
    await lab.until(lambda: len(lab.state.versions) == 2)


async def test_a_question_may_be_put_to_the_person(make_lab: MakeLab) -> None:
    lab = begun(make_lab, "direct", permissions="ask")
    await paused(lab, "asks to use a tool of its own: rm -rf build")
    await lab.send(Resume())
    await lab.until(lambda: any(e.tool == "asks permission" for e in lab.of(ev.ToolReturned)))
    (asked,) = [e for e in lab.of(ev.ToolReturned) if e.tool == "asks permission"]
    assert asked.ok
    await lab.until(lambda: len(lab.state.versions) == 2)
    refused = await lab.send(SetOptions(options={"acp.permissions": "sometimes"}))
    assert refused.refused is not None and "acp.permissions" in refused.refused


@pytest.mark.parametrize(
    ("title", "ours"),
    [
        ("mcp__avo__begin_step", True),
        ("avo_evaluate", True),
        ("avo: submit", True),
        ("Tool: avo/submit", True),
        ("Tool: rm avo/submit", False),
        ("avo - read_candidate (MCP)", True),
        ("rm -rf avo_evaluate", False),
        ("avo_evaluate; rm -rf /", False),
        ("avo", False),
        ("mcp__other__evaluate", False),
        ("evaluate (avo MCP Server)", True),
        ("evaluate (other MCP Server)", False),
        ("rm -rf evaluate (avo MCP Server)", False),
    ],
)
def test_only_a_tool_of_the_seat_passes_for_one(title: str, ours: bool) -> None:
    assert of_the_seat(title) is ours


def test_the_cause_is_told_not_the_object_that_was_dumped_after_it() -> None:
    """As claude-code-acp writes it, run as root."""
    cause = "--dangerously-skip-permissions cannot be used with root/sudo privileges"
    dump = ["Error handling request {", "jsonrpc: '2.0',", "params: { cwd: '/tmp' }", "} {", "}"]
    assert last_words([cause, *dump]) == cause
    assert last_words(dump) == "params: { cwd: '/tmp' }", "better than nothing"
    assert last_words([]) == ""


def test_tokens_are_counted_once() -> None:
    """Sums over the session are the rule; an agent that counts each turn alone is noticed."""
    panes = Panes("x")
    for total, fresh in ((100, 100), (250, 150), (250, 0), (40, 40), (90, 50)):
        before = panes._unspent
        usage = schema.Usage(total_tokens=total, input_tokens=total, output_tokens=0)
        panes.used(usage)
        assert panes._unspent.input_tokens - before.input_tokens == fresh


def test_what_is_missing_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="--agent"):
        AcpOperator(RunSettings(operator="acp"))
    accepts = DESCRIPTOR.accepts
    assert accepts is not None
    nowhere = settings("x").with_options({"acp.agent": "no-such-agent acp"})
    assert "'no-such-agent' is not installed" in (accepts(nowhere) or "")
    assert "not a command" in (accepts(nowhere.with_options({"acp.agent": "a 'b"})) or "")
