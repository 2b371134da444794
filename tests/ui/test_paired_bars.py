"""Two versions' scores as pairs of bars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.ui.panes.scores import paired_lines


def score(**ratios: float) -> Score:
    rows = tuple(
        ConfigurationScore(name=n, throughput=10 * r, p20=9 * r, p80=11 * r, ratio=r)
        for n, r in ratios.items()
    )
    return Score(unit="GFLOP/s", reference_baseline="torch", configurations=rows)


def test_each_configuration_has_two_bars_on_one_scale() -> None:
    rows = [
        row.plain for row in paired_lines(score(a=0.5, b=2.0), score(a=1.0, b=2.0), "v1", "v2", 90)
    ]
    slow, fast = rows[1], rows[2]
    assert slow.startswith("a ") and "v1" in slow and "0.500×" in slow
    assert "v2" in fast and "+100%" in fast and "±10.0%" in fast
    assert fast.count("█") > 1.5 * slow.count("█") > 0
    assert "±0.0%" in rows[4] and rows[3].count("█") == rows[4].count("█")
    assert "1.000× → 1.414×" in rows[-1] and "+41.4%" in rows[-1]


def test_long_labels_stand_apart_and_bars_take_the_room() -> None:
    both = score(**{"causal-16k": 1.0, "full-4k": 2.0})
    for width in (80, 120, 196):
        rows = [row.plain for row in paired_lines(both, both, "v11", "v12", width)]
        assert rows[1].startswith("causal-16k v11 ") and rows[2].startswith("           v12 ")
        assert width - 2 <= len(rows[2]) <= width
        assert rows[4].count("█") + rows[4].count("│") >= width - 45


def test_what_one_of_them_lacks_is_said() -> None:
    text = "\n".join(
        row.plain for row in paired_lines(score(a=1.0), score(a=1.0, new=1.5), "v1", "v2", 90)
    )
    assert "not measured" in text and "1.500×" in text


ratios = st.just(0.0) | st.floats(1e-3, 1e3)


@given(
    st.dictionaries(st.text(min_size=1, max_size=30), ratios, max_size=4),
    st.dictionaries(st.text(min_size=1, max_size=30), ratios, max_size=4),
    st.integers(60, 200),
)
def test_rows_fit_whatever_is_measured(
    left: dict[str, float], right: dict[str, float], width: int
) -> None:
    from rich.cells import cell_len

    for row in paired_lines(score(**left), score(**right), "v1", "v23", width):
        assert cell_len(row.plain) <= width


@pytest.mark.parametrize("sides", [(score(), score(a=1.0)), (score(a=0.0), score(a=1.0))])
def test_a_version_that_computes_nothing_has_no_change(sides: tuple[Score, Score]) -> None:
    rows = paired_lines(*sides, "v0", "v1", 80)
    assert "inf" not in "".join(row.plain for row in rows)
