"""An exported attention with its backward pass, beside torch's: gradients, speed, a training step.

    avo export mha-lse-hopper --backward attention-backward-hopper --to PACKAGE --as torch \
        --function attention
    python benchmarks/attention_training.py PACKAGE --out results

Needs a Hopper GPU. Four parts, printed as they come and kept in OUT/attention_training.json:

1. Kinds of input × shapes: root mean square error of dQ, dK and dV beside cuDNN's, against the
   gradients in double precision; two runs must give the same bits.
2. The gradients under torch.compile(fullgraph=True) and of a CUDA graph of both passes: the bits of
   a plain call.
3. Milliseconds of forward and backward together, in turn with cuDNN's and FlashAttention-2's.
4. Twenty steps of a Llama-shaped model with random weights and AdamW, the three in turn: losses and
   tokens a second.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import statistics
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, linear, rms_norm, scaled_dot_product_attention, silu

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.attention_domain import (
    ACCURACY,
    HEAD_DIM,
    KINDS,
    LENGTHS,
    inputs_of,
    rms,
)

Attention = Callable[..., torch.Tensor]

HEADS, LAYERS, VOCABULARY = 16, 4, 32_000
HIDDEN, INNER = HEADS * HEAD_DIM, 4 * HEADS * HEAD_DIM
BATCH, LENGTH, STEPS = 8, 4096, 20


def library(backend: SDPBackend) -> Attention:
    """torch's attention held to one backend, on tensors (batch, length, heads, 128)."""

    def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        with sdpa_kernel([backend]):
            out = scaled_dot_product_attention(q, k, v, is_causal=causal)
        return out.transpose(1, 2)

    return run


def gradients(
    call: Attention, inputs: Sequence[torch.Tensor], above: torch.Tensor, causal: bool
) -> tuple[torch.Tensor, ...]:
    """dQ, dK and dV."""
    wanting = [t.detach().requires_grad_() for t in inputs]
    return tuple(torch.autograd.grad(call(*wanting, causal=causal), wanting, above))


def exact(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    """Attention in double precision, a head at a time."""
    heads = []
    for h in range(q.shape[2]):
        scores = q[:, :, h].double() @ k[:, :, h].double().mT / math.sqrt(HEAD_DIM)
        if causal:
            future = torch.ones(scores.shape[1:], dtype=torch.bool, device="cuda").triu(1)
            scores = scores.masked_fill(future, -math.inf)
        heads.append(torch.softmax(scores, -1) @ v[:, :, h].double())
    return torch.stack(heads, 2)


def accuracy(own: Attention) -> list[dict[str, Any]]:
    """Part 1."""
    calls = {
        "own": own,
        "cudnn": library(SDPBackend.CUDNN_ATTENTION),
        "flash": library(SDPBackend.FLASH_ATTENTION),
    }
    rows = []
    for kind in KINDS:
        worst: dict[str, float] = {}
        for shape in ACCURACY[1:]:
            for causal in (False, True):
                inputs = inputs_of(kind, shape)
                above = torch.randn_like(inputs[0])
                wanted = gradients(exact, [t.double() for t in inputs], above.double(), causal)
                row: dict[str, Any] = {"kind": kind, "shape": shape, "causal": causal}
                found = {n: gradients(f, inputs, above, causal) for n, f in calls.items()}
                again = gradients(own, inputs, above, causal)
                same = all(map(torch.equal, found["own"], again))
                row["same_bits"] = same
                for n, given in enumerate(("dq", "dk", "dv")):
                    scale = float(wanted[n].square().mean().sqrt())
                    row[given] = {name: rms(f[n], wanted[n]) for name, f in found.items()}
                    least = max(row[given]["cudnn"], 1e-3 * scale, 1e-9)
                    for name in ("own", "flash"):
                        key = f"{given} {name}"
                        worst[key] = max(worst.get(key, 0.0), row[given][name] / least)
                rows.append(row)
        bits = all(r["same_bits"] for r in rows if r["kind"] == kind)
        shown = ", ".join(f"{n} {w:.2f}" for n, w in worst.items())
        print(f"{kind}: worst error of cuDNN's: {shown}; same bits: {bits}", flush=True)
    return rows


def traced(own: Attention) -> dict[str, bool]:
    """Part 2."""
    q, k, v = inputs_of("normal", (2, 1024, HEADS, HEADS))
    above = torch.randn_like(q)
    plain = gradients(own, (q, k, v), above, True)
    compiled = torch.compile(lambda q, k, v, causal: own(q, k, v, causal=causal), fullgraph=True)
    found = {"compile": all(map(torch.equal, plain, gradients(compiled, (q, k, v), above, True)))}
    wanting = [t.detach().requires_grad_() for t in (q, k, v)]
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.autograd.grad(own(*wanting, causal=True), wanting, above)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = torch.autograd.grad(own(*wanting, causal=True), wanting, above)
    for tensor in captured:
        tensor.fill_(math.nan)
    graph.replay()
    torch.cuda.synchronize()
    found["graph"] = all(map(torch.equal, plain, captured))
    print(f"the bits of a plain call: {found}", flush=True)
    return found


def speed(calls: dict[str, Attention], rounds: int = 9) -> list[dict[str, Any]]:
    """Part 3."""
    rows = []
    for length in LENGTHS:
        for causal in (False, True):
            inputs = inputs_of("normal", (32_768 // length, length, HEADS, HEADS))
            above = torch.randn_like(inputs[0])
            times: dict[str, list[float]] = {n: [] for n in calls}
            for turn in range(rounds + 2):
                for name, call in calls.items():
                    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                    torch.cuda._sleep(1_000_000)
                    begin.record()
                    gradients(call, inputs, above, causal)
                    end.record()
                    torch.cuda.synchronize()
                    if turn > 1:
                        times[name].append(begin.elapsed_time(end))
            medians = {n: statistics.median(t) for n, t in times.items()}
            rows.append({"length": length, "causal": causal, "ms": medians})
            shown = ", ".join(f"{n} {medians['cudnn'] / t:.3f}" for n, t in medians.items())
            print(f"{length} {'causal' if causal else 'full'}: of cuDNN: {shown}", flush=True)
    return rows


class Model(torch.nn.Module):  # type: ignore[misc]
    """Token to token: layers of attention with rotary positions and of a gated network."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention
        torch.manual_seed(1)

        def weight(*shape: int) -> torch.nn.Parameter:
            drawn = torch.randn(*shape, device="cuda") * 0.02
            return torch.nn.Parameter(drawn.bfloat16())

        self.embedding = weight(VOCABULARY, HIDDEN)
        shapes = ((3 * HIDDEN, HIDDEN), (HIDDEN, HIDDEN), (2 * INNER, HIDDEN), (HIDDEN, INNER))
        self.layers = torch.nn.ModuleList(
            torch.nn.ParameterList([weight(*shape) for shape in shapes]) for _ in range(LAYERS)
        )
        turns = 10_000.0 ** (-torch.arange(0, HEAD_DIM, 2, device="cuda") / HEAD_DIM)
        angles = torch.outer(torch.arange(LENGTH, device="cuda"), turns).repeat(1, 2)[:, None]
        self.cos, self.sin = angles.cos().bfloat16(), angles.sin().bfloat16()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The loss of each token's successor."""
        x = self.embedding[tokens]
        for qkv, out, up, down in self.layers:
            parts = linear(rms_norm(x, (HIDDEN,)), qkv).unflatten(-1, (3, HEADS, HEAD_DIM))
            q, k, v = parts.unbind(2)
            q, k = (
                t * self.cos + torch.cat((-t[..., 64:], t[..., :64]), -1) * self.sin for t in (q, k)
            )
            mixed = self.attention(q, k, v.contiguous(), causal=True)
            x = x + linear(mixed.flatten(2), out)
            gate, value = linear(rms_norm(x, (HIDDEN,)), up).chunk(2, -1)
            x = x + linear(silu(gate) * value, down)
        logits = linear(rms_norm(x[:, :-1], (HIDDEN,)), self.embedding)
        return cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())


def training(calls: dict[str, Attention]) -> dict[str, Any]:
    """Part 4."""
    models = {name: Model(call) for name, call in calls.items()}
    optimizers = {n: torch.optim.AdamW(m.parameters(), lr=1e-4) for n, m in models.items()}
    losses: dict[str, list[float]] = {n: [] for n in calls}
    times: dict[str, list[float]] = {n: [] for n in calls}
    generator = torch.Generator("cuda").manual_seed(3)
    for _ in range(STEPS):
        skewed = torch.rand((BATCH, LENGTH), device="cuda", generator=generator).pow(4)
        tokens = (skewed * VOCABULARY).long()
        for name, model in models.items():
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            loss = model(tokens)
            loss.backward()
            optimizers[name].step()
            optimizers[name].zero_grad()
            end.record()
            torch.cuda.synchronize()
            losses[name].append(loss.item())
            times[name].append(begin.elapsed_time(end) / 1e3)
    speeds = {n: round(BATCH * LENGTH / statistics.median(t[3:])) for n, t in times.items()}
    apart = {
        name: max(abs(a - b) for a, b in zip(losses[name], losses["cudnn"], strict=True))
        for name in calls
    }
    print(f"tokens/s of training: {speeds}", flush=True)
    print(f"losses of {losses['cudnn'][0]:.3f} to {losses['cudnn'][-1]:.3f}; apart from cuDNN's:"
          f" {apart}", flush=True)  # fmt: skip
    return {"tokens/s": speeds, "losses": losses, "apart": apart}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what the module's docstring says; 1 without a GPU or where a part failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("package", type=Path, help="the exported folder")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("a GPU is needed", file=sys.stderr)
        return 1
    sys.path.insert(0, str(options.package / "src"))
    name = next(p.parent.name for p in options.package.glob("src/*/launches.json"))
    own = importlib.import_module(name).attention
    calls: dict[str, Attention] = {
        "own": own,
        "cudnn": library(SDPBackend.CUDNN_ATTENTION),
        "flash": library(SDPBackend.FLASH_ATTENTION),
    }
    parts: dict[str, Callable[[], Any]] = {
        "traced": lambda: traced(own),
        "training": lambda: training(calls),
        "speed": lambda: speed(calls),
        "accuracy": lambda: accuracy(own),
    }
    results: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    options.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for part, measure in parts.items():
        try:
            results[part] = measure()
        except Exception:  # the other parts are wanted all the same
            traceback.print_exc()
            failed = 1
        text = json.dumps(results, indent=1) + "\n"
        (options.out / "attention_training.json").write_text(text, encoding="utf-8")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
