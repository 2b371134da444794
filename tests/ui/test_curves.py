"""The chart that several runs share."""

import pytest

from avo_tui.ui.charts import Curve, draw


@pytest.mark.parametrize("last", [1, 3, 7, 10, 12])
@pytest.mark.parametrize("width", [60, 120, 200])
def test_counts_have_whole_numbers_at_their_axis(last: int, width: int) -> None:
    labels = draw([Curve("a", ((0, 0.1), (last, 0.3)))], width, 10)[-1].split()
    assert len(labels) >= 2 and all(label.isdigit() for label in labels)


def test_hours_may_have_fractions() -> None:
    labels = draw([Curve("a", ((0.5, 0.1), (1.5, 0.3)))], 120, 10)[-1].split()
    assert "0.5" in labels or "0.2" in labels
