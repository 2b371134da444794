from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from avo_tui.domain.run_settings import RunSettings
from tests.evolution.fake_evaluator import FakeEvaluator
from tests.evolution.laboratory import Laboratory, MakeLab


@pytest.fixture(autouse=True)
def prompt_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines of this process look at the inbox, and for room on the disk, without delay, and go
    on soon after a step that had no effect."""
    monkeypatch.setattr("avo_tui.evolution.engine.INBOX_SECONDS", 0.02)
    monkeypatch.setattr("avo_tui.evolution.lifecycle.waiting.DISK_SECONDS", 0.02)
    monkeypatch.setattr("avo_tui.evolution.lifecycle.idling.FIRST_SECONDS", 0.02)


@pytest.fixture
async def make_lab(tmp_path: Path) -> AsyncIterator[MakeLab]:
    """Makes laboratories; whatever still runs at the end is stopped."""
    made: list[Laboratory] = []

    def make(
        settings: RunSettings | None = None,
        evaluator: FakeEvaluator | None = None,
        name: str = "s",
    ) -> Laboratory:
        lab = Laboratory(tmp_path / name, settings, evaluator)
        made.append(lab)
        return lab

    yield make
    for lab in made:
        if lab.task is not None and not lab.task.done():
            await lab.stop()
