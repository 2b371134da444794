"""Exported attention packages on any shape and kind of input, beside FlashAttention-3 and cuDNN.

    avo export mha-hopper --to PACKAGE --as torch --function attention \
        --domain benchmarks/attention_any_length.toml
    python benchmarks/attention_domain.py PACKAGE... --out results [--draws 200]

Needs a Hopper GPU; `fa3-fwd` is left out where it is not installed. Three parts, printed as they
come and kept in OUT/attention_domain.json:

1. Drawn sizes of the packages' domain, most of them never seen by a harness: the error beside
   cuDNN's, both against double precision; whether two calls give the same bits; what the first call
   of a shape costs the host, and the second.
2. Kinds of input × shapes: root mean square error beside the libraries'.
3. Milliseconds, interleaved rounds with CUDA events: the scored lengths, a catalogue of other
   shapes, and kinds of input at one length, as speed beside the libraries'.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

Shape = tuple[int, int, int, int]
"""(batch, length, heads, heads of keys and values)"""
Attention = Callable[..., torch.Tensor]

HEAD_DIM = 128
MOST_ELEMENTS = 1 << 24
ACCURACY: tuple[Shape, ...] = (
    (1, 1, 1, 1), (2, 129, 4, 4), (1, 777, 4, 4), (1, 1024, 16, 16), (1, 3000, 4, 4),
    (1, 8200, 2, 2),
)  # fmt: skip
CATALOGUE: tuple[Shape, ...] = (
    (1, 1, 16, 16), (1, 128, 16, 16), (1, 1024, 16, 16), (16, 1024, 16, 16), (4, 3000, 16, 16),
    (8, 777, 16, 16),
)  # fmt: skip
LENGTHS = (4096, 8192, 16_384, 32_768)
KINDS = (
    "normal", "large", "huge", "tiny", "zeros", "growing", "shrinking", "negative", "offset",
    "outliers", "late", "early", "steps", "rows", "sink", "needle",
)  # fmt: skip
TIMED_KINDS = ("large", "huge", "growing", "outliers", "sink", "needle", "late", "steps")


def inputs_of(kind: str, shape: Shape, seed: int = 0) -> list[torch.Tensor]:
    """q, k and v in bf16."""
    batch, length, heads, kv_heads = shape
    generator = torch.Generator("cuda").manual_seed(seed)
    q, k, v = (
        torch.randn(batch, length, h, HEAD_DIM, device="cuda", generator=generator)
        for h in (heads, kv_heads, kv_heads)
    )
    place = torch.arange(length, device="cuda")
    share = (place / max(length - 1, 1))[None, :, None, None]
    if kind in {"large", "huge", "tiny", "zeros"}:
        q *= {"large": 8.0, "huge": 64.0, "tiny": 1e-3, "zeros": 0.0}[kind]
    elif kind in {"growing", "shrinking"}:
        k *= 1 + 15 * share if kind == "growing" else 16 - 15 * share
    elif kind == "negative":
        v = -v.abs()
    elif kind == "offset":
        k += 4
        q += 1
    elif kind == "outliers":
        q[..., :4] *= 20
        k[..., :4] *= 5
    elif kind in {"late", "early"}:
        eighth = slice(length * 7 // 8, None) if kind == "late" else slice(max(length // 8, 1))
        k[:, eighth] *= 10
    elif kind == "steps":
        k *= (1 + torch.div(place, 128, rounding_mode="floor") % 7)[None, :, None, None]
    elif kind == "rows":
        q[:, ::37] *= 24
    elif kind == "sink":
        towards = torch.nn.functional.normalize(q.mean((1, 2)), dim=-1)
        k[:, 0] = 6 * towards[:, None]
        q += 3 * towards[:, None, None]
    elif kind == "needle":
        direction = torch.randn(HEAD_DIM, device="cuda", generator=generator)
        direction = torch.nn.functional.normalize(direction, dim=0)
        k[:, length // 2] += 20 * direction
        q += 8 * direction
    return [t.bfloat16().contiguous() for t in (q, k, v)]


def reference(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    """In double precision, a block of rows at a time."""
    length, group = q.shape[1], q.shape[2] // k.shape[2]
    out = torch.empty(q.shape, device="cuda", dtype=torch.float64)
    keys = torch.arange(length, device="cuda")
    for b in range(q.shape[0]):
        for h in range(q.shape[2]):
            own, key, value = (
                t[b, :, n].double() for t, n in ((q, h), (k, h // group), (v, h // group))
            )
            for row in range(0, length, 2048):
                scores = own[row : row + 2048] @ key.T / math.sqrt(HEAD_DIM)
                if causal:
                    rows = keys[row : row + 2048, None]
                    scores.masked_fill_(keys[None] > rows, -math.inf)
                out[b, row : row + 2048, h] = torch.softmax(scores, 1) @ value
    return out


def cudnn(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    """torch's call of cuDNN."""
    heads_first = (t.transpose(1, 2) for t in (q, k, v))
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION]):
        out = torch.nn.functional.scaled_dot_product_attention(
            *heads_first, is_causal=causal, enable_gqa=q.shape[2] != k.shape[2]
        )
    return out.transpose(1, 2)


def fa3() -> dict[str, Attention]:
    """FlashAttention-3 where it is installed."""
    try:
        call = importlib.import_module("fa3_fwd_interface").flash_attn_func
    except ImportError:
        print("fa3-fwd is not installed; its columns are left out")
        return {}

    def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
        result = call(q, k, v, causal=causal)
        return result[0] if isinstance(result, tuple) else result

    return {"fa3": run}


def rms(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Root mean square of the difference."""
    return float((found.double() - wanted).square().mean().sqrt())


def drawn(name: str, attention: Attention, count: int) -> list[dict[str, Any]]:
    """Part 1 for one package."""
    chosen = random.Random(11)
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        batch, length, heads = (
            int(math.exp(chosen.uniform(0, math.log(n)))) for n in (64, 16384, 48)
        )
        if batch * length * heads * HEAD_DIM > MOST_ELEMENTS:
            continue
        causal = chosen.random() < 0.5
        shape = batch, length, heads, heads
        q, k, v = inputs_of("normal", shape, seed=len(rows))
        torch.cuda.synchronize()
        host = []
        outs = []
        for _ in range(2):
            started = time.perf_counter()
            outs.append(attention(q, k, v, causal=causal))
            host.append(1e6 * (time.perf_counter() - started))
            torch.cuda.synchronize()
        wanted = reference(q, k, v, causal)
        own, library = rms(outs[0], wanted), math.nan
        if length > 1:
            library = rms(cudnn(q, k, v, causal), wanted)
        rows.append(
            {
                "shape": shape, "causal": causal, "error": own, "cudnn": library,
                "finite": bool(outs[0].isfinite().all()),
                "same_bits": torch.equal(*outs), "first_us": host[0], "second_us": host[1],
            }
        )  # fmt: skip
    ratios = [r["error"] / r["cudnn"] for r in rows if r["cudnn"] > 0]
    first, second = (sorted(r[n] for r in rows)[1:] for n in ("first_us", "second_us"))
    wrong = [r for r in rows if not (r["finite"] and r["same_bits"])]
    print(
        f"{name}: {count} drawn shapes: error of cuDNN's: median {statistics.median(ratios):.2f}, "
        f"most {max(ratios):.2f}; not finite or not the same bits twice: {len(wrong)}; host, first "
        f"call of a shape: median {statistics.median(first):.0f} µs, most {first[-1]:.0f}; second: "
        f"median {statistics.median(second):.0f} µs"
    )
    return rows


def accuracy(every: dict[str, Attention]) -> list[dict[str, Any]]:
    """Part 2."""
    rows: list[dict[str, Any]] = []
    base = "fa3" if "fa3" in every else "cudnn"
    for kind in KINDS:
        of_kind: list[dict[str, float]] = []
        for shape in ACCURACY:
            for causal in (False, True):
                q, k, v = inputs_of(kind, shape)
                wanted = reference(q, k, v, causal)
                errors = {
                    n: rms(f(q, k, v, causal=causal), wanted)
                    for n, f in every.items()
                    if n != "cudnn" or shape[1] > 1  # cuDNN refuses a length of 1
                }
                of_kind.append(errors)
                rows.append({"kind": kind, "shape": shape, "causal": causal, **errors})
        worst = {
            n: max((r[n] / max(r[base], 1e-9) for r in of_kind if n in r), default=math.nan)
            for n in every
        }
        print(
            f"{kind}: worst error of {base}'s: "
            + ", ".join(f"{n} {w:.2f}" for n, w in worst.items())
        )
    return rows


def speeds(
    every: dict[str, Attention], kind: str, shape: Shape, rounds: int = 15
) -> dict[str, Any]:
    """Medians in milliseconds, the functions in turn."""
    base = "fa3" if "fa3" in every else "cudnn"
    rows: dict[str, Any] = {"kind": kind, "shape": shape}
    every = {n: f for n, f in every.items() if n != "cudnn" or shape[1] > 1}
    for causal in (False, True):
        q, k, v = inputs_of(kind, shape)
        times: dict[str, list[float]] = {n: [] for n in every}
        for n in range(rounds + 2):
            for name, call in every.items():
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                torch.cuda._sleep(300_000)
                begin.record()
                call(q, k, v, causal=causal)
                end.record()
                torch.cuda.synchronize()
                if n > 1:
                    times[name].append(begin.elapsed_time(end))
        medians = {n: statistics.median(t) for n, t in times.items()}
        mask = "causal" if causal else "full"
        rows[mask] = {n: medians[base] / t for n, t in medians.items()} | {"ms": medians}
        shown = ", ".join(f"{n} {medians[base] / t:.3f}" for n, t in medians.items())
        print(f"{kind} {shape} {mask}: {shown}")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what the module's docstring says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packages", type=Path, nargs="+", help="exported folders")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=200)
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("a GPU is needed", file=sys.stderr)
        return 1
    own: dict[str, Attention] = {}
    for package in options.packages:
        sys.path.insert(0, str(package / "src"))
        name = next(p.parent.name for p in package.glob("src/*/launches.json"))
        own[name] = importlib.import_module(name).attention
    every: dict[str, Attention] = {**fa3(), "cudnn": cudnn, **own}
    results: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "attention_domain.json"

    def keep(name: str, found: Any) -> None:
        results[name] = found
        kept.write_text(json.dumps(results, indent=1) + "\n")

    for name, attention in own.items():
        keep(f"drawn {name}", drawn(name, attention, options.draws))
    keep("accuracy", accuracy(every))
    shapes = [(32_768 // n, n, 16, 16) for n in LENGTHS] + list(CATALOGUE)
    keep("speed", [speeds(every, "normal", s) for s in shapes])
    keep("kinds", [speeds(every, kind, (4, 8192, 16, 16), 9) for kind in TIMED_KINDS])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
