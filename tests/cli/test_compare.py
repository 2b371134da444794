"""`avo compare`: runs, and groups of runs, at equal budget."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.domain.trajectory import mean
from tests.cli.command_line import Result

Avo = Callable[..., Result]
LIVE, AGENT = "attention-cpu-live", "attention-cpu-agent"


def test_arms_are_compared_with_what_their_runs_reached(avo: Avo, tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "sessions" / LIVE
    shutil.copytree(shipped, tmp_path / "live-1", ignore=shutil.ignore_patterns("objects"))
    pair = f"live={tmp_path / 'live-1'},{LIVE}"
    told = avo("compare", pair, f"agent={AGENT}", "--json").json
    alone = {row["session"]: row for row in avo("compare", LIVE, AGENT, "--json").json["runs"]}
    assert told["common_budget"] == alone[AGENT]["evaluations"]
    live, agent = told["arms"]
    reached = alone[LIVE]["best_at_common_budget"]
    assert live["scores"] == [reached, reached] and live["against_first"] is None
    assert agent["scores"] == [alone[AGENT]["best_at_common_budget"]]
    assert agent["runs"] == [alone[AGENT]]
    assert [row["points"] for row in live["runs"]] == [alone[LIVE]["points"]] * 2
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
        ((LIVE, AGENT, "--axis", "usd"), f"{LIVE} has spent no US dollars"),
        ((f"a={LIVE}", f"b={AGENT}", "--axis", "tokens"), f"{LIVE} has spent no tokens"),
    ],
)
def test_what_is_wrong_is_said(avo: Avo, words: tuple[str, ...], sentence: str) -> None:
    result = avo("compare", *words)
    assert result.code != 0 and sentence in " ".join(result.err.replace("│", " ").split())


def test_a_session_is_compared_with_others_only(avo: Avo, tmp_path: Path) -> None:
    for link in ("one", "two"):
        (tmp_path / link).symlink_to(Path(__file__).parents[2] / "sessions" / AGENT)
    refused = avo("compare", f"a={tmp_path / 'one'}", f"b={tmp_path / 'two'}")
    assert refused.code != 0 and "are the same session: name each once" in refused.err


@pytest.mark.parametrize("columns", [80, 94, 95, 200])
def test_the_table_of_arms_fits_the_terminal(
    avo: Avo, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    told = avo("compare", f"no-supervisor={LIVE}", f"all={AGENT}", "--at", "2").out
    table = told[told.index("  arm") :].splitlines()[:3]
    assert max(map(len, table)) <= columns
    assert ("lowest–highest" in table[0]) is (columns >= 95) and "no-supervisor" in table[1]


def test_a_folder_with_odd_signs_is_no_arm(avo: Avo, tmp_path: Path) -> None:
    odd = tmp_path / "a=b,c"
    odd.symlink_to(Path(__file__).parents[2] / "sessions" / LIVE)
    assert len(avo("compare", str(odd), AGENT, "--json").json["runs"]) == 2


def test_figures_of_a_damaged_session_are_doubted(avo: Avo, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(Path(__file__).parents[2] / "sessions" / AGENT, damaged)
    (damaged / "journal" / "000001.jsonl").unlink()
    for words in ((str(damaged), LIVE), (f"a={damaged}", f"b={LIVE}")):
        told = avo("compare", *words)
        assert "of its events cannot be read, so its figures may be wrong" in told.err
