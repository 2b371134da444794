"""`avo compare`: runs, and groups of runs, at equal budget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.domain.arms import mean
from tests.cli.command_line import Result

Avo = Callable[..., Result]
LIVE, AGENT = "attention-cpu-live", "attention-cpu-agent"


def test_arms_are_compared_with_what_their_runs_reached(avo: Avo, tmp_path: Path) -> None:
    for copy in ("live-1", "live-2"):
        (tmp_path / copy).symlink_to(Path(__file__).parents[2] / "sessions" / LIVE)
    pair = f"live={tmp_path / 'live-1'},{LIVE}"
    told = avo("compare", pair, f"agent={AGENT}", "--json").json
    alone = {row["session"]: row for row in avo("compare", LIVE, AGENT, "--json").json["runs"]}
    assert told["common_budget"] == alone[AGENT]["evaluations"]
    live, agent = told["arms"]
    reached = alone[LIVE]["best_at_common_budget"]
    assert live["scores"] == [reached, reached] and live["against_first"] is None
    assert agent["scores"] == [alone[AGENT]["best_at_common_budget"]]
    assert agent["mean"] is None and agent["against_first"] is None
    interval = mean([reached, reached])
    assert interval is not None and live["mean"]["middle"] == pytest.approx(interval.middle)
    text = avo("compare", pair, f"agent={AGENT}", "--at", "2").out
    assert "within 2 evaluations" in text and "an arm of one run has no interval" in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((LIVE, f"a={AGENT}"), f"'{LIVE}': give every arm as ARM=SESSION,SESSION"),
        ((f"a={LIVE}", "b="), "'b=': give every arm as"),
        ((f"a={LIVE}", f"a={AGENT}"), "the arm 'a' is named twice"),
        ((f"a={LIVE}", f"b={LIVE}"), "two or more different sessions"),
        ((LIVE, AGENT, "--at", "1e9"), "at most that"),
        ((LIVE, AGENT, "--at", "nan"), "at most that"),
        ((LIVE, AGENT, "--at", "0"), "at most that"),
    ],
)
def test_what_is_wrong_is_said(avo: Avo, words: tuple[str, ...], sentence: str) -> None:
    result = avo("compare", *words)
    assert result.code != 0 and sentence in " ".join(result.err.replace("│", " ").split())
