"""The inputs of timed calls as files: what a program reads is what the harness draws."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from avo_tui.domain.questions import InputsWanted, ScratchQuestion
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cpp.glue import c_header
from avo_tui.evaluation.input_files import DrawnInputs, drawn_inputs, write_input_files
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.ports import EvaluatorError
from tests.evaluation.evaluation_support import needs_compiler

TASK = "tiny_attention"
PROGRAM = """
#include <cmath>
#include <cstdio>
#include "inputs.h"
int main() {
    const float* q = inputs_q();
    double sum = 0;
    const long count = INPUTS_batch * INPUTS_heads * INPUTS_sequence * 64L;
    for (long i = 0; i < count; ++i) sum += std::fabs(q[i]);
    std::printf("%ld %.6e %d %d\\n", count, sum, (int)((uintptr_t)q % 64), (int)INPUTS_causal);
}
"""


def _drawn(pipeline: Pipeline, **wanted: str | int) -> DrawnInputs:
    return drawn_inputs(pipeline.tasks.get(TASK), InputsWanted.model_validate(wanted))


@needs_compiler
async def test_a_program_sees_the_values_that_the_harness_draws(pipeline: Pipeline) -> None:
    task, files = pipeline.tasks.get(TASK), {"main.cpp": PROGRAM}
    for configuration in task.configurations:
        kind = task.timed[-1]
        wanted = InputsWanted(configuration=configuration.name, kind=kind, seed=7)
        report = await pipeline.ask(TASK, ScratchQuestion(files=files, inputs=wanted, seconds=30.0))
        assert report.exit_code == 0, report
        expected = task.make_inputs(configuration, 7, kind)["q"]
        count, total, misaligned, causal = report.stdout.split()
        assert int(count) == expected.numel() and misaligned == "0"
        assert float(total) == pytest.approx(float(expected.double().abs().sum()), rel=1e-6)
        assert bool(int(causal)) == configuration.parameters["causal"]


@needs_compiler
async def test_a_program_that_asks_for_none_gets_none(pipeline: Pipeline) -> None:
    report = await pipeline.ask(TASK, ScratchQuestion(files={"main.cpp": PROGRAM}))
    assert not report.compiled and "inputs.h" in report.compiler_log


def test_every_seed_gives_other_values_and_the_same_ones_again(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    task = pipeline.tasks.get(TASK)
    texts = []
    for seed in (1, 2, 1):
        write_input_files(task, _drawn(pipeline, seed=seed), tmp_path)
        texts.append((tmp_path / "q.bin").read_bytes())
    assert texts[0] == texts[2] != texts[1]


def test_what_is_not_public_is_not_written(pipeline: Pipeline) -> None:
    """Neither a hidden configuration, nor a kind of values that only hidden cases have."""
    hidden = next(c for c in pipeline.tasks.get(TASK).check_cases() if c.hidden)
    with pytest.raises(EvaluatorError, match="there is no scored configuration"):
        _drawn(pipeline, configuration=hidden.configuration.name)
    with pytest.raises(EvaluatorError, match=r"no inputs of the kind 'nonsense'; kinds: normal"):
        _drawn(pipeline, kind="nonsense")


class Odd:
    """Inputs of several element types, one of them empty and one no contiguous memory."""

    def make_inputs(self, configuration: Configuration, seed: int, kind: str) -> dict[str, object]:
        return {
            "half": torch.arange(6, dtype=torch.float16).view(2, 3).t(),
            "brain": torch.ones(3, dtype=torch.bfloat16),
            "mask": torch.tensor([True, False]),
            "empty": torch.empty(0, 4),
            "one": torch.tensor(5, dtype=torch.int64),
        }


def test_elements_lie_in_order_whatever_their_type(tmp_path: Path) -> None:
    drawn = DrawnInputs(Configuration(name="odd", parameters={"n": 3, "scale": 0.5}), "normal", 1)
    files = write_input_files(Odd(), drawn, tmp_path)  # type: ignore[arg-type]  # all that is used
    half = torch.frombuffer(bytearray((tmp_path / "half.bin").read_bytes()), dtype=torch.float16)
    assert half.tolist() == [0, 3, 1, 4, 2, 5]
    assert {f.name: f.bytes for f in files} == {
        "half": 12, "brain": 6, "mask": 2, "empty": 0, "one": 8,
    }  # fmt: skip
    header = c_header(drawn, files)
    assert "#define INPUTS_scale 0.5" in header and "uint16_t* inputs_brain(void)" in header
    assert "// empty: 0 x 4, float32" in header and "// one: one element, int64" in header


WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None  # not there, as in an installation of what is needed and no more
from pathlib import Path
import torch
from avo_tui.domain.questions import ScratchQuestion
from avo_tui.domain.questions import InputsWanted
from avo_tui.evaluation.input_files import drawn_inputs, write_input_files
from avo_tui.evaluation.tasks import load_task
task = load_task(Path(sys.argv[1]))
write_input_files(task, drawn_inputs(task, InputsWanted(seed=5)), Path(sys.argv[2]))
try:
    torch.zeros(1).numpy()
except RuntimeError:
    print("no numpy")
"""


def test_files_are_written_where_numpy_is_missing(pipeline: Pipeline, tmp_path: Path) -> None:
    task = pipeline.tasks.get(TASK)
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_NUMPY, str(task.folder), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "no numpy\n", done.stderr
    expected = task.make_inputs(task.configurations[0], 5, task.timed[0])
    for name, tensor in expected.items():
        assert (tmp_path / f"{name}.bin").read_bytes() == tensor.numpy().tobytes()
