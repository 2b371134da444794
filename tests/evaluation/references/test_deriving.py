"""Tasks derived from references: what is learned on the meta device, and what is refused."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from avo_tui.evaluation import case_coverage, task_dynamic_checks
from avo_tui.evaluation.backends.cuda.launch_plan import TensorSpec
from avo_tui.evaluation.case_coverage import gaps
from avo_tui.evaluation.loading import load_task
from avo_tui.evaluation.measurement.drawing import draw_by
from avo_tui.evaluation.references import adopting
from avo_tui.evaluation.references.adopting import adopt, wishes_for
from avo_tui.evaluation.references.deriving import Wishes, derive
from avo_tui.evaluation.references.describing import cpp_description
from avo_tui.evaluation.references.formats import read
from avo_tui.evaluation.references.hidden_sizes import (
    OTHER_SIZES,
    near,
    other_sizes,
    with_drawn_sizes,
)
from avo_tui.evaluation.references.source import BadReferenceError
from avo_tui.evaluation.references.spec import Case, ReferenceSpec
from avo_tui.evaluation.references.task import ReferenceTask, reference_cases
from avo_tui.evaluation.sandbox.run import Sandbox
from tests.evaluation.references.examples import LINEAR, PAIR

DEFINITION = {
    "name": "gemm_n8_k32",
    "axes": {
        "M": {"type": "var"},
        "N": {"type": "const", "value": 8},
        "K": {"type": "const", "value": 32},
    },
    "inputs": {
        "A": {"shape": ["M", "K"], "dtype": "float16"},
        "B": {"shape": ["N", "K"], "dtype": "float16"},
    },
    "outputs": {"C": {"shape": ["M", "N"], "dtype": "float16"}},
    "reference": "import torch\n\ndef run(A, B):\n    return torch.matmul(A, B.T)\n",
}


def derived(text: str, **wishes: object) -> ReferenceSpec:
    chosen = {"name": "mine", "language": "cpp", "origin": "model.py", **wishes}
    mode = bool(chosen.get("evaluation_mode"))
    return derive(read(text, "model.py", evaluation_mode=mode), Wishes(**chosen))  # type: ignore[arg-type]


@pytest.mark.parametrize("full", [*range(1, 140), 1000, 4096])
def test_hidden_sizes_leave_every_remainder_that_a_tail_can_have(full: int) -> None:
    sizes = other_sizes(full)
    assert sizes and len(sizes) == len(set(sizes)) <= len(OTHER_SIZES)
    assert all(1 <= size <= full for size in sizes)
    if full > 20:  # the main loop ran before, and the scored size itself is a remainder, too
        assert {size % 4 for size in [*sizes, full] if size > 16} == {0, 1, 2, 3}
    for size in sizes:
        case = Case(name="odd-1", sizes={"n": size}, shapes={}, flops=1, bytes=1)
        for seed in range(5):
            moved = near(case, {"n": full}, random.Random(seed))["n"]
            assert 1 <= moved <= full and moved % 8 == size % 8 and (moved > 16) == (size > 16)


def test_the_sizes_of_hidden_cases_stand_in_no_file() -> None:
    spec = derived(LINEAR.replace("batch = 16", "batch = 900"))
    assert all(case.pattern for case in spec.hidden)
    read = {case.sizes["batch"] for case in spec.hidden}
    drawn, greatest = set(), []
    for secret in range(8):
        draw_by(f"secret {secret}")
        again = with_drawn_sizes(spec)
        assert again == with_drawn_sizes(spec) and len(again.hidden) == len(spec.hidden)
        drawn.add(tuple(case.sizes["batch"] for case in again.hidden))
        near, far = again.hidden[-2:]
        assert near.name == "above-batch" and 900 < near.sizes["batch"] <= 1407
        assert far.name == "above-far-batch" and 1350 < far.sizes["batch"] <= 14401
        greatest.append(far.sizes["batch"])
    assert max(greatest) > 3000, "spread evenly over orders of magnitude"
    draw_by("")
    assert len(drawn) == 8, "each session has its own"
    assert not any(set(sizes) == read for sizes in drawn)


def test_a_reference_that_runs_at_few_sizes_keeps_them() -> None:
    before = "        return torch.relu"
    few = f"        assert len(x) in (900, 451, 450, 46, 3)\n{before}"
    spec = derived(LINEAR.replace("batch = 16", "batch = 900").replace(before, few))
    assert {c.sizes["batch"]: c.pattern for c in spec.hidden} == {3: True, 46: False}
    assert with_drawn_sizes(spec) == spec


def test_a_module_gives_tensors_weights_work_and_axes() -> None:
    spec = derived(LINEAR)
    assert [t.name for t in spec.of_role("input")] == ["x"], "the number is baked in"
    weights = [t.name for t in spec.of_role("weight")]
    assert weights == ["linear_weight", "linear_bias", "norm_weight", "norm_bias"]
    assert spec.axes == ("batch",), "another width would need other weights"
    full = spec.scored[0]
    assert full.shapes == {
        "x": (16, 32), "linear_weight": (8, 32), "linear_bias": (8,), "norm_weight": (8,),
        "norm_bias": (8,), "out": (16, 8),
    }  # fmt: skip
    assert 2 * 16 * 32 * 8 <= full.flops <= 2 * 16 * 32 * 8 + 2000
    assert full.bytes == 4 * (16 * 32 + 8 * 32 + 8 + 8 + 8 + 16 * 8)
    assert all(c.sizes["batch"] not in (16, 8) for c in spec.hidden) and spec.hidden
    assert any("unused" in remark for remark in spec.remarks)


def test_sizes_are_reduced_until_they_fit_and_chosen_ones_stay() -> None:
    spec = derived(LINEAR, sizes={"batch": 16}, most_flops=3000.0)
    assert spec.scored[0].flops <= 3000 and spec.scored[0].sizes == {"batch": 16}
    assert spec.remarks and "sizes were reduced" in spec.remarks[0]


SOLVE = """\
import torch

n = 12


class Model(torch.nn.Module):
    def forward(self, a, b):
        low = torch.tril(a) + 8 * torch.eye(n)
        return torch.linalg.solve_triangular(low, b, upper=False)


def get_inputs():
    return [torch.randn(4, n, n), torch.randn(4, n, 3)]
"""


def test_tensors_that_a_module_makes_come_where_its_inputs_are() -> None:
    assert [t.name for t in derived(SOLVE).tensors] == ["a", "b", "out"]


SPECTRUM = """\
import torch

n = 48


class Model(torch.nn.Module):
    def forward(self, x, keys):
        counts = torch.zeros(8, dtype=torch.int64)
        return torch.fft.fft(x), counts.scatter_add(0, keys, torch.ones_like(keys))


def get_inputs():
    return [torch.randn(5, n, dtype=torch.complex64), torch.randint(0, 8, (100,))]
"""


@pytest.mark.usefixtures("unconfined")
async def test_complex_and_whole_outputs_are_judged_closely(tmp_path: Path) -> None:
    file, folder = tmp_path / "model.py", tmp_path / "kernels" / "mine"
    file.write_text(SPECTRUM)
    await asyncio_adopt(file, folder, {})
    task = load_task(folder)
    weak = list(case_coverage.gaps(task))
    assert not [text for text in weak if "tolerance" in text or "finds" in text], weak
    assert task.tolerance_of("out0").floor < 1e-4
    assert task.flops(task.configurations[0]) >= 5 * 48


def test_a_pair_needs_its_sizes() -> None:
    with pytest.raises(BadReferenceError, match=r"takes rows: say them.*--set rows="):
        derived(PAIR)
    spec = derived(PAIR, sizes={"rows": 20})
    assert set(spec.axes) == {"rows", "columns"}
    assert [(t.name, t.dtype) for t in spec.tensors] == [
        ("data0", "float32"), ("data1", "int64"), ("out", "float32"),
    ]  # fmt: skip


def test_a_flashinfer_definition() -> None:
    spec = derived(json.dumps(DEFINITION))
    assert spec.axes == ("M",) and spec.scored[0].sizes == {"M": 64}
    assert spec.scored[0].flops >= 2 * 64 * 8 * 32
    assert [t.name for t in spec.of_role("output")] == ["C"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\n", "neither Model and get_inputs"),
        ("def broken(:\n", "model.py \\(line 1\\)"),
        (LINEAR.replace("return [features, width]", "return [features]"), "TypeError"),
        (LINEAR.replace("get_inputs():\n", "get_inputs():\n    1 / 0\n"), "line 21.*ZeroDivision"),
        (LINEAR.replace("return torch.relu(", "return torch.dropout("), "does not run .TypeError"),
        (LINEAR.replace(") * scale", ").bernoulli()"), "draws random numbers.*--eval"),
        (
            LINEAR.replace("return torch.relu(", "x.mul_(2)\n        return torch.relu("),
            "changes its input x",
        ),
        (LINEAR.replace("return torch.relu(", "return 3, torch.relu("), "returns a int"),
        (LINEAR.replace(", 0.5]", ", object()]"), "gives a object as scale"),
        (json.dumps({"axes": {}}), "not a definition of FlashInfer-Bench"),
        (
            json.dumps({**DEFINITION, "inputs": {"i": {"shape": ["M"], "dtype": "int32"}}}),
            "the input i is int32",
        ),
    ],
)
def test_what_cannot_be_a_task_is_told_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(BadReferenceError, match=says) as caught:
        derived(text)
    assert "\n" not in str(caught.value)


def test_a_case_is_perturbed_wherever_slices_are_independent() -> None:
    """Here the first case with two slices along the axis has more than what is scored."""
    text = AWKWARD.replace("BODY", "return x * 2").replace("INPUTS", "[torch.randn(b, n)]")
    spec = derived(text.replace("n = 16", "b = 2\nn = 256"))
    assert spec.independent is not None
    assert any(case.perturb for case in reference_cases(spec))


@pytest.mark.parametrize(
    ("text", "sizes"), [(LINEAR, {}), (PAIR, {"rows": 20}), (json.dumps(DEFINITION), {})]
)
@pytest.mark.slow
async def test_an_adopted_reference_is_a_sound_task(
    tmp_path: Path, text: str, sizes: dict[str, int], request: pytest.FixtureRequest
) -> None:
    """Derived in the sandbox, written, loaded, and every method run on every case."""
    if text is not LINEAR:  # the others differ in nothing that the sandbox sees
        request.getfixturevalue("unconfined")
    spec = derived(text, sizes=sizes)
    file = tmp_path / "model.py"
    file.write_text(text)
    folder = tmp_path / "kernels" / "mine"
    await asyncio_adopt(file, folder, sizes)
    task = load_task(folder)
    assert isinstance(task, ReferenceTask) and task.spec == spec.model_copy(
        update={"origin": str(file)}
    )
    assert [f.text(task) for f in task_dynamic_checks.all_cases(task, 1e9)] == []
    assert "computes nothing" in task.seed().files["kernel.cpp"]
    assert ("def run" if text.startswith("{") else text) in task.description + "\n"
    assert task.info().seedless
    assert task.work(task.configurations[0]).nominal, "a shortcut may need less"
    mixes = text is LINEAR  # batch statistics: every row depends on all others
    assert any(case.perturb for case in task.check_cases()) is not mixes
    assert list(gaps(task)) == []


async def asyncio_adopt(file: Path, folder: Path, sizes: dict[str, int]) -> None:
    import asyncio

    wishes = wishes_for("mine", "cpp", str(file), sizes=sizes)
    await asyncio.to_thread(adopt, file, folder, wishes, Sandbox())


COLUMNS = """
import torch
rows, columns = 24, 40
class Model(torch.nn.Module):
    def forward(self, x):
        return BODY
def get_inputs():
    return [torch.randn(rows, columns)]
"""


@pytest.mark.parametrize(
    ("body", "axis", "dimensions"),
    [
        ("torch.softmax(x, dim=-1)", "rows", (0, 0)),
        ("torch.cumsum(x, dim=0).t().contiguous()", "rows", (0, 1)),
        ("x.cumsum(0) + x.flip(0).cumsum(0)", "columns", (1, 1)),
        ("x - x.mean()", None, None),
        ("x.sum()", None, None),
        ("torch.ones_like(x)[:, 0] * (x * 0).sum(1)", None, None),  # nothing would be tested
    ],
)
def test_slices_that_do_not_depend_on_each_other_are_found(
    body: str, axis: str | None, dimensions: tuple[int, int] | None
) -> None:
    independent = derived(COLUMNS.replace("BODY", body)).independent
    if axis is None or dimensions is None:
        assert independent is None
    else:
        assert independent is not None and independent.axis == axis
        assert (independent.inputs, independent.outputs) == (
            {"x": dimensions[0]}, {"out": dimensions[1]},
        )  # fmt: skip


@pytest.mark.usefixtures("unconfined")
def test_the_check_of_a_single_number_says_nothing_is_missing(tmp_path: Path) -> None:
    """A loss has no rows to exchange and no slices to leave unaffected."""
    file = tmp_path / "loss.py"
    file.write_text(COLUMNS.replace("BODY", "x.square().mean()"))
    adopt(file, tmp_path / "mine", wishes_for("mine", "cpp", str(file)), Sandbox())
    assert list(gaps(load_task(tmp_path / "mine"))) == []


def test_a_reference_cannot_write_or_reach_the_network(tmp_path: Path) -> None:
    """What runs before anything was agreed runs where it cannot harm."""
    victim = tmp_path / "victim"
    reach = 'import socket; socket.create_connection(("127.0.0.1", 9), 1)'
    for line in (f"open({str(victim)!r}, 'w')", f"open({str(Path.home() / '.x')!r}, 'w')", reach):
        file = tmp_path / "model.py"
        file.write_text(f"{line}\n{LINEAR}")
        with pytest.raises(Exception, match=r"model\.py"):
            adopt(file, tmp_path / "task", wishes_for("task", "cpp", str(file)), Sandbox())
    assert not victim.exists() and not (tmp_path / "task").exists()


def test_a_reference_imports_what_pythonpath_leads_to(
    scratch_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages outside the interpreter's own folder; not the person's files beside them."""
    installed, own = scratch_base / "installed", scratch_base / "own"
    for folder, name in ((installed, "far_away"), (own, "private")):
        folder.mkdir(mode=0o755)
        (folder / f"{name}.py").write_text("WORD = 'from afar'\n")
        monkeypatch.syspath_prepend(folder)
    (installed / "far_away-1.0.dist-info").mkdir(mode=0o755)
    assert str(installed) in adopting.added_packages()
    assert str(own) not in adopting.added_packages()
    file = scratch_base / "model.py"
    file.write_text(f"import far_away\nraise ValueError(far_away.WORD)\n{LINEAR}")
    with pytest.raises(Exception, match="from afar"):
        adopt(file, scratch_base / "task", wishes_for("task", "cpp", str(file)), Sandbox())


@pytest.mark.usefixtures("unconfined")
def test_for_the_gpu_weights_are_weights_and_the_manual_is_there(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text(LINEAR)
    adopt(file, tmp_path / "mine", wishes_for("mine", "cuda", str(file)), Sandbox())
    task = load_task(tmp_path / "mine")
    specs: tuple[TensorSpec, ...] = task.tensors(task.configurations[0])  # type: ignore[attr-defined]
    assert next(s.name for s in specs if s.weight) == "linear_weight"
    assert "launch.toml" in task.description and task.unit in {"TFLOP/s", "GB/s"}
    assert set(task.seed().files) == {"kernel.cu", "launch.toml"}
    task_dynamic_checks.first_look(task)


def test_outputs_that_jump_are_recognised_and_said() -> None:
    router = (
        "import torch\nBATCH, HIDDEN = 6, 32\n"
        "class Model(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.gate = torch.nn.Parameter(torch.randn(HIDDEN, 9))\n"
        "    def forward(self, x):\n"
        "        top = torch.topk(x @ self.gate, 3, dim=-1)\n"
        "        return torch.softmax(top.values, dim=-1), top.indices\n"
        "def get_inputs():\n    return [torch.randn(BATCH, HIDDEN)]\n"
        "def get_init_inputs():\n    return []\n"
    )
    spec = derived(router)
    outputs = [t.name for t in spec.of_role("output")]
    assert spec.jumping == (outputs[1],), "the chosen values themselves do not jump"
    assert f"`{outputs[1]}` jumps" in cpp_description(spec, "kernel", router)
    assert derived(LINEAR).jumping == ()


AWKWARD = """\
import sys
import torch

n = 16


def twice(x):
    return x * 2


class Model(torch.nn.Module):
    twice = staticmethod(twice)

    def forward(self, x):
        BODY


def get_inputs():
    return INPUTS


def get_init_inputs():
    return []
"""


def test_a_layout_that_is_lost_is_told() -> None:
    text = AWKWARD.replace("BODY", "return x + 1").replace("INPUTS", "[torch.randn(n, 4).t()]")
    assert any("contiguous" in mode for mode in derived(text).modes)
    assert not any("contiguous" in mode for mode in derived(text.replace(".t()", "")).modes)


def test_the_first_configuration_is_called_what_it_is() -> None:
    text = AWKWARD.replace("BODY", "return x + 1").replace("INPUTS", "[torch.randn(n, 64)]")
    names = [
        derived(text, **wishes).scored[0].name
        for wishes in ({}, {"sizes": {"n": 12}}, {"most_bytes": 5e3})
    ]
    assert names == ["as-given", "as-set", "reduced"]


@pytest.mark.parametrize(
    ("body", "inputs", "words"),
    [
        ("return torch.nonzero(x)", "[torch.randn(n)]", "return a mask"),
        ("return x[x > 0]", "[torch.randn(n)]", "the shape of out depends on values"),
        ("return torch.unique(x)", "[torch.randint(0, 9, (n,))]", "depends on values"),
        ("sys.exit(0)", "[torch.randn(n)]", "SystemExit"),
        ("return x", "sys.exit(0)", "SystemExit"),
        ("return x.mul_(2)", "[torch.randn(n)]", "x = x.clone()"),
        ("return torch.unique(x)", "[torch.randint(0, 2, (n,))]", "depends on values"),
        ("return torch.add(x, x, out=x)", "[torch.randn(n)]", "x = x.clone()"),
        ("return x[:0]", "[torch.randn(n)]", "has no elements"),
        ("return x", "[torch.randn(n)]", "computes nothing of its inputs"),
        ("return x * 2, (x, x)", "[torch.randn(n)]", "out1[0], out1[1]"),
        ("return x.sum().item()", "[torch.randn(n)]", "return torch.tensor(…)"),
        ("return x[0]", "[(torch.randn(n), 1)]", "give each part as an argument"),
        ("return torch.autograd.grad(x.sum(), x)", "[torch.randn(n)]", "torch.enable_grad()"),
        (
            "self.n = getattr(self, 'n', 0) + 1; return x * self.n",
            "[torch.randn(n)]",
            "call to call",
        ),
        ("return x.to_sparse()", "[torch.randn(n)]", "return out.to_dense()"),
        (
            "return torch.quantize_per_tensor(x.float(), 0.1, 0, torch.quint8)",
            "[torch.randn(n)]",
            "return out.int_repr()",
        ),
        ("return (part * 2 for part in x.chunk(2))", "[torch.randn(n)]", "tuple(…)"),
        (
            "return torch.nn.functional.dropout(x, 0.3)",
            "[torch.randn(n)]",
            "training=self.training",
        ),
        (
            "return torch._int_mm(x, x)",
            "[torch.randint(-9, 9, (32, 32), dtype=torch.int8)]",
            "such as a.float() @ b.float()",
        ),
        (
            "with torch.autocast('cpu', dtype=torch.bfloat16): return x @ x",
            "[torch.randn(n, n)]",
            "x.to(torch.bfloat16) @ w.to(torch.bfloat16)",
        ),
        ("return torch.load('weights.pt')", "[torch.randn(n)]", "No such file"),
        ("return torch.jit.script(self.twice)(x)", "[torch.randn(n)]", ""),
        ("return x + 1", "{'x': torch.randn(n), 'y': 1}", ""),
        ("return x + 1", "torch.randn(n)", ""),
        ("return x[x > 0].sum()", "[torch.randn(n)]", ""),
        ("return torch.nonzero(x > 0).shape[0] + x", "[torch.randn(n)]", ""),
    ],
)
def test_awkward_references_are_derived_or_told_how_to_be_rewritten(
    body: str, inputs: str, words: str
) -> None:
    text = AWKWARD.replace("BODY", body).replace("INPUTS", inputs)
    wishes = Wishes("mine", "cpp", "model.py")
    if not words:
        assert derive(read(text, "model.py"), wishes).tensors
        return
    with pytest.raises(BadReferenceError, match=re.escape(words)):
        derive(read(text, "model.py"), wishes)
