"""A recurrent layer with pruned weights: h_t = tanh(W h_{t-1} + x_t), fp16, for many time steps.

W is sparse and the same for all steps, so that a kernel which keeps it on chip only has to exchange
h between steps. After Zhu, Pool, Andersch, Appleyard, Xie: Sparse persistent RNNs, ICLR 2018.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.launch_plan import TensorSpec
from avo_tui.evaluation.backends.cuda.manual import manual
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.task import CheckCase, Perturbation, PreparedBaseline, Tolerance

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Baseline, Tensors

GAIN = 0.8
"""Norm of a row of W. Below 1 the recurrence forgets, so that rounding errors stay bounded."""
X_SCALE = 0.5
"""Standard deviation of x."""
DISTRIBUTIONS = {
    "normal": "plain inputs",
    "uneven": "rows with very different numbers of nonzeros",
    "half_columns": "all nonzeros in one half of the columns",
    "small": "inputs of small magnitude",
    "saturated": "activations near their limits",
}
SCORED = (
    (1152, 10, 4, 256),
    (2304, 30, 4, 256),
    (2304, 10, 16, 64),
    (4608, 10, 4, 256),
    (4608, 30, 4, 64),
    (10368, 1, 4, 64),
)
"""(hidden, density in per cent, batch, steps). The last one's dense weights take 215 MB."""


def row_limit(hidden: int, density: float) -> int:
    """The most nonzeros that a row of W can have: five deviations above the mean, times eight."""
    mean = density * hidden
    return min(hidden, 8 * math.ceil((mean + 5.0 * math.sqrt(mean)) / 8))


def shape(name: str, hidden: int, percent: float, batch: int, steps: int) -> Configuration:
    """A configuration; `percent` of the weights are not zero."""
    return Configuration(
        name=name or f"h{hidden}-d{percent}-b{batch}-t{steps}",
        parameters={"hidden": hidden, "percent": percent, "batch": batch, "steps": steps},
    )


def _sizes(configuration: Configuration) -> tuple[int, float, int, int]:
    """(hidden, density, batch, steps)."""
    p = configuration.parameters
    return int(p["hidden"]), float(p["percent"]) / 100.0, int(p["batch"]), int(p["steps"])


def _describe() -> str:
    """The problem with its contract, and the manual of the launch manifest."""
    here = Path(__file__).with_name("description.md").read_text(encoding="utf-8")
    return f"{here}\n{manual()}"


class SparseRnn(CudaTask):
    """h_t = tanh(W h_{t-1} + x_t) with pruned W, fp16 with sums in fp32."""

    name = "sparse_rnn"
    title = "Sparse recurrent layer, weights on chip (fp16)"
    description = _describe()
    reference_baseline = "graph_gemm"
    baseline_names = ("graph_gemm", "cudnn", "graph_csr")
    # fp16 rounds by up to 2^-11 of a value; states are at most 1, a row is h_t of one sequence.
    tolerance = Tolerance(factor=2.0, floor=2.0 * 2.0**-11, rms_factor=1.4, rms_floor=2.0**-14)
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"o": ("step", "sequence", "row")}
    timed = ("normal", "uneven")

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return tuple(shape("", *sizes) for sizes in SCORED)

    def tensors(self, configuration: Configuration) -> tuple[TensorSpec, ...]:
        hidden, _, batch, steps = _sizes(configuration)
        return (
            TensorSpec(name="w", dtype="f16", shape=(hidden, hidden), weight=True),
            TensorSpec(name="h0", dtype="f16", shape=(batch, hidden)),
            TensorSpec(name="x", dtype="f16", shape=(steps, batch, hidden)),
            TensorSpec(name="o", dtype="f16", shape=(steps, batch, hidden), output=True),
        )

    def names(self, configuration: Configuration) -> dict[str, int | float]:
        hidden, density, batch, steps = _sizes(configuration)
        return {
            "HIDDEN": hidden,
            "BATCH": batch,
            "STEPS": steps,
            "ROW_MAX": row_limit(hidden, density),
        }

    def fill(
        self, configuration: Configuration, seed: int, distribution: str, inputs: Tensors
    ) -> None:
        import torch

        if distribution not in DISTRIBUTIONS:
            raise ValueError(f"there is no distribution {distribution!r}")
        hidden, density, _, _ = _sizes(configuration)
        w, x, h0 = inputs["w"], inputs["x"], inputs["h0"]
        generator = torch.Generator(device=w.device).manual_seed(seed)
        kept = _pattern(hidden, density, distribution, generator)
        counts = kept.sum(dim=1, keepdim=True, dtype=torch.float32).clamp_min_(1.0)
        w.normal_(generator=generator)
        w.mul_((GAIN / counts.sqrt()).to(w.dtype)).mul_(kept)
        scale = {"small": 0.02, "saturated": 4.0}.get(distribution, X_SCALE)
        x.normal_(generator=generator).mul_(scale)
        h0.uniform_(-1.0, 1.0, generator=generator)
        if distribution == "small":
            h0.mul_(0.02)

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """In fp64, with no rounding between the steps."""
        import torch

        out = torch.empty(inputs["x"].shape, dtype=torch.float32, device=inputs["x"].device)
        transposed = inputs["w"].double().T
        state = inputs["h0"].double()
        for step, x in enumerate(inputs["x"]):
            state = torch.tanh(torch.addmm(x.double(), state, transposed))
            out[step] = state
        return {"o": out}

    def own(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """Sums in fp32, the state rounded to fp16 after every step, as libraries do."""
        import torch

        out = torch.empty_like(inputs["x"])
        transposed = inputs["w"].float().T
        state = inputs["h0"]
        for step, x in enumerate(inputs["x"]):
            out[step] = torch.tanh(torch.addmm(x.float(), state.float(), transposed))
            state = out[step]
        return {"o": out}

    def perturb(
        self, configuration: Configuration, inputs: Tensors, seed: int
    ) -> Perturbation | None:
        """x changed from a random step on in one sequence: all else must keep every bit."""
        import torch

        steps, batch, _ = inputs["x"].shape
        device = inputs["x"].device
        generator = torch.Generator(device=device).manual_seed(seed ^ 0x5EED)
        first = int(torch.randint(0, steps, (), generator=generator, device=device))
        sequence = int(torch.randint(0, batch, (), generator=generator, device=device))
        changed = inputs["x"].clone()
        changed[first:, sequence].neg_()
        same = torch.ones((steps, batch, 1), dtype=torch.bool, device=device)
        same[first:, sequence] = False
        return Perturbation(
            inputs={"x": changed},
            unaffected={"o": same},
            meaning="states depend on a later step or on another sequence of the batch",
        )

    def check_cases(self) -> tuple[CheckCase, ...]:
        small = (
            (shape("small-256", 256, 10, 4, 8), "normal"),
            (shape("small-640", 640, 30, 8, 17), "uneven"),
            (shape("small-1152", 1152, 1, 16, 32), "half_columns"),
        )
        hidden = (
            (shape("hidden-1", 384, 20, 4, 100), "half_columns"),
            (shape("hidden-2", 128, 50, 16, 3), "uneven"),
            (shape("hidden-3", 1280, 5, 8, 64), "saturated"),
            (shape("hidden-4", 2432, 30, 4, 40), "uneven"),
            (shape("hidden-5", 3072, 2, 16, 20), "small"),
            (shape("hidden-6", 5120, 0.5, 4, 1), "normal"),
        )
        cases = [
            CheckCase(c, d, category=DISTRIBUTIONS[d], repeat=True, perturb=True) for c, d in small
        ]
        cases += [
            CheckCase(c, d, hidden=True, category=DISTRIBUTIONS[d], repeat=True, perturb=i % 2 == 0)
            for i, (c, d) in enumerate(hidden)
        ]
        kinds = ("normal", "uneven", "small", "half_columns", "saturated", "uneven")
        cases += [
            CheckCase(c, d, category=DISTRIBUTIONS[d], repeat=True, perturb=i == 1)
            for i, (c, d) in enumerate(zip(self.configurations, kinds, strict=True))
        ]
        return tuple(cases)

    def baselines(self) -> Mapping[str, Baseline]:
        """Those that this machine has; none without a GPU."""
        import torch

        if not torch.cuda.is_available():
            return {}
        return {
            "graph_gemm": _Graph(_Dense),
            "cudnn": _Graph(_Cudnn),
            "graph_csr": _Graph(_Sparse),
        }

    def flops(self, configuration: Configuration) -> float:
        """Two for each nonzero weight, sequence and step: zeros are not counted."""
        hidden, density, batch, steps = _sizes(configuration)
        return 2.0 * density * hidden * hidden * batch * steps

    def bytes_moved(self, configuration: Configuration) -> float:
        """x read, h written, and every nonzero weight read once with a 16-bit column index."""
        hidden, density, batch, steps = _sizes(configuration)
        return 4.0 * steps * batch * hidden + 4.0 * density * hidden * hidden


def _pattern(
    hidden: int, density: float, distribution: str, generator: torch.Generator
) -> torch.Tensor:
    """Which weights are kept, (hidden, hidden): at random, no row with more than its limit."""
    import torch

    device = generator.device
    chance = torch.full((hidden, 1), density, device=device)
    if distribution == "uneven":
        # From empty rows to full ones; the mean stays below the density.
        chance.mul_(torch.rand((hidden, 1), generator=generator, device=device).mul_(1.6))
        chance[torch.randint(0, hidden, (4,), generator=generator, device=device)] = 0.0
        chance[torch.randint(0, hidden, (4,), generator=generator, device=device)] = 1.0
    kept = torch.rand((hidden, hidden), generator=generator, device=device) < chance
    if distribution == "half_columns":
        half = int(torch.randint(0, 2, (), generator=generator, device=device)) * (hidden // 2)
        other = hidden // 2 - half
        again = torch.rand((hidden, hidden // 2), generator=generator, device=device) < chance
        kept[:, half : half + hidden // 2] |= again
        kept[:, other : other + hidden // 2] = False
    limit = row_limit(hidden, density)
    if bool((kept.sum(dim=1) > limit).any()):
        kept &= kept.cumsum(dim=1, dtype=torch.int32) <= limit
    return kept


class _Library(ABC):
    """One run of a library over all steps, on inputs whose addresses stay."""

    @abstractmethod
    def run(self) -> torch.Tensor:
        """All states, (steps, batch, hidden); allocates nothing that outlives it but the result."""

    def refresh(self, inputs: Tensors) -> bool:
        """Takes new weights over; False where it has to be made and captured anew."""
        return True


class _Graph(PreparedBaseline):
    """A library's steps captured in one CUDA graph, so that no launch waits for the host."""

    def __init__(self, make: Callable[[Tensors], _Library]) -> None:
        self._make = make
        self._library: _Library | None = None
        self._key: tuple[object, ...] = ()

    def prepare(self, configuration: Configuration, inputs: Tensors) -> None:
        """Converts the weights; captures the steps where they were not, on these addresses."""
        import torch

        key = (configuration.name, *(t.data_ptr() for t in inputs.values()))
        if self._library is not None and key == self._key and self._library.refresh(inputs):
            return
        self._key = ()
        with torch.no_grad():
            self._library = library = self._make(inputs)
            self._graph = torch.cuda.CUDAGraph()
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                library.run()  # libraries choose their kernels and take their memory here
                side.synchronize()
                self._graph.capture_begin()
                self._out = library.run()
                self._graph.capture_end()
            torch.cuda.current_stream().wait_stream(side)
        self._key = key

    def __call__(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        if not self._key:
            self.prepare(configuration, inputs)
        self._graph.replay()
        return {"o": self._out}


class _Dense(_Library):
    """One product with the dense matrix (cuBLAS) and one tanh for each step."""

    def __init__(self, inputs: Tensors) -> None:
        import torch

        self._x, self._h0, self._transposed = inputs["x"], inputs["h0"], inputs["w"].T
        self._out = torch.empty_like(self._x)

    def run(self) -> torch.Tensor:
        out = self._out
        out.copy_(self._x)
        for step in range(len(out)):
            out[step].addmm_(self._h0 if step == 0 else out[step - 1], self._transposed)
            out[step].tanh_()
        return out


class _Sparse(_Library):
    """One product with the matrix in CSR (cuSPARSE) and one tanh for each step."""

    def __init__(self, inputs: Tensors) -> None:
        import torch

        self._x, self._h0, self._rows = inputs["x"], inputs["h0"], inputs["w"].to_sparse_csr()
        self._out = torch.empty_like(self._x)

    def refresh(self, inputs: Tensors) -> bool:
        return False  # another number of nonzeros

    def run(self) -> torch.Tensor:
        import torch

        out = self._out
        out.copy_(self._x)
        for step in range(len(out)):
            state = self._h0 if step == 0 else out[step - 1]
            torch.addmm(out[step].T, self._rows, state.T, out=out[step].T)
            out[step].tanh_()
        return out


class _Cudnn(_Library):
    """cuDNN's recurrent layer. It multiplies its input by a matrix too: here by the identity."""

    def __init__(self, inputs: Tensors) -> None:
        import torch

        w = inputs["w"]
        self._x, self._h0 = inputs["x"], inputs["h0"][None]
        layer = torch.nn.RNN(len(w), len(w), bias=False, device=w.device, dtype=w.dtype)
        layer.weight_ih_l0.copy_(torch.eye(len(w), device=w.device, dtype=w.dtype))
        self._layer = layer.eval()
        self.refresh(inputs)

    def refresh(self, inputs: Tensors) -> bool:
        import torch

        with torch.no_grad():
            self._layer.weight_hh_l0.copy_(inputs["w"])
        return True

    def run(self) -> torch.Tensor:
        out: torch.Tensor = self._layer(self._x, self._h0)[0]
        return out
