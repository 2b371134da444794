"""The table of sessions: what one must type is whole, and rows fit whatever the width."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from avo_tui.store import SessionSummary
from avo_tui.ui.screens.sessions import preview_lines, table_lines

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def summary(name: str, baseline: str = "torch", **fields: object) -> SessionSummary:
    values: dict[str, object] = {
        "name": name, "folder": Path("/x"), "task": "attention_cpu", "state": "stopped",
        "ratio": 5.039, "reference_baseline": baseline, "versions": 12, "sparkline": (1.0, 2.0),
        "created": NOW - timedelta(days=3), "last_activity": NOW - timedelta(hours=1),
    }  # fmt: skip
    return SessionSummary.model_validate({**values, **fields})


def rows(sessions: list[SessionSummary], width: int) -> list[str]:
    return [row.plain for row in table_lines(sessions, width, NOW)]


def test_a_long_name_is_whole_in_eighty_columns() -> None:
    name = "attention-cpu-agent-second-try-of-march"
    head, row = rows([summary(name)], 75)
    assert row.startswith(f"{name} ") and "■ stopped" in row and "5.039×" in row
    assert head.split()[:3] == ["name", "state", "best"]


@pytest.mark.parametrize("width", [120, 195])
def test_the_baseline_is_named_whole_where_there_is_room(width: int) -> None:
    _, row = rows([summary("rnn-hopper", "graph_gemm_bf16")], width)
    assert "5.039× graph_gemm_bf16 " in row


def test_columns_stand_below_their_heads() -> None:
    head, *body = rows([summary("a"), summary("longer-name", versions=3)], 195)
    for title in ("versions", "active", "age"):
        end = head.index(title) + len(title)
        assert all(row[end - 1] != " " and row[end : end + 1] in {" ", ""} for row in body)


sessions = st.builds(
    summary,
    name=st.text(min_size=1, max_size=80),
    baseline=st.text(min_size=1, max_size=40) | st.just("torch"),
    task=st.text(max_size=60),
    sparkline=st.lists(st.floats(0, 1e6), max_size=5).map(tuple),
    ratio=st.none() | st.floats(0, 1e6),
    state=st.sampled_from(["running", "stopped", "lost", "parked"]),
    error=st.none() | st.text(max_size=200),
)


@given(st.lists(sessions, max_size=4), st.integers(40, 300))
def test_rows_fit_whatever_the_names_are(given: list[SessionSummary], width: int) -> None:
    assert all(cell_len(row) <= width for row in rows(given, width))
    for one in (s for s in given if s.reference_baseline.isascii()):
        assert all(row.width <= width for row in preview_lines(one, width, 12))
