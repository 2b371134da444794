"""The chart of the shipped lineage."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_chart_goes_from_the_seed_to_the_best(tmp_path: Path) -> None:
    """As drawn now and as it stands in the docs; branches are left out."""
    pytest.importorskip("matplotlib")
    from docs.make_lineage_chart import draw

    draw(ROOT / "sessions" / "mha-hopper", tmp_path / "lineage-on-hopper.svg")
    for folder in (tmp_path, ROOT / "docs" / "pictures"):
        picture = (folder / "lineage-on-hopper.svg").read_text(encoding="utf-8")
        assert re.findall(r"<!-- v(\d+) ", picture) == [str(n) for n in range(15)]
