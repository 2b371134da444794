"""How many kernels one run may launch is the task's to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda.compiled import plans_for
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.loading import load_task
from avo_tui.evaluation.templates import write_template
from avo_tui.operators.toolbox.variants import variants_of

STAGE = """\
[[stages]]
entry = "rmsnorm"
grid = ["ROWS"]
block = [256]
params = [{ tensor = "x" }, { tensor = "w" }, { tensor = "out" }, { i32 = "COLUMNS" }]
"""


@pytest.mark.parametrize(
    ("allowed", "asked", "passes"),
    [(8, 8, True), (8, 9, False), (64, 64, True), (64, 65, False)],
)
def test_launches(
    tmp_path: Path, allowed: int, asked: int, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_task(write_template("mine", "cuda", tmp_path))
    assert isinstance(task, CudaTask)
    monkeypatch.setattr(type(task), "most_launches", allowed)
    files = {**task.seed().files, "launch.toml": STAGE * asked}
    facts = DeviceFacts.of_architecture("sm_90a")
    if passes:
        plans = plans_for(task, Candidate(files=files), facts)
        assert all(len(plan.stages) == asked for plan in plans.values())
    else:
        with pytest.raises(Rejected) as refused:
            plans_for(task, Candidate(files=files), facts)
        assert "stages" in refused.value.feedback.summary + refused.value.feedback.detail


def test_a_swept_tunable_reaches_the_expressions_of_the_manifest(tmp_path: Path) -> None:
    """A variant asks for the shared memory of its own tile, not of the source's default."""
    task = load_task(write_template("mine", "cuda", tmp_path))
    assert isinstance(task, CudaTask)
    (name, text), *_ = ((n, t) for n, t in task.seed().files.items() if n.endswith(".cu"))
    seed = Candidate(
        files={
            name: f"#define TILE 16  // tune: 16 32 64\n{text}",
            "launch.toml": f'{STAGE}shared_memory = "TILE * 1024"\n',
        }
    )
    facts = DeviceFacts.of_architecture("sm_90a")
    for variant, tile in zip(variants_of("", seed, {"TILE": ["16", "64"]}), (16, 64), strict=True):
        plans = plans_for(task, variant.candidate, facts).values()
        assert {plan.stages[0].shared_memory for plan in plans} == {tile * 1024}
