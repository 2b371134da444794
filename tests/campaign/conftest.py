from collections.abc import Iterator
from pathlib import Path

import pytest

from avo_tui.store import places
from tests.campaign.stage import MakeStage, Stage, new_campaign


@pytest.fixture(autouse=True)
def own_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sessions of the test alone."""
    root = tmp_path / "sessions"
    root.mkdir()
    monkeypatch.setenv("AVO_SESSIONS", str(root))
    monkeypatch.setattr(places, "shipped_roots", list)
    return root


@pytest.fixture
def make_stage() -> Iterator[MakeStage]:
    """A campaign whose lines run and have a seed."""
    stages: list[Stage] = []

    def make(**fields: object) -> Stage:
        stage = Stage(new_campaign(**fields))  # type: ignore[arg-type]
        stages.append(stage)
        stage.conductor.look()
        return stage

    yield make
    for stage in stages:
        stage.close()
