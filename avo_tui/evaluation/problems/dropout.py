"""Attention with dropout behind its projection: what the tasks on it share.

Y = X Wᵀ, O = (softmax(QKᵀ/√d) ⊙ M/(1−p)) V. The mask M is defined bit by bit in `dropout_mask`.
Layouts: x (batch, seq, hidden), w (columns, hidden) as in torch's nn.Linear, columns = (heads + 2
kv_heads) · 128 with the queries first, then keys, then values; o (batch, seq, heads, 128). Query
head h reads key/value head h // (heads // kv_heads).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.launch_plan import TensorSpec
from avo_tui.evaluation.backends.cuda.manual import manual
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.problems.dropout_mask import (
    DROP_BELOW,
    DROPOUT,
    MULTIPLIERS,
    ROUNDS,
    WEYL,
    keep_mask,
)
from avo_tui.evaluation.task import CheckCase, Tolerance

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Baseline, Tensors

HEAD_DIM = 128
SCALE = 1.0 / math.sqrt(HEAD_DIM)
SCORE_BLOCK = 1 << 27
"""Elements of the attention matrix that the reference holds at a time."""

PROBE_BITS = 4
"""Keys that one column of an output tells of in the distribution `probe`."""

CATEGORIES = {
    "normal": "plain inputs",
    "large_logits": "large logits",
    "outliers": "outlier channels",
    "small": "inputs of small magnitude",
    "probe": "the mask, bit by bit",
}


def describe(rows: str, y: str) -> str:
    """The description of a task: the problem with its contract, and the manual of the manifest.

    `rows`: the rows of the table of tensors for the operands of the projection. `y`: what Y is and
    how it may be rounded.
    """
    return f"""# Attention with dropout behind its projection
{y} Then O = (softmax(Q Kᵀ / √128) ⊙ M / (1 − p)) V with p = 0.1,
bf16 out, accumulated in fp32, head_dim 128, no causal mask. The softmax is normalised *before*
dropout: its denominator is the sum over all keys, dropped ones included.

| tensor | shape | dtype |
|---|---|---|
{rows}
| `seed` | (2) | i32, input: the key of the generator, other values in every run |
| `o` | (`BATCH`, `SEQ`, `HEADS`, 128) | bf16, output |

All are contiguous. `COLUMNS` = (`HEADS` + 2 · `KV_HEADS`) · 128: first the queries, head by head,
then the keys, then the values. Query head h reads key/value head h // `GROUP`.

## The mask, bit by bit
Element (b, h, i, j) of the attention matrix (batch, query head, query row, key) is decided by one
32-bit word of Philox4x32 with {ROUNDS} rounds. One call gives the words of four elements: the rows
i and i + 8 of a group of 16, and two neighbouring keys, which is what one thread holds of an
m16n8 tile of an MMA.

    key     = (seed[0], seed[1])                         # as unsigned words
    counter = (j // 2,  8 · (i // 16) + i % 8,  b · HEADS + h,  0)
    word    = Philox4x32-{ROUNDS}(counter, key)[2 · (i // 8 % 2) + j % 2]
    keep    = word >= {DROP_BELOW}                        # unsigned; 0x{DROP_BELOW:08X}

One round on (c0, c1, c2, c3) with key (k0, k1), hi and lo the halves of a 64-bit product:

    c = (hi(c2 · 0x{MULTIPLIERS[1]:08X}) ^ c1 ^ k0,  lo(c2 · 0x{MULTIPLIERS[1]:08X}),
         hi(c0 · 0x{MULTIPLIERS[0]:08X}) ^ c3 ^ k1,  lo(c0 · 0x{MULTIPLIERS[0]:08X}))
    k = (k0 + 0x{WEYL[0]:08X}, k1 + 0x{WEYL[1]:08X})     # between rounds, not before the first

The mask is checked bit by bit: some inputs of the check make every output tell which keys were
kept, for every head, row and batch. Timed outputs are judged with their mask, too. Nothing but `o`
has to be written: random numbers may be made inside attention, by a kernel of their own into a
workspace (one bit an element is enough), or beside the projection.

Names for expressions: `BATCH`, `SEQ`, `TOKENS` (`BATCH` · `SEQ`), `HIDDEN`, `COLUMNS`, `HEADS`,
`KV_HEADS`, `GROUP`, `HEAD_DIM`, and for `f32` the reals `SCALE` (1/√128), `SCALE_LOG2`
(`SCALE` · log2 e) and `KEEP_SCALE` (1 / (1 − p)).

Scored on: a small block (hidden 2,048, 16 heads, 2 sequences of 2,048), Llama 2 7B (hidden 4,096,
32 heads) with one sequence of 4,096 and of 8,192, Llama 2 70B (hidden 8,192, 64 query heads on 8
key heads) with one sequence of 4,096. Work: 2 · tokens · hidden · columns operations of the
projection and 4 · batch · heads · seq² · 128 of attention; random numbers count as none.

It must be right for every shape with seq a multiple of 128 from 128 to 8,192, hidden a multiple of
64 from 192 on, and any batch and number of heads from 1 on.

{manual()}"""


def shape(name: str, batch: int, seq: int, hidden: int, heads: int, kv_heads: int) -> Configuration:
    """A configuration of the task."""
    parameters: dict[str, int | float | bool | str] = {
        "batch": batch,
        "seq": seq,
        "hidden": hidden,
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": HEAD_DIM,
    }
    return Configuration(name=name, parameters=parameters)


def columns(configuration: Configuration) -> int:
    """Columns of Y: the rows of w."""
    p = configuration.parameters
    return (int(p["heads"]) + 2 * int(p["kv_heads"])) * HEAD_DIM


def project(configuration: Configuration, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Q, K and V as views of Y (batch, seq, columns): (batch, heads, seq, 128) each."""
    p = configuration.parameters
    heads, kv_heads = int(p["heads"]), int(p["kv_heads"])
    parts = y.view(y.shape[0], y.shape[1], -1, HEAD_DIM).transpose(1, 2)
    q, k, v = parts.split([heads, kv_heads, kv_heads], dim=1)
    return q, k, v


class DropoutTask(CudaTask):
    """Projection and attention with a dropout mask; a subclass says what type x and w have."""

    reference_baseline = "flash"
    baseline_names = ("flash", "cudnn")
    # Three roundings to bf16 beyond twice the library's own error: an honest kernel rounds Y, its
    # weights and its output. A projection that adds up in another order rounds some of Y to the
    # other side; where few keys take the weight of a row, that alone is a rounding of the output.
    tolerance = Tolerance(factor=2.0, floor=3.0 * 2.0**-8, rms_factor=1.4, rms_floor=2.0**-13)

    logits: ClassVar[float] = 5.0
    """Standard deviation of the logits in the distribution `large_logits`; 1 in `normal`."""

    @abstractmethod
    def operands(self, configuration: Configuration) -> tuple[TensorSpec, ...]:
        """The inputs of the projection; among them x (batch, seq, hidden), w (columns, hidden)."""

    @abstractmethod
    def project_exactly(self, inputs: Tensors) -> torch.Tensor:
        """Y in fp32, (batch, seq, columns)."""

    @abstractmethod
    def project_by_library(self, inputs: Tensors) -> torch.Tensor:
        """Y in bf16, (batch, seq, columns), as a library gives it."""

    @abstractmethod
    def unfilled(self, inputs: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """x and w that `fill` writes: the inputs themselves, or wider ones for `store`."""

    @abstractmethod
    def store(
        self,
        inputs: Tensors,
        x: torch.Tensor,
        w: torch.Tensor,
        distribution: str,
        generator: torch.Generator,
    ) -> None:
        """Writes what `fill` drew into the inputs, where it is not there already."""

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return (
            shape("small", 2, 2048, 2048, 16, 16),
            shape("llama2-7b-4k", 1, 4096, 4096, 32, 32),
            shape("llama2-7b-8k", 1, 8192, 4096, 32, 32),
            shape("llama2-70b-4k", 1, 4096, 8192, 64, 8),
        )

    def check_cases(self) -> tuple[CheckCase, ...]:
        """Cheapest first. Probes tell the mask of every element; the rest is told by no pattern."""
        tiny, grouped = shape("tiny", 1, 256, 256, 2, 2), shape("grouped", 2, 384, 320, 4, 2)
        hidden = (
            shape("hidden-1", 3, 128, 192, 5, 5),
            shape("hidden-2", 1, 1152, 448, 6, 3),
            shape("hidden-3", 2, 640, 1024, 8, 1),
        )
        cases = [
            self._case(tiny, "normal", repeat=True),
            self._case(tiny, "probe"),
            self._case(grouped, "probe"),
            self._case(grouped, "large_logits", repeat=True),
        ]
        for number, configuration in enumerate(hidden):
            other = ("normal", "large_logits", "outliers", "small")
            for distribution in ("probe", other[number], other[number + 1]):
                cases.append(self._case(configuration, distribution, hidden=True))
        for number, configuration in enumerate(self.configurations):
            distribution = ("probe", "normal", "outliers", "probe")[number]
            cases.append(self._case(configuration, distribution, repeat=True))
        return tuple(cases)

    @staticmethod
    def _case(
        configuration: Configuration,
        distribution: str,
        *,
        hidden: bool = False,
        repeat: bool = False,
    ) -> CheckCase:
        category = CATEGORIES[distribution]
        return CheckCase(configuration, distribution, hidden, category, repeat)

    def tensors(self, configuration: Configuration) -> tuple[TensorSpec, ...]:
        p = {k: int(v) for k, v in configuration.parameters.items()}
        rows = (p["batch"], p["seq"])
        return (
            *self.operands(configuration),
            TensorSpec(name="seed", dtype="i32", shape=(2,)),
            TensorSpec(name="o", dtype="bf16", shape=(*rows, p["heads"], HEAD_DIM), output=True),
        )

    def names(self, configuration: Configuration) -> dict[str, int | float]:
        p = {k: int(v) for k, v in configuration.parameters.items()}
        return {
            "BATCH": p["batch"],
            "SEQ": p["seq"],
            "TOKENS": p["batch"] * p["seq"],
            "HIDDEN": p["hidden"],
            "COLUMNS": columns(configuration),
            "HEADS": p["heads"],
            "KV_HEADS": p["kv_heads"],
            "GROUP": p["heads"] // p["kv_heads"],
            "HEAD_DIM": HEAD_DIM,
            "SCALE": SCALE,
            "SCALE_LOG2": SCALE * math.log2(math.e),
            "KEEP_SCALE": 1.0 / (1.0 - DROPOUT),
        }

    def fill(
        self, configuration: Configuration, seed: int, distribution: str, inputs: Tensors
    ) -> None:
        """Q, K and V are standard normal in `normal`; the generator's key is drawn anew."""
        import torch

        x, w = self.unfilled(inputs)
        generator = torch.Generator(device=x.device).manual_seed(seed)
        inputs["seed"].random_(-(2**31), 2**31, generator=generator)
        x.normal_(generator=generator)
        w.normal_(std=x.shape[-1] ** -0.5, generator=generator)
        queries = int(configuration.parameters["heads"]) * HEAD_DIM
        values = w.shape[0] - int(configuration.parameters["kv_heads"]) * HEAD_DIM
        if distribution == "large_logits":
            w[:queries].mul_(self.logits)
        elif distribution == "small":
            w[:queries].mul_(0.05)
            w[values:].mul_(0.01)
        elif distribution == "outliers":
            x[..., 3].mul_(8.0)
            w[3:queries:HEAD_DIM].mul_(4.0)
            x[:, ::97].mul_(2.0)
        elif distribution == "probe":
            self._probe(configuration, x, w, queries, values, generator)
        elif distribution != "normal":
            raise ValueError(f"there is no distribution {distribution!r}")
        self.store(inputs, x, w, distribution, generator)

    @staticmethod
    def _probe(
        configuration: Configuration,
        x: torch.Tensor,
        w: torch.Tensor,
        queries: int,
        values: int,
        generator: torch.Generator,
    ) -> None:
        """Inputs whose outputs tell which keys were kept.

        All weights of the softmax are nearly equal (queries of size 2^-10). Value column d is fed
        by one input channel alone, in which at most four keys are not zero: 1, 2, 4 and 8. So
        O[i, d] is proportional to a number whose four bits are kept or dropped keys of row i. Of a
        long sequence 512 keys, drawn at random, are told of. Channels, keys and their columns are
        drawn, too, and the rest of x stays random: nothing but a look at w tells these inputs from
        others.
        """
        import torch

        _, seq, hidden = x.shape
        device = x.device
        channels = torch.randperm(hidden, generator=generator, device=device)[:HEAD_DIM]
        w[:queries].mul_(2.0**-10)
        w[values:] = 0
        rows = torch.arange(w.shape[0] - values, device=device)
        w[values + rows, channels[rows % HEAD_DIM]] = 1.0
        kept = torch.zeros(seq, hidden, device=device)
        told = torch.randperm(seq, generator=generator, device=device)[: PROBE_BITS * HEAD_DIM]
        number = torch.arange(len(told), device=device)
        kept[told, channels[number % HEAD_DIM]] = torch.exp2((number // HEAD_DIM).float())
        x[..., channels] = kept[:, channels].to(x.dtype)

    def _blocks(self, configuration: Configuration) -> Iterator[tuple[int, int, int, int]]:
        """Batch, head, first row and end of row of what is computed at a time."""
        p = {k: int(v) for k, v in configuration.parameters.items()}
        rows = max(64, min(p["seq"], SCORE_BLOCK // p["seq"]))
        for b in range(p["batch"]):
            for h in range(p["heads"]):
                for start in range(0, p["seq"], rows):
                    yield b, h, start, min(p["seq"], start + rows)

    def _attend(
        self, configuration: Configuration, inputs: Tensors, y: torch.Tensor, *, rounded: bool
    ) -> torch.Tensor:
        """Attention on Y in fp32; `rounded` rounds the unnormalised weights to bf16."""
        import torch

        q, k, v = project(configuration, y)
        heads, seq = q.shape[1], q.shape[2]
        group = heads // k.shape[1]
        out = torch.empty(q.shape[0], seq, heads, HEAD_DIM, dtype=torch.float32, device=y.device)
        for b, h, start, stop in self._blocks(configuration):
            keys, values = k[b, h // group].float(), v[b, h // group].float()
            scores = (q[b, h, start:stop].float() * SCALE) @ keys.T
            weights = torch.exp_(scores.sub_(scores.amax(dim=-1, keepdim=True)))
            total = weights.sum(dim=-1, keepdim=True)
            if rounded:
                weights = weights.to(torch.bfloat16).float()
            weights.mul_(keep_mask(inputs["seed"], b * heads + h, start, stop, seq))
            out[b, start:stop, h] = (weights @ values).div_(total.mul_(1.0 - DROPOUT))
        return out

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """In fp32 throughout, one head and a block of rows at a time."""
        y = self.project_exactly(inputs)
        return {"o": self._attend(configuration, inputs, y, rounded=False)}

    def own(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """The library's projection in bf16, then the roundings of a good bf16 attention by hand.

        No library draws this mask, so none can be asked for the whole.
        """
        import torch

        y = self.project_by_library(inputs)
        out = self._attend(configuration, inputs, y, rounded=True)
        return {"o": out.to(torch.bfloat16)}

    def baselines(self) -> Mapping[str, Baseline]:
        """The library's projection, then torch's attention with dropout and a mask of its own."""
        import torch

        if not torch.cuda.is_available():
            return {}
        return {
            "flash": self._library("FLASH_ATTENTION"),
            "cudnn": self._library("CUDNN_ATTENTION"),
        }

    def flops(self, configuration: Configuration) -> float:
        p = {k: int(v) for k, v in configuration.parameters.items()}
        projection = 2.0 * p["batch"] * p["seq"] * p["hidden"] * columns(configuration)
        return projection + 4.0 * p["batch"] * p["heads"] * p["seq"] ** 2 * HEAD_DIM

    def bytes_moved(self, configuration: Configuration) -> float:
        return float(sum(t.bytes for t in self.tensors(configuration)))

    def _library(self, backend: str) -> Baseline:
        """The projection, then scaled_dot_product_attention with dropout, held to one backend."""

        def run(configuration: Configuration, inputs: Tensors) -> Tensors:
            import torch
            from torch.nn.attention import SDPBackend, sdpa_kernel

            q, k, v = project(configuration, self.project_by_library(inputs))
            with sdpa_kernel([getattr(SDPBackend, backend)]):
                out = torch.nn.functional.scaled_dot_product_attention(
                    q, k, v, dropout_p=DROPOUT, scale=SCALE, enable_gqa=q.shape[1] != k.shape[1]
                )
            return {"o": out.transpose(1, 2)}

        return run
