"""What the evaluator's tests share: a task that is quick to time, and its pipeline."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.evaluation.evaluation_support import TASKS


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """A benchmark and time limits short enough for tests."""
    from avo_tui.evaluation.backends.cpp import benchmark, candidate_process, process

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "WARM_UP", 0.0)
        patch.setattr(benchmark, "RETRIES", 0)
        patch.setattr(benchmark, "SHORTEST", 0.0)
        patch.setattr(benchmark, "SAMPLES", 12)
        patch.setattr(benchmark, "PAIRED_SHORTEST", 0.0)
        patch.setattr(candidate_process, "_BASE_SECONDS", 1.0)
        # little output, so that what prints too much need not wait for a busy harness to read it
        limits = replace(process.LIMITS, memory_bytes=200 << 20, output_bytes=96 << 10)
        patch.setattr(process, "LIMITS", limits)
        yield


@pytest.fixture
def scratch_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this test's sandboxes keep their folders; empty again afterwards."""
    tmp_path.chmod(0o711)
    for parent in tmp_path.parents:  # pytest closes its folders to other users
        if not parent.name.startswith(("pytest-", "popen-")):
            break
        parent.chmod(0o711)
    monkeypatch.setenv("AVO_SCRATCH", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # a lock that no session holds
    yield tmp_path
    left = [p.name for p in tmp_path.glob("avo-[0-9]*")]
    assert not left, f"scratch folders were left behind: {left}"


@pytest.fixture(scope="module")
def shared_pipeline(quick: None) -> object:
    """One for all candidates of a file, as in a worker: it measures the machine once."""
    from avo_tui.evaluation.pipeline import Pipeline

    return Pipeline(TASKS)


@pytest.fixture
def pipeline(shared_pipeline: object, scratch_base: Path) -> object:
    """The pipeline, with scratch folders of the test's own."""
    return shared_pipeline
