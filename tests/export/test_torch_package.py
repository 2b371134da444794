"""The exported package, installed and used by a Python that does not know avo-tui's files."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Deployment
from avo_tui.domain.records import Version
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.deployment import DeploymentRequest, deploy
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.references.adopting import adopt, wishes_for
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.export.folder import ExportError
from avo_tui.export.torch_package import Backward, as_hf_kernel, as_torch, package_name
from avo_tui.store import SessionReader, SessionWriter
from tests.evaluation.single_source_support import agrees_with_torch
from tests.evaluation.toolchains import no_rust
from tests.session_life import AT, gate, score, session_record

Make = Callable[[str, Candidate], SessionReader]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A session with one version."""

    def made(name: str, candidate: Candidate) -> SessionReader:
        folder = tmp_path / name
        with SessionWriter.create(folder, session_record(name)) as writer:
            identity = writer.put(candidate.canonical())
            writer.record(
                ev.VersionCommitted(
                    version=Version(
                        number=0,
                        parent=None,
                        step=0,
                        attempt=1,
                        candidate=identity,
                        score=score(1.0),
                        gate=gate(),
                        author="seed",
                        device="a CPU",
                        created=AT,
                    )
                )
            )
        return SessionReader.open(folder)

    return made


@pytest.fixture(scope="module")
def plain() -> Candidate:
    """A kernel of attention_cpu that compiles quickly."""
    return read_candidate(find_tasks().get("attention_cpu").folder / "plain")


def deployed(task: str, candidate: Candidate, **request: object) -> Deployment:
    wanted = DeploymentRequest(**request)  # type: ignore[arg-type]
    return asyncio.run(deploy(task, candidate, wanted))


def python(folder: Path, *arguments: str) -> str:
    """What a Python prints that finds the package and torch, and not this checkout."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


USE = """
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from my_attention import attention, benchmark, selftest

def inputs(*shape):
    return [torch.randn(*shape) for _ in range(3)]

for causal in (False, True):
    q, k, v = inputs(1, 4, 256, 64)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    assert torch.allclose(attention(q, k, v, causal=causal), expected, atol=1e-5)
asked = inputs(2, 1, 33, 64)
expected = torch.nn.functional.scaled_dot_product_attention(*asked)
assert torch.allclose(attention(*asked), expected, atol=1e-5)

traced = torch.compile(
    lambda q, k, v: attention(q, k, v, causal=True) * 2, fullgraph=True, backend="eager"
)
assert torch.equal(traced(q, k, v), attention(q, k, v, causal=True) * 2)

def refused(kind, words, call):
    try:
        call()
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"not refused: {words}")

for shape in ((2, 4, 256, 64), (3, 1, 1, 64), (1, 2, 77, 64)):
    other = inputs(*shape)
    expected = torch.nn.functional.scaled_dot_product_attention(*other, is_causal=True)
    assert torch.allclose(attention(*other, causal=True), expected, atol=1e-5), shape
traced = torch.compile(lambda *t: attention(*t) * 2, fullgraph=True, backend="eager")
new = inputs(2, 3, 41, 64)
assert torch.equal(traced(*new), attention(*new) * 2), "a shape that is traced first"
refused(ValueError, "q is (1, 4, 256, 32); beside the other inputs it has to be (1, 4, 256, 64)",
        lambda: attention(*inputs(1, 4, 256, 32)))
refused(ValueError, "sequence is 0; this kernel takes 1 to 131072",
        lambda: attention(*inputs(1, 4, 0, 64)))
refused(ValueError, "q has 3 dimensions", lambda: attention(*inputs(4, 256, 64)))
refused(ValueError, "beside the other inputs", lambda: attention(
    q, k[:, :, :255].contiguous(), v))
refused(TypeError, "q is torch.float64", lambda: attention(q.double(), k, v))
refused(ValueError, "k is not contiguous", lambda: attention(
    q, k.transpose(1, 2).contiguous().transpose(1, 2), v))
refused(ValueError, "multiple of 64 bytes", lambda: attention(
    torch.randn(q.numel() + 1)[1:].view(q.shape), k, v))
wanting = q.clone().requires_grad_()
out = attention(wanting, k, v)
refused(NotImplementedError, "forward only", lambda: out.sum().backward())
class Seen(TorchDispatchMode):
    names = []

    def __torch_dispatch__(self, operator, types, arguments=(), keywords=None):
        self.names.append(str(operator))
        return operator(*arguments, **(keywords or {}))

with Seen():
    attention(q, k, v)
assert "my_attention.attention.default" in Seen.names, Seen.names
mirrored = attention(torch._neg_view(q), k, v)
assert torch.equal(mirrored, attention(-q, k, v)), "a view that means the negative of its memory"
with FakeTensorMode() as mode:
    fake = attention(*(mode.from_tensor(t) for t in (q, k, v)))
assert type(fake).__name__ == "FakeTensor" and fake.shape == q.shape
refused(ValueError, "q is on meta", lambda: attention(*(t.to("meta") for t in (q, k, v))))
assert selftest.main() == 0
benchmark.ROUNDS = 1
benchmark.main()
print("all of it")
"""


@pytest.mark.slow
def test_an_installed_package_of_a_cpp_kernel(make: Make, plain: Candidate, tmp_path: Path) -> None:
    further = {"batch": "2", "heads": "1", "sequence": "33", "causal": "0"}
    deployment = deployed("attention_cpu", plain, shapes=[further])
    assert [s.name for s in deployment.shapes if not s.checked] == ["asked-1"]
    reader = make("my-attention", plain)
    done = as_torch(reader, tmp_path / "out", None, deployment)
    readme = (done.folder / "README.md").read_text()
    assert "asked-1" in readme and "sequence from 1 to 131,072" in readme
    site = tmp_path / "site"
    install = ["-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index"]
    python(tmp_path, *install, "--target", str(site), str(done.folder))
    said = python(site, "-c", USE)
    assert "ok  asked-1 against known outputs" in said
    assert "ok  asked-1 against the reference" in said
    assert " ms\nall of it\n" in said


@pytest.mark.parametrize("language", ["c", "rust"])
def test_a_package_of_a_kernel_in_a_further_language(
    make: Make, language: str, tmp_path: Path
) -> None:
    if language == "rust" and no_rust():
        pytest.skip(no_rust())
    task = f"attention_cpu@{language}"
    seed = find_tasks().get(task).seed()
    done = as_torch(make("mine", seed), tmp_path / "out", None, deployed(task, seed))
    readme = (done.folder / "README.md").read_text()
    assert f"a compiler of {language.title()}" in readme and "CUDA" not in readme
    python(done.folder, "setup.py", "-q", "build_ext", "--inplace")
    agrees_with_torch(next((done.folder / "src/mine").glob("_kernel*.so")))


@pytest.mark.slow
def test_its_own_test_sees_a_kernel_that_is_wrong(
    make: Make, plain: Candidate, tmp_path: Path
) -> None:
    deployment = deployed("attention_cpu", plain)
    done = as_torch(make("wrong", plain), tmp_path / "out", None, deployment)
    source = next((done.folder / "src/wrong/source").glob("*.cpp"))
    text = source.read_text()
    assert "s * 0.125f" in text
    source.write_text(text.replace("s * 0.125f", "s * 0.126f"))
    python(done.folder, "setup.py", "-q", "build_ext", "--inplace")
    run = subprocess.run(
        [sys.executable, "-m", "wrong.selftest"],
        cwd=done.folder / "src",
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "FAILED  full-256 against known outputs" in run.stdout


TRACED = """
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from mine import attention
with FakeTensorMode():
    q = torch.empty(1, 256, 2, 128, dtype=torch.bfloat16, device="cuda")
    out = attention(q, q, q)
    print(tuple(out.shape), out.dtype, out.device.type)
"""


LOADED = """
import sys
from pathlib import Path
import kernels, kernels.backends, kernels.variants
from packaging.version import Version
from torch._subclasses.fake_tensor import FakeTensorMode
import torch

kernels.variants._select_backend = lambda name: kernels.backends.CUDA(version=Version("13.0"))
module = kernels.get_local_kernel(Path(sys.argv[1]))
with FakeTensorMode():
    q = torch.empty(1, 256, 2, 128, dtype=torch.bfloat16, device="cuda")
    assert module.attention(q, q, q).shape == q.shape
(loaded,) = kernels.get_loaded_kernels()
assert str(loaded.metadata.name) == "two-words" and loaded.metadata.version == 0
assert loaded.metadata.backend.archs == ["10.0a", "9.0a"], loaded.metadata.backend
assert "two_words_v0" in sys.modules
"""


def test_a_package_of_a_cuda_kernel_holds_what_a_launch_needs(make: Make, tmp_path: Path) -> None:
    pytest.importorskip("cuda.core")
    seed = find_tasks().get("mha_forward").seed()
    deployment = deployed("mha_forward", seed, architectures=["sm_90a", "sm_100a"])
    named = deployment.model_copy(update={"function": "attention"})
    done = as_torch(make("mine", seed), tmp_path / "out", None, named)
    inner = done.folder / "src/mine"
    facts = json.loads((inner / "launches.json").read_text())
    assert [s["name"] for s in facts["settings"]] == ["causal"]
    assert not any("hidden" in s["name"] for s in facts["shapes"])
    for shape in facts["shapes"]:
        assert set(shape["launch"]) == {"sm_90a", "sm_100a"}
        for plan in shape["launch"].values():
            assert (inner / "files" / plan["cubin"]).read_bytes()[:4] == b"\x7fELF"
            assert plan["stages"]
    assert python(done.folder / "src", "-c", TRACED).split() == [
        "(1,", "256,", "2,", "128)", "torch.bfloat16", "cuda",
    ]  # fmt: skip
    pytest.importorskip("kernels")
    layout = as_hf_kernel(make("two-words", seed), tmp_path / "hf", None, named)
    python(tmp_path, "-c", LOADED, str(layout.folder))
    assert "pip install 'cuda-bindings" in (layout.folder / "README.md").read_text()


def test_what_cannot_be_made_is_refused_in_a_sentence(make: Make, tmp_path: Path) -> None:
    seed = find_tasks().get("attention_cpu").seed()
    with pytest.raises(EvaluatorError, match="leave out the architecture"):
        deployed("attention_cpu", seed, architectures=["sm_90a"])
    with pytest.raises(EvaluatorError, match="also needs causal, heads, sequence"):
        deployed("attention_cpu", seed, shapes=[{"batch": "1"}])
    with pytest.raises(EvaluatorError, match="does not know depth"):
        deployed("attention_cpu", seed, shapes=[{"depth": "1"}])
    broken = Candidate(files={"attention.cpp": "int x"})
    with pytest.raises(EvaluatorError, match="does not compile"):
        deployed("attention_cpu", broken)
    with pytest.raises(ExportError, match="use --as torch"):
        as_hf_kernel(make("one", seed), tmp_path / "out", None, deployed("attention_cpu", seed))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("batch", "0", "it must be above 0"),
        ("batch", "-1", "it must be above 0"),
        ("heads", "x", "it is a number, such as 4"),
        ("causal", "maybe", "it is true or 1 or false or 0"),
    ],
)
def test_a_shape_that_is_none_is_refused(
    plain: Candidate, name: str, value: str, words: str
) -> None:
    shape = {"batch": "1", "heads": "4", "sequence": "33", "causal": "1", name: value}
    with pytest.raises(EvaluatorError, match=f"{name}={value}: {words}"):
        deployed("attention_cpu", plain, shapes=[shape])


DOUBLING = """\
import torch
from torch import nn

rows = 6


class Model(nn.Module):
    def forward(self, x):
        if x.shape[0] == 5:
            raise ValueError("five rows are none")
        return x * 2


def get_inputs():
    return [torch.randn(rows, 16)]
"""
DOUBLED = """\
#include <cstdint>

extern "C" void kernel(const float* x, float* out, int64_t rows) {
    for (int64_t i = 0; i < 16 * rows; i++) out[i] = 2 * x[i];
}
"""
DOUBLED_AT_100 = """
import torch
from mine import kernel

x = torch.randn(100, 16)
assert torch.equal(kernel(x), 2 * x)
"""


def test_a_derived_task_s_kernel_is_packed_for_sizes_that_it_was_not_derived_at(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, kernels = tmp_path / "doubling.py", tmp_path / "kernels"
    monkeypatch.setenv("AVO_KERNELS", str(kernels))
    file.write_text(DOUBLING)
    adopt(file, kernels / "doubling", wishes_for("doubling", "cpp", str(file)), Sandbox())
    kernel = Candidate(files={"kernel.cpp": DOUBLED})
    for rows, words in (
        ("5", "rows=5 cannot be a shape of this task: .*five rows are none"),
        (f"{10**14}", f"no inputs can be drawn for the shape rows={10**14}: "),
        (f"{10**30}", f"rows={10**30} cannot be a shape of this task: "),
    ):
        with pytest.raises(EvaluatorError, match=words):
            deployed("doubling", kernel, shapes=[{"rows": rows}])
    deployment = deployed("doubling", kernel, shapes=[{"rows": "100"}, {"rows": "1"}])
    asked = [s.inputs[0].shape for s in deployment.shapes if not s.checked]
    assert asked == [(100, 16), (1, 16)]
    done = as_torch(make("mine", kernel), tmp_path / "out", None, deployment)
    python(done.folder, "setup.py", "-q", "build_ext", "--inplace")
    python(done.folder / "src", "-c", DOUBLED_AT_100)


def test_weights_are_prepared_anew_for_others_at_the_same_address() -> None:
    pytest.importorskip("cuda.bindings")
    torch = pytest.importorskip("torch")
    from avo_tui.evaluation.backends.cuda.package_launch import Weights

    weights, x, w = Weights([1]), torch.zeros(4), torch.zeros(4)
    assert not weights.same([x, w])
    weights.remember([x, w])
    assert weights.same([x, w]) and weights.same([torch.ones(4), w])
    assert not weights.same([x, w.view(4)]), "the same memory, yet not the tensor that was seen"
    w.add_(1)
    assert not weights.same([x, w])
    weights.remember([x, w])
    with torch.inference_mode():
        uncounted = torch.zeros(4)
    weights.remember([x, uncounted])
    assert not weights.same([x, uncounted])


@pytest.mark.parametrize(
    ("session", "package"),
    [
        ("mha-hopper", "mha_hopper"),
        ("2nd try", "kernel_2nd_try"),
        ("class", "kernel_class"),
        ("a", "kernel_a"),
    ],
)
def test_a_session_s_name_as_a_package_s(session: str, package: str) -> None:
    assert package_name(session) == package


PRODUCT = """\
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.task import Argument, CheckCase, Task

SCORED = tuple(
    Configuration(name=f"{rows}-{negative}", parameters={"rows": rows, "negative": negative})
    for rows in (4, 6) for negative in (False, True)
)


class Product(Task):
    name = "NAME"
    title = "NAME"
    language = "cpp"
    device = "cpu"
    reference_baseline = "torch"
    baseline_names = ("torch",)
    entry = "NAME"
    arguments = (
        *(Argument(name, "input") for name in INPUTS),
        *(Argument(name, "output") for name in OUTPUTS),
        Argument("rows", "size"),
        Argument("negative", "flag"),
    )
    axes = dict.fromkeys(OUTPUTS, ("row", "column"))
    timed = ("normal",)
    description = "A product, its sign turned where `negative`."
    configurations = SCORED

    def check_cases(self):
        return tuple(CheckCase(c, "normal") for c in SCORED)

    def make_inputs(self, configuration, seed, distribution):
        import torch

        generator = torch.Generator().manual_seed(seed)
        shape = configuration.parameters["rows"], 32
        return {name: torch.randn(shape, generator=generator) for name in INPUTS}

    def outputs(self, configuration):
        return {name: ((configuration.parameters["rows"], 32), "float32") for name in OUTPUTS}

    def reference(self, configuration, inputs):
        sign = -1 if configuration.parameters["negative"] else 1
        get = {name: tensor.double() for name, tensor in inputs.items()}
        return FORMULA

    def baselines(self):
        return {"torch": self.reference}

    def flops(self, configuration):
        return 32.0 * configuration.parameters["rows"]

    bytes_moved = flops
"""
MULTIPLIED = """\
extern "C" void product(const float* x, const float* w, float* y, float* total, long rows,
                        bool negative) {
    for (long i = 0; i < 32 * rows; i++) {
        y[i] = (negative ? -1 : 1) * x[i] * w[i];
        total[i] = x[i] + w[i];
    }
}
"""
DERIVED = """\
extern "C" void product_backward(const float* dy, const float* total, const float* w, float* dw,
                                 float* dx, long rows, bool negative) {
    for (long i = 0; i < 32 * rows; i++) {
        const float d = (negative ? -1 : 1) * dy[i];
        dx[i] = d * w[i];
        dw[i] = d * (total[i] - w[i]);
    }
}
"""
TRAINED = """
import torch
from pair import product, selftest
import pair.backward.selftest

x, w = (torch.randn(6, 32, requires_grad=True) for _ in range(2))
above = torch.randn(32, 6).T
compiled = torch.compile(
    lambda *t: product(*t, negative=True), fullgraph=True, backend="aot_eager"
)
for call in (product, lambda *t: product(*t, negative=True), compiled):
    sign = 1 if call is product else -1
    y = call(x, w)
    assert torch.equal(y, sign * x * w), "one output, the other is the backward pass's"
    given = torch.autograd.grad(y, (x, w), above)
    wanted = torch.autograd.grad(sign * x * w, (x, w), above)
    assert all(map(torch.allclose, given, wanted)), call
twice = torch.autograd.grad(product(x, w).sum(), x, create_graph=True)[0]
try:
    twice.sum().backward()
except NotImplementedError as error:
    assert "pair_backward.product_backward is forward only" in str(error)
else:
    raise AssertionError("a second derivative")
(only,) = torch.autograd.grad(product(x, w.detach()).sum(), x)
assert torch.allclose(only, w)
with torch.no_grad():
    assert not product(x, w).requires_grad
assert not selftest.compare_sample() and not pair.backward.selftest.compare_sample()
"""


def _product(
    folder: Path, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...], formula: str
) -> None:
    text = PRODUCT.replace("NAME", name).replace("FORMULA", formula)
    text = text.replace("INPUTS", repr(inputs)).replace("OUTPUTS", repr(outputs))
    (folder / name / "seed").mkdir(parents=True, exist_ok=True)
    (folder / name / "task.py").write_text(text)
    source = MULTIPLIED if name == "product" else DERIVED
    (folder / name / "seed" / f"{name}.cpp").write_text(source)


@pytest.fixture
def products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of two tasks, a product and its gradients."""
    folder = tmp_path / "tasks"
    monkeypatch.setenv("AVO_KERNELS", str(folder))
    formula = '{"y": sign * get["x"] * get["w"], "total": get["x"] + get["w"]}'
    _product(folder, "product", ("x", "w"), ("y", "total"), formula)
    formula = (
        '{"dw": sign * get["dy"] * (get["total"] - get["w"]), "dx": sign * get["dy"] * get["w"]}'
    )
    _product(folder, "product_backward", ("dy", "total", "w"), ("dw", "dx"), formula)
    return folder


def test_a_package_of_two_kernels_has_gradients(make: Make, products: Path, tmp_path: Path) -> None:
    seeds = {name: find_tasks().get(name).seed() for name in ("product", "product_backward")}
    deployments = {name: deployed(name, seed) for name, seed in seeds.items()}
    back = make("gradients", seeds["product_backward"])
    backward = Backward(back, back.state.versions[0], deployments["product_backward"])
    reader = make("pair", seeds["product"])
    done = as_torch(reader, tmp_path / "out", None, deployments["product"], backward)
    readme = (done.folder / "README.md").read_text()
    assert "Gradients are v0's of the session gradients" in readme
    python(done.folder, "setup.py", "-q", "build_ext", "--inplace")
    python(done.folder / "src", "-c", TRAINED)
    for wrong, words in (
        (replace_names(backward, {"total": "sums"}), "its input sums .* is nothing that"),
        (replace_names(backward, {"dx": "dz"}), "its output dz .* is the gradient of no input"),
    ):
        with pytest.raises(ExportError, match=words):
            as_torch(reader, tmp_path / "other", None, deployments["product"], wrong)


def replace_names(backward: Backward, names: dict[str, str]) -> Backward:
    """The same kernel with other names of its tensors."""
    text = backward.deployment.model_dump_json(exclude={"sample", "files"})
    for old, new in names.items():
        text = text.replace(f'"name":"{old}"', f'"name":"{new}"')
    return replace(backward, deployment=Deployment.model_validate_json(text))
