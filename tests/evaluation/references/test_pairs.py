"""Problems laid out as in GPU MODE's competitions, and definitions with index inputs."""

import json
from pathlib import Path

import pytest
import torch

from avo_tui.evaluation import task_dynamic_checks
from avo_tui.evaluation.loading import load_task
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.references.adopting import adopt, wishes_for
from avo_tui.evaluation.references.deriving import derive
from avo_tui.evaluation.references.files import gather, is_problem_folder, problem_name
from avo_tui.evaluation.references.formats import read
from avo_tui.evaluation.references.source import BadReferenceError
from avo_tui.evaluation.references.spec import ReferenceSpec
from avo_tui.evaluation.sandbox.run import Sandbox

REFERENCE = """\
import torch
from helpers import Exact
from task import input_t


class Scale(torch.nn.Module):
    def __init__(self, columns):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(columns))

    def forward(self, x):
        return x * self.weight


def ref_kernel(data: input_t):
    with Exact():
        x, parts, out = data
        scale = Scale(x.shape[1]).to(x.device)
        scale.weight = torch.nn.Parameter(parts["row.weight"])
        out[...] = scale(x)
        return out


def generate_input(rows: int, columns: int, kind: str, seed: int):
    generator = torch.Generator(device="cuda").manual_seed(seed)
    assert kind == "normal"
    x = torch.randn(rows, columns, device="cuda", generator=generator)
    weight = torch.rand(columns, device=torch.device("cuda:0"), generator=generator).cuda()
    return x, {"row.weight": weight}, torch.empty(rows, columns, device="cuda")
"""
TASK_YML = """\
files:
  - {"name": "helpers.py", "source": "../shared/helpers.py"}
tests:
  - {"rows": 8, "columns": 16, "kind": "normal", "seed": 1}
benchmarks:
  - {"rows": 64, "columns": 32, "kind": "normal", "seed": 2}
"""
HELPERS = """\
import contextlib
from task import input_t


class Exact(contextlib.nullcontext):
    pass
"""


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    """A folder with a reference, a module beside it and one elsewhere, and its arguments."""
    folder = tmp_path / "suite" / "scaled_rows"
    folder.mkdir(parents=True)
    (tmp_path / "suite" / "shared").mkdir()
    (tmp_path / "suite" / "shared" / "helpers.py").write_text(HELPERS)
    (folder / "reference.py").write_text(REFERENCE)
    (folder / "task.py").write_text("input_t = tuple\n")
    (folder / "task.yml").write_text(TASK_YML)
    return folder


def spec_of(folder: Path) -> ReferenceSpec:
    text, companions = gather(folder)
    return derive(
        read(text, "reference.py", companions=companions), wishes_for("mine", "cpp", str(folder))
    )


@pytest.mark.slow
def test_a_problem_folder_is_a_sound_task(problem: Path, tmp_path: Path) -> None:
    """Its modules, arguments, device, nested data and output buffer are all understood."""
    assert is_problem_folder(problem) and problem_name(problem) == "scaled_rows"
    assert problem_name(problem / "reference.py") == "scaled_rows"
    adopt(problem, tmp_path / "mine", wishes_for("mine", "cpp", str(problem)), Sandbox())
    task = load_task(tmp_path / "mine")
    spec = ReferenceSpec.read(tmp_path / "mine")
    assert [t.role for t in spec.tensors] == ["input", "input", "output"]
    assert spec.scored[0].sizes == {"rows": 64, "columns": 32}, "of the first benchmark"
    assert "outputs" in spec.remarks[-1]
    assert [f.text(task) for f in task_dynamic_checks.all_cases(task, 1e9)] == []
    assert (tmp_path / "mine" / "companions.json") in task.own_files()


def test_random_weights_that_are_replaced_are_no_chance(problem: Path) -> None:
    file = problem / "reference.py"
    kept = file.read_text()
    file.write_text(
        kept.replace('        scale.weight = torch.nn.Parameter(parts["row.weight"])\n', "")
    )
    with pytest.raises(Exception, match="draws random numbers"):
        spec_of(problem)
    file.write_text(kept)
    assert spec_of(problem).scored


def test_an_input_that_is_changed_and_read_stays_an_input(problem: Path) -> None:
    file = problem / "reference.py"
    text = file.read_text().replace("torch.empty(", "torch.ones(")
    file.write_text(text.replace("out[...] = scale(x)", "out += scale(x)"))
    assert len(spec_of(problem).of_role("input")) == 3


def test_settings_that_are_no_yaml_are_told(problem: Path) -> None:
    (problem / "task.yml").write_text("tests: [\n")
    with pytest.raises(EvaluatorError, match=r"task\.yml is no YAML"):
        gather(problem)


def test_a_reference_may_look_at_values() -> None:
    """Then it runs with data; shapes must not follow from values all the same."""
    text = (
        "import torch\nn = 6\nclass Model(torch.nn.Module):\n"
        "    def forward(self, x):\n        return x * float(x.sum())\n"
        "def get_inputs():\n    return [torch.rand(n, 4)]\n"
    )
    assert derive(read(text, "m.py"), wishes_for("m", "cpp", "m.py")).axes == ("n",)


PAGED = {
    "axes": {
        "batch": {"type": "var"}, "len_indptr": {"type": "var"}, "total": {"type": "var"},
        "num_pages": {"type": "var"}, "page_size": {"type": "const", "value": 4},
    },
    "constraints": ["len_indptr == batch + 1", "total == kv_indptr[-1].item()", "batch > 0"],
    "inputs": {
        "cache": {"shape": ["num_pages", "page_size"], "dtype": "float32"},
        "kv_indptr": {"shape": ["len_indptr"], "dtype": "int32"},
        "kv_indices": {"shape": ["total"], "dtype": "int32"},
        "kv_last_page_len": {"shape": ["batch"], "dtype": "int32"},
    },
    "outputs": {"sums": {"shape": ["batch"], "dtype": "float32"}},
    "reference": """
import torch
def run(cache, kv_indptr, kv_indices, kv_last_page_len):
    sums = torch.zeros(len(kv_last_page_len), dtype=cache.dtype, device=cache.device)
    for b in range(len(sums)):
        pages = kv_indices[int(kv_indptr[b]) : int(kv_indptr[b + 1])].long()
        if len(pages):
            last = cache[pages[-1], : int(kv_last_page_len[b])]
            sums[b] = cache[pages[:-1]].sum() + last.sum()
    return sums
""",
}  # fmt: skip


@pytest.mark.parametrize("sizes", [{}, {"batch": 1, "total": 3, "num_pages": 2}])
def test_index_inputs_mean_what_their_names_say(sizes: dict[str, int]) -> None:
    reference = read(json.dumps(PAGED), "paged.json")
    assert "len_indptr" not in reference.constants, "it follows from the batch"
    drawn = reference.draw(sizes, 3, "cpu").inputs
    offsets, indices = drawn["kv_indptr"], drawn["kv_indices"]
    assert offsets[0] == 0 and offsets[-1] == len(indices)
    assert bool((offsets.diff() >= 0).all()) and len(offsets) == len(drawn["kv_last_page_len"]) + 1
    assert int(indices.min()) >= 0 and int(indices.max()) < len(drawn["cache"])
    assert 1 <= int(drawn["kv_last_page_len"].min()) <= int(drawn["kv_last_page_len"].max()) <= 4
    again = reference.draw(sizes, 3, "cpu").inputs
    assert all(torch.equal(tensor, again[name]) for name, tensor in drawn.items())


def test_a_definition_with_pages_is_taken_in() -> None:
    spec = derive(read(json.dumps(PAGED), "paged.json"), wishes_for("paged", "cpp", "paged.json"))
    assert set(spec.axes) == {"batch", "num_pages", "total"} and spec.hidden


def test_outputs_of_a_definition_go_by_their_names() -> None:
    definition = {
        "axes": {"n": {"type": "const", "value": 3}},
        "inputs": {"x": {"shape": ["n"], "dtype": "float32"}},
        "outputs": {
            "half": {"shape": ["n"], "dtype": "float32"},
            "double": {"shape": ["n"], "dtype": "float32"},
        },
        "reference": "def run(x):\n    return {'double': 2 * x, 'half': x / 2}\n",
    }
    sample = read(json.dumps(definition), "d.json").draw({}, 3, "cpu")
    outputs = sample.outputs(sample.inputs)
    assert torch.equal(outputs["half"], sample.inputs["x"] / 2)
    assert torch.equal(outputs["double"], sample.inputs["x"] * 2)


def test_what_is_no_json_lacks_nothing() -> None:
    with pytest.raises(BadReferenceError, match="not a definition of FlashInfer-Bench: Expecting"):
        read("{", "d.json")
