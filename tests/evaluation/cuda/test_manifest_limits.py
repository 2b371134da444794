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
