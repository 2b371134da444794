"""Tasks derived from references: what is learned on the meta device, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from avo_tui.evaluation import case_coverage, task_dynamic_checks
from avo_tui.evaluation.backends.cuda.launch_plan import TensorSpec
from avo_tui.evaluation.case_coverage import gaps
from avo_tui.evaluation.loading import load_task
from avo_tui.evaluation.references import adopting
from avo_tui.evaluation.references import task as references_task
from avo_tui.evaluation.references.adopting import adopt, wishes_for
from avo_tui.evaluation.references.deriving import Wishes, derive
from avo_tui.evaluation.references.files import Companions
from avo_tui.evaluation.references.formats import read
from avo_tui.evaluation.references.sample import BadReferenceError, ReferenceSample
from avo_tui.evaluation.references.source import Reference
from avo_tui.evaluation.references.spec import ReferenceSpec, Sizes
from avo_tui.evaluation.references.task import CudaReference, ReferenceTask
from avo_tui.evaluation.sandbox.run import Sandbox

LINEAR = """\
import torch
from torch import nn

batch = 16
features = 32
hidden = width = 8


class Model(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)
        self.unused = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x, scale):
        return torch.relu(self.norm(self.linear(x))) * scale


def get_inputs():
    return [torch.rand(batch, features), 0.5]


def get_init_inputs():
    return [features, width]
"""
PAIR = """\
import torch


def generate_input(rows: int, columns: int = 48, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=generator) if torch.empty(0).device.type == "cpu" \\
        else torch.randn(rows, columns)
    return x, torch.zeros(rows, dtype=torch.int64)


def ref_kernel(data):
    x, index = data
    return x.gather(1, index[:, None])[:, 0] + x.sum(-1)
"""
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


@pytest.fixture
def unconfined(monkeypatch: pytest.MonkeyPatch) -> None:
    """References are derived in the test's own process: another would import torch for seconds.

    For tests of what is derived; that it runs confined, and comes back the same, others show.
    """

    async def here(
        text: str,
        wishes: Wishes,
        sandbox: Sandbox,
        companions: Companions | None = None,
        progress: adopting.Progress = lambda text: None,
    ) -> ReferenceSpec:
        reference = read(text, wishes.origin, companions=companions)
        form = derive(reference, wishes, progress).model_dump(mode="json")
        return ReferenceSpec.model_validate(json.loads(json.dumps(form)))

    monkeypatch.setattr(adopting, "derive", here)


@pytest.mark.parametrize(
    ("text", "sizes"), [(LINEAR, {}), (PAIR, {"rows": 20}), (json.dumps(DEFINITION), {})]
)
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


def adopted(tmp_path: Path, text: str, language: str = "cpp", name: str = "mine") -> ReferenceTask:
    file = tmp_path / f"{name}.py"
    file.write_text(text)
    adopt(file, tmp_path / name, wishes_for(name, language, str(file)), Sandbox())
    task = load_task(tmp_path / name)
    assert isinstance(task, ReferenceTask)
    return task


NORM = """
import torch
from torch import nn

rows = 8
features = 48


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.scale = nn.Parameter(torch.ones(features))
        self.gain = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.norm(x) * self.scale * self.gain


def get_inputs():
    return [torch.randn(rows, features)]
"""


@pytest.mark.usefixtures("unconfined")
def test_a_kernel_cannot_leave_out_weights_that_a_module_begins_with_ones_and_zeros(
    tmp_path: Path,
) -> None:
    task = adopted(tmp_path, NORM)
    configuration = task.configurations[0]
    inputs, again, other = (task.make_inputs(configuration, seed, "normal") for seed in (1, 1, 2))
    honest = task.reference(configuration, inputs)["out"]
    torch.testing.assert_close(task.baselines()["torch"](configuration, inputs)["out"].double(),
                               honest, rtol=1e-4, atol=1e-4)  # fmt: skip
    for name in ("norm_weight", "norm_bias", "scale", "gain"):
        assert torch.equal(inputs[name], again[name])
        assert not torch.equal(inputs[name], other[name])
        neutral = {"norm_bias": 0.0, "gain": 2.0}.get(name, 1.0)
        without = {**inputs, name: torch.full_like(inputs[name], neutral)}
        lazy = task.reference(configuration, without)["out"]
        assert (lazy - honest).abs().max() > 0.05, name


@pytest.mark.usefixtures("unconfined")
def test_the_baseline_follows_the_weights_without_swapping_them_in_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = adopted(tmp_path, LINEAR)
    run, configuration = task.baselines()["torch"], task.configurations[0]
    monkeypatch.setattr(torch.func, "functional_call", None)  # would raise
    first, second = (task.make_inputs(configuration, seed, "normal") for seed in (1, 2))
    outputs = [run(configuration, inputs)["out"] for inputs in (first, second, first)]
    assert torch.equal(outputs[0], outputs[2]) and not torch.equal(outputs[0], outputs[1])
    monkeypatch.undo()
    for inputs, output in zip((first, second), outputs, strict=False):
        torch.testing.assert_close(output, task.reference(configuration, inputs)["out"].float())
    first["linear_weight"].zero_()  # the same tensor with other numbers counts too
    first["linear_bias"].fill_(1.0)
    own = run(configuration, first)["out"]
    torch.testing.assert_close(own, task.reference(configuration, first)["out"].float())


@pytest.mark.usefixtures("unconfined")
def test_large_inputs_are_drawn_on_the_device_that_they_are_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = adopted(tmp_path, LINEAR, "cuda")
    assert isinstance(task, CudaReference)
    devices: list[str] = []
    draw = type(task.loaded).draw

    def watched(self: Reference, sizes: Sizes, seed: int, device: str) -> ReferenceSample:
        devices.append(device)
        return draw(self, sizes, seed, device)

    monkeypatch.setattr(type(task.loaded), "draw", watched)
    configuration = task.configurations[0]
    inputs = {
        spec.name: torch.empty(spec.shape, device="meta")
        for spec in task.tensors(configuration)
        if not spec.output
    }
    task.fill(configuration, 3, "outliers", inputs)
    monkeypatch.setattr(references_task, "ON_THE_DEVICE", 0)
    task.fill(configuration, 3, "outliers", inputs)
    assert devices == ["cpu", "meta"]


@pytest.mark.gpu
@pytest.mark.parametrize("text", [LINEAR, PAIR.replace("rows: int", "rows: int = 64")])
def test_the_gpu_draws_large_inputs_the_same_for_the_same_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU that torch sees")
    monkeypatch.setattr(references_task, "ON_THE_DEVICE", 0)
    task = adopted(tmp_path, text, "cuda")
    configuration = task.configurations[0]
    one, again, other = (task.make_inputs(configuration, seed, "normal") for seed in (1, 1, 2))
    assert all(tensor.is_cuda for tensor in one.values())
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    own = task.own(configuration, one)["out"]
    exact = task.reference(configuration, one)["out"]
    torch.testing.assert_close(own.double(), exact.double(), rtol=1e-3, atol=1e-3)
