"""The store of avo-tui in the comparison with others: what it said it kept is there."""

import random
import sys
from pathlib import Path

import pytest

from benchmarks.beside_others import AVO, Store


@pytest.mark.parametrize("sync", ["sync", "no"])
def test_what_was_said_is_kept(sync: str, tmp_path: Path) -> None:
    store = Store("avo-tui", sys.executable, AVO, sync)
    said, kept = store.killed(tmp_path / "killed", random.Random(3))
    assert said == kept > 3


def test_what_was_not_said_is_not_counted(tmp_path: Path) -> None:
    liar = AVO.replace('added(f"p{i}", since)', 'added(f"q{i}", since)')
    said, kept = Store("liar", sys.executable, liar).killed(tmp_path / "s", random.Random(3))
    assert said > 3 and kept == 0
