"""The candidates of the Hopper lineage: complete, and compiled as the harness would."""

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

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "hopper_lineage"
HEAD: dict[str, Any] = tomllib.loads((FOLDER / "lineage.toml").read_text())
ENTRIES = {entry["name"]: entry for entry in HEAD["entry"]}
OURS = [name for name, entry in ENTRIES.items() if entry["kind"] != "seed"]
HOPPER = DeviceFacts.of_architecture("sm_90a")
WGMMA = [n for n in OURS if not n.startswith(("01", "02", "03"))]
EVERYTHING = bool(os.environ.get("AVO_COMPILE_ALL"))
"""All of them, and the tries beside: minutes of compiling for sources that rest."""
VERSIONS = [n for n in OURS if ENTRIES[n]["kind"] == "version"]
COMPILED = OURS if EVERYTHING else [VERSIONS[-1]]
"""The newest, unless all are asked for: the others do not change."""


def task(name: str) -> CudaTask:
    found = find_tasks().get(name)
    assert isinstance(found, CudaTask)
    return found


def test_lineage_is_complete() -> None:
    folders = {entry["folder"] for entry in ENTRIES.values() if "folder" in entry}
    there = {
        str(path.relative_to(FOLDER))
        for kind in ("versions", "failed", "transfers")
        for path in (FOLDER / kind).iterdir()
    }
    assert folders == there
    assert len(ENTRIES) == len(HEAD["entry"])
    before: set[str] = set()
    for name, entry in ENTRIES.items():
        assert entry["kind"] in {"seed", "version", "failed", "transfer"}
        assert (entry["kind"] == "seed") == ("folder" not in entry)
        assert entry.get("parent", "00_seed") in before | {"00_seed"}, name
        assert entry["title"] and entry["plan"] and entry["outcome"], name
        if entry["kind"] == "version":
            assert entry["prediction"] and entry["summary"], name
        before.add(name)


@pytest.mark.parametrize("of", ["mha_forward", "gqa_forward"])
@pytest.mark.parametrize("name", OURS)
def test_manifest_resolves_for_every_shape(name: str, of: str) -> None:
    candidate = read_candidate(FOLDER / ENTRIES[name]["folder"])
    plans = plans_for(task(of), candidate, HOPPER)
    shapes = {c.name for c in task(of).configurations}
    assert shapes < set(plans)  # and the hidden ones
    for plan in plans.values():
        for stage in plan.stages:
            assert 0 < stage.shared_memory <= 232_448


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", COMPILED)
async def test_compiles_as_claimed(name: str) -> None:
    seen: list[EvaluationProgress] = []
    entry = ENTRIES[name]
    compiled = await CudaBackend(architecture="sm_90a").compile(
        task("mha_forward"),
        read_candidate(FOLDER / entry["folder"]),
        Context(Sandbox(), seen.append, False),
    )
    resources = compiled.resources
    assert resources.spill_bytes == entry.get("spills", 0)
    assert resources.registers == entry.get("registers", resources.registers)
    assert not any("serialized" in text for text in resources.warnings)
    if name in WGMMA:
        assert resources.instructions["HGMMA"] >= 16
