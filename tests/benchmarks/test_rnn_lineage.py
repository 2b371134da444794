"""The lineage of sparse recurrent kernels: complete, and compiled as the harness would."""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.backends.base import Context
from avo_tui.evaluation.backends.cuda.backend import CudaBackend
from avo_tui.evaluation.backends.cuda.compiled import plans_for
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.tasks import find_tasks

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "rnn_lineage"
HEAD: dict[str, Any] = tomllib.loads((FOLDER / "lineage.toml").read_text())
ENTRIES = {entry["name"]: entry for entry in HEAD["entry"]}
OURS = [name for name, entry in ENTRIES.items() if entry["kind"] != "seed"]
VERSIONS = [n for n in OURS if ENTRIES[n]["kind"] == "version"]
HOPPER = DeviceFacts.of_architecture("sm_90a")


@pytest.fixture(scope="module")
def task() -> CudaTask:
    found = find_tasks().get("sparse_rnn")
    assert isinstance(found, CudaTask)
    return found


def test_lineage_is_complete() -> None:
    folders = {entry["folder"] for entry in ENTRIES.values() if "folder" in entry}
    there = {p.parent.relative_to(FOLDER).as_posix() for p in FOLDER.glob("*/*/launch.toml")}
    assert folders == there
    before = {"00_seed"}
    for name, entry in ENTRIES.items():
        assert entry["kind"] in {"seed", "version", "failed"}
        assert entry.get("parent", "00_seed") in before, name
        assert entry["title"] and entry["plan"] and entry["summary"], name
        assert entry["prediction"] and entry["outcome"], name
        before.add(name)


@pytest.mark.parametrize("name", OURS)
def test_blocks_that_wait_for_each_other_are_all_resident(task: CudaTask, name: str) -> None:
    """Cooperative, no more blocks than multiprocessors, and shared memory that a block can have."""
    plans = plans_for(task, read_candidate(FOLDER / ENTRIES[name]["folder"]), HOPPER)
    assert {c.configuration.name for c in task.check_cases()} == set(plans)
    for plan in plans.values():
        (stage,) = plan.stages
        assert stage.cooperative
        assert stage.grid[0] <= HOPPER.sms
        assert stage.shared_memory <= HOPPER.shared_memory


@pytest.mark.parametrize("name", OURS)
def test_prepared_memory_is_read_only_and_the_exchange_is_not_prepared(
    task: CudaTask, name: str
) -> None:
    plans = plans_for(task, read_candidate(FOLDER / ENTRIES[name]["folder"]), HOPPER)
    for plan in plans.values():
        prepared = {p.buffer for s in plan.prepare for p in s.params if p.kind == "pointer"}
        assert "exchange" not in prepared
        assert prepared <= {"w", "packed", "lengths"}


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("AVO_COMPILE_ALL"), reason="AVO_COMPILE_ALL is not set")
@pytest.mark.timeout(600)
async def test_the_newest_version_compiles_without_spills(task: CudaTask) -> None:
    seen: list[EvaluationProgress] = []
    compiled = await CudaBackend(architecture="sm_90a").compile(
        task,
        read_candidate(FOLDER / ENTRIES[VERSIONS[-1]]["folder"]),
        Context(Sandbox(), seen.append, False),
    )
    assert compiled.resources.spill_bytes == 0
    assert compiled.resources.instructions["HMMA"] >= 24
