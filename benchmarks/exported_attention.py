"""The exported Hopper attention in a program: correctness, cost of a call, a model's forward.

    avo export mha-hopper --to PACKAGE --as torch --function attention
    python benchmarks/exported_attention.py PACKAGE --out results

Needs a Hopper GPU; the model's part needs `transformers` and is left out without it, which is
said. Four questions:

1. Does the package's own test hold, also when the call is captured in a CUDA graph and under
   torch.compile(fullgraph=True)?
2. What does a call cost the host, beside queueing the bare launch with everything prepared?
3. Does a Llama-shaped model of random weights give the same logits with it as with torch's
   attention? The largest difference is printed beside that between torch's two implementations.
4. How many tokens a second does that model's forward pass do with each, in interleaved rounds?

Writes OUT/exported_attention.json. Exit status: 1 without a GPU or where the package's test fails.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

HEADS, HEAD_DIM, LAYERS, VOCABULARY = 16, 128, 8, 32_000
BATCH, LENGTH = 8, 4096
ROUNDS = 12
NAME = "exported"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what the module's docstring says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("package", type=Path, help="the exported folder")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("a GPU is needed", file=sys.stderr)
        return 1
    sys.path.insert(0, str(options.package / "src"))
    name = next(p.parent.name for p in options.package.glob("src/*/launches.json"))
    attention = importlib.import_module(name).attention
    selftest = importlib.import_module(f"{name}.selftest")
    failed = selftest.main()
    results: dict[str, Any] = {"device": torch.cuda.get_device_name(), "selftest": not failed}
    results |= graphs(attention)
    results |= host(importlib.import_module(f"{name}.operator_of"))
    results |= model(attention)
    for key, value in results.items():
        print(f"{key}: {value}")
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1) + "\n"
    (options.out / "exported_attention.json").write_text(text, "utf-8")
    return int(failed)


def inputs(batch: int, length: int, heads: int) -> list[torch.Tensor]:
    """q, k and v."""
    shape = (batch, length, heads, HEAD_DIM)
    return [torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(3)]


def graphs(attention: Callable[..., torch.Tensor]) -> dict[str, Any]:
    """Whether a captured and a traced call give the bits of a plain one."""
    q, k, v = inputs(1, 4096, 2)
    expected = attention(q, k, v, causal=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = attention(q, k, v, causal=True)
    for tensor in (q, k, v):
        tensor.normal_()
    graph.replay()
    expected_then = attention(q, k, v, causal=True)
    traced = torch.compile(lambda q, k, v: attention(q, k, v, causal=True), fullgraph=True)
    return {
        "in a CUDA graph": torch.equal(captured, expected_then)
        and not torch.equal(expected, expected_then),
        "under torch.compile": torch.equal(traced(q, k, v), expected_then),
    }


def host(package: Any) -> dict[str, float]:
    """Microseconds of the host for a call and for the bare launch in it, small shape."""
    q, k, v = inputs(1, 256, 2)
    package.operator(q, k, v, False)
    launcher = package._launcher()
    number = next(n for n, s in enumerate(package.SHAPES) if s["name"] == "small-full")
    stage = launcher._bound_to(number, q.get_device())._stages[0]
    stage([q.data_ptr()] * 5, 0)  # q, k, v, o and the counter; it is queued, and its result unused

    def bare() -> None:
        from cuda.bindings import driver

        driver.cuLaunchKernelEx(stage._config, stage._function, stage._arguments, 0)

    def took(call: Callable[[], object]) -> float:
        times = []
        for _ in range(40):
            torch.cuda.synchronize()
            started = time.perf_counter()
            for _ in range(50):
                call()
            times.append(1e6 * (time.perf_counter() - started) / 50)
        torch.cuda.synchronize()
        return round(statistics.median(times), 2)

    sdpa = torch.nn.functional.scaled_dot_product_attention
    by_head = [t.transpose(1, 2) for t in (q, k, v)]
    return {
        "host µs, bare launch": took(bare),
        "host µs, a call": took(lambda: package.call(q, k, v, False)),
        "host µs, torch's attention": took(lambda: sdpa(*by_head)),
    }


def model(attention: Callable[..., torch.Tensor]) -> dict[str, Any]:
    """Logits and tokens a second of a model with random weights."""
    try:
        from transformers import AttentionInterface, LlamaConfig, LlamaForCausalLM
    except ImportError:
        return {"model": "left out: transformers is not installed"}

    def exported(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **_: object,
    ) -> tuple[torch.Tensor, None]:
        q, k, v = (t.transpose(1, 2).contiguous() for t in (query, key, value))
        return attention(q, k, v, causal=True), None

    AttentionInterface.register(NAME, exported)
    torch.manual_seed(1)
    llama = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=HEADS * HEAD_DIM,
            intermediate_size=4 * HEADS * HEAD_DIM,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            vocab_size=VOCABULARY,
            max_position_embeddings=LENGTH,
        )
    )
    llama = llama.to("cuda", torch.bfloat16).eval()
    tokens = torch.randint(0, VOCABULARY, (BATCH, LENGTH), device="cuda")
    ways: dict[str, tuple[str, list[SDPBackend]]] = {
        NAME: (NAME, []),
        "cuDNN": ("sdpa", [SDPBackend.CUDNN_ATTENTION]),
        "flash": ("sdpa", [SDPBackend.FLASH_ATTENTION]),
    }

    def forward(way: str) -> torch.Tensor:
        kind, backends = ways[way]
        llama.set_attn_implementation(kind)
        with torch.no_grad(), sdpa_kernel(backends or [SDPBackend.MATH]):
            output: torch.Tensor = llama(tokens, use_cache=False, logits_to_keep=64).logits
        return output

    logits = {way: forward(way).float() for way in ways}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way in ways:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            forward(way)
            end.record()
            end.synchronize()
            seconds[way].append(begin.elapsed_time(end) / 1e3)
    scale = float(logits["cuDNN"].abs().max())
    return {
        "largest logit": scale,
        "logits: exported beside cuDNN": float((logits[NAME] - logits["cuDNN"]).abs().max()),
        "logits: flash beside cuDNN": float((logits["flash"] - logits["cuDNN"]).abs().max()),
        "tokens/s": {
            way: round(BATCH * LENGTH / statistics.median(took)) for way, took in seconds.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
