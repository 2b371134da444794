"""One line per event, safe to print."""

import io
import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.commands import SendHint
from avo_tui.domain.plain import plain, safe
from avo_tui.domain.records import Direction
from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.secrets import redact
from avo_tui.evolution.lifecycle.headless import Printer
from tests.evolution.fake_evaluator import FakeEvaluator
from tests.evolution.laboratory import MakeLab
from tests.evolution.test_engine import capped


async def test_a_whole_run_reads_well(make_lab: MakeLab) -> None:
    lab = make_lab(capped(evaluations=8), FakeEvaluator(seconds=0.02))
    lab.start()
    await lab.versions(1)
    await lab.send(SendHint(text="WIDTH=8", scope="step"))
    await lab.ended()
    stream = io.StringIO()
    printer = Printer(stream)
    for event in lab.events:
        printer(event)
    lines = stream.getvalue().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d +\d+  \S", line) for line in lines)
    text = stream.getvalue()
    for words in (
        "measuring on pretend; sandbox: none needed",
        "v0 committed: 0.0500 of library, 5.0 GFLOP/s; the seed starts the lineage",
        "step 1 begins from v0",
        "hint by ",
        "WIDTH is pinned to 8",
        "budget used up: 8 of 8 evaluations",
        "engine ends, finished: budget of the run: 8 of 8 evaluations",
    ):
        assert words in text, words


def test_prose_in_chunks_is_one_line() -> None:
    stream = io.StringIO()
    printer = Printer(stream)
    for block, text in (("a", "Half a sen"), ("a", "tence."), ("b", "Another"), ("b", " one.\n")):
        printer(ev.AgentText(block=block, text=text))
    printer(ev.AgentText(block="c", text="kept until "))
    printer(ev.AgentText(block="d", text="secret", thinking=True))
    printer(ev.ToolCalled(call="1", tool="compile"))
    said = [line.split("  ", 1)[1].strip() for line in stream.getvalue().splitlines()]
    assert said == ["0  Half a sentence.", "0  Another one.", "0  kept until", "0  tool compile"]


def test_a_review_is_said_and_other_changes_are_not() -> None:
    stream = io.StringIO()
    printer = Printer(stream)
    new = (Direction(text="pack the keys"),)
    printer(ev.InterventionChanged(intervention="i", state="dismissed"))
    printer(ev.InterventionChanged(intervention="i", state="active", directions=new))
    printer(
        ev.InterventionChanged(intervention="i", state="active", directions=new, review="loads")
    )
    assert [line.split("  ")[-1] for line in stream.getvalue().splitlines()] == [
        "supervisor's review: loads pack the keys"
    ]


def test_waiting_for_the_device_is_said_once_a_minute() -> None:
    stream = io.StringIO()
    printer = Printer(stream)
    wait = EvaluationProgress(stage="waiting", state="started", detail="cpu is in use")
    work = EvaluationProgress(stage="benchmark", state="started")
    begin = now()
    for second in range(0, 150, 2):
        later = begin + timedelta(seconds=second)
        for progress in (wait, work):
            printer(ev.EvaluationProgressed(at=later, attempt=second, progress=progress))
    said = stream.getvalue().splitlines()
    assert [line.split()[3] for line in said] == ["0", "60", "120"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\nb\tc\r\nd", "a b c d"),
        ("\x1b[31mred\x1b[0m", "�[31mred�[0m"),
        ("left\u202eright", "left�right"),
        ("\x9b2J\x07", "�2J�"),
        ("x" * 200, "x" * 159 + "…"),
        ("größer →  ⟨α⟩", "größer → ⟨α⟩"),
    ],
)
def test_plain(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_nothing_steers_a_terminal(text: str) -> None:
    for shown in (plain(text), safe(text)):
        assert not re.search(
            r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", shown
        )
    assert "\n" not in plain(text)


def test_secrets_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "correct-horse-battery")
    monkeypatch.setenv("SHORT_KEY", "abc")
    assert redact("use correct-horse-battery, abc") == "use [redacted], abc"
    assert redact("sk-ant-api03-0123456789abcdefXYZ!") == "[redacted]!"
