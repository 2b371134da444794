"""Run the code examples of K on a Hopper GPU, check what they compute, and time the kernels.

The marks "measured" in `knowledge/` come from here. Needs a GPU of compute capability 9.0, torch
with CUDA, cuda-core and cuda-bindings.

    python benchmarks/knowledge_on_gpu.py [--no-timing]
"""

from __future__ import annotations

import argparse
import ctypes
import io
import math
import os
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from cuda.bindings import driver
from cuda.core import Program, ProgramOptions

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from avo_tui.knowledge.examples import assemble, examples  # noqa: E402

POINTER, INT, FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
ALL = examples(ROOT / "knowledge")


def include_paths() -> list[str]:
    """Where cuda_bf16.h may be: the wheel's folder, or a toolkit's."""
    found = [Path(entry) / "nvidia" / "cu13" / "include" for entry in sys.path]
    found += [Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "include"]
    return [str(path) for path in found if (path / "cuda_bf16.h").is_file()]


def checked(result: tuple[Any, ...]) -> Any:
    """The value of a driver call. Raises RuntimeError with the error's name."""
    if int(result[0]) != 0:
        raise RuntimeError(str(result[0]))
    return result[1] if len(result) == 2 else result[1:]


def kernel(example: str, entry: str, shared: int = 0, **macros: int) -> Any:
    """Compile an example of the documents and load one of its kernels."""
    chosen = next(item for item in ALL if item.name == example)
    source = "".join(f"#define {name} {value}\n" for name, value in macros.items())
    options = ProgramOptions(arch="sm_90a", std="c++17", include_path=include_paths())
    code = Program(source + assemble(chosen, ALL), "c++", options).compile(
        "cubin", logs=io.StringIO()
    )
    module = checked(driver.cuModuleLoadData(bytes(code.code)))
    function = checked(driver.cuModuleGetFunction(module, entry.encode()))
    if shared:
        attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        checked(driver.cuFuncSetAttribute(function, attribute, shared))
    return function


def launch(
    function: Any,
    grid: tuple[int, int, int],
    block: int,
    values: list[Any],
    types: list[Any],
    shared: int = 0,
) -> None:
    """Launch on torch's stream; tensors may stand for their pointers."""
    plain = [v.data_ptr() if isinstance(v, torch.Tensor) else v for v in values]
    stream = torch.cuda.current_stream().cuda_stream
    checked(
        driver.cuLaunchKernel(
            function, *grid, block, 1, 1, shared, stream, (tuple(plain), tuple(types)), 0
        )
    )


def tensor_map(tensor: torch.Tensor, box: tuple[int, int, int, int]) -> Any:
    """A map of (batch, sequence, heads, head_dim) in bf16, 128-byte swizzle, innermost first."""
    sizes = [driver.cuuint64_t(n) for n in reversed(tensor.shape)]
    strides = [driver.cuuint64_t(tensor.stride(i) * 2) for i in (2, 1, 0)]
    return checked(
        driver.cuTensorMapEncodeTiled(
            driver.CUtensorMapDataType.CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            4,
            tensor.data_ptr(),
            sizes,
            strides,
            [driver.cuuint32_t(n) for n in box],
            [driver.cuuint32_t(1)] * 4,
            driver.CUtensorMapInterleave.CU_TENSOR_MAP_INTERLEAVE_NONE,
            driver.CUtensorMapSwizzle.CU_TENSOR_MAP_SWIZZLE_128B,
            driver.CUtensorMapL2promotion.CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
            driver.CUtensorMapFloatOOBfill.CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    )


def random(*shape: int) -> torch.Tensor:
    """Standard normal bf16 on the GPU."""
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def report(name: str, good: bool, detail: str) -> bool:
    """Print one check's line and pass its truth on."""
    print(f"{'ok ' if good else 'BAD'}  {name}: {detail}", flush=True)
    return good


def check_small() -> bool:
    """The short examples of the pages on Hopper, softmax and CUDA."""
    good = True
    out = torch.zeros(1024, device="cuda")
    count = torch.zeros(1, device="cuda", dtype=torch.int32)
    n = out.numel()

    launch(kernel("cluster", "exchange"), (4, 1, 1), 64, [out], [POINTER])
    good &= report("cluster", out[:4].tolist() == [1, 0, 3, 2], f"peers read {out[:4].tolist()}")

    out.zero_()
    launch(kernel("setmaxnreg", "roles"), (1, 1, 1), 384, [out], [POINTER])
    good &= report("setmaxnreg", out[:384].sum().item() == 256, "256 consumers wrote")

    out.zero_()
    launch(kernel("turns", "turns_compile"), (1, 1, 1), 256, [out, 3], [POINTER, INT])
    good &= report("turns", bool((out[:256] == 14).all()), "three rounds each")

    sums = torch.zeros(1, device="cuda", dtype=torch.int32)
    launch(kernel("ring", "ring_compiles"), (1, 1, 1), 64, [sums], [POINTER])
    torch.cuda.synchronize()
    good &= report("ring", True, "eight rounds passed two stages")

    launch(
        kernel("persistent", "persistent"), (8, 1, 1), 32, [count, out, 32], [POINTER, POINTER, INT]
    )
    want = torch.arange(32, device="cuda").repeat_interleave(32).float()
    good &= report("persistent", bool((out == want).all()), "32 tiles by 8 blocks")

    count.zero_()
    parts = torch.zeros(64, device="cuda")
    launch(
        kernel("flags", "last_block_sums"),
        (64, 1, 1),
        32,
        [parts, count, out],
        [POINTER, POINTER, POINTER],
    )
    good &= report("flags", out[0].item() == 2016, f"sum {out[0].item()}")

    numbers = torch.randn(4096, device="cuda")
    out.zero_()
    launch(kernel("bulk-copy", "bulk_sum"), (4, 1, 1), 1024, [numbers, out], [POINTER, POINTER])
    error = abs(out[0].item() - numbers.double().sum().item())
    good &= report("bulk-copy", error < 1e-2, f"error {error:.1e}")

    from_, to = random(2, 256, 3, 128), torch.zeros(2, 256, 3, 128, device="cuda").bfloat16()
    launch(
        kernel("tma-store", "double_boxes"),
        (4, 6, 2),
        128,
        [tensor_map(from_, (64, 1, 64, 1)), tensor_map(to, (64, 1, 64, 1))],
        [None, None],
    )
    good &= report("tma-store", bool((to == from_ + from_).all()), "every element doubled")

    q, k = random(1, 256, 1, 128), random(1, 256, 1, 128)
    scores = torch.zeros(256, 128, device="cuda")
    launch(
        kernel("first-product", "first_product"),
        (4, 1, 1),
        128,
        [tensor_map(q, (64, 1, 64, 1)), tensor_map(k, (64, 1, 128, 1)), scores],
        [None, None, POINTER],
    )
    error = (scores - q[0, :, 0].float() @ k[0, :128, 0].float().T).abs().max().item()
    good &= report("first-product", error < 1e-3, f"largest error {error:.1e}")

    x = torch.linspace(-126, 127, 1 << 20, device="cuda")
    y = torch.empty_like(x)
    launch(
        kernel("exp2-polynomial", "polynomial_exp2_all"),
        (4096, 1, 1),
        256,
        [x, y, x.numel()],
        [POINTER, POINTER, INT],
    )
    error = ((y.double() / torch.exp2(x.double())) - 1).abs().max().item()
    good &= report("exp2-polynomial", error < 9e-5, f"largest relative error {error:.2e}")

    source = torch.randn(1 << 20, 4, device="cuda")
    copied = torch.empty_like(source)
    launch(
        kernel("copy", "copy"),
        (264, 1, 1),
        256,
        [source, copied, ctypes.c_longlong(1 << 20).value],
        [POINTER, POINTER, ctypes.c_longlong],
    )
    good &= report("copy", bool((source == copied).all()), "16 MiB")
    assert n == 1024
    return good


Launcher = Callable[[], object]


def hopper_attention(q: Any, k: Any, v: Any, out: Any, **macros: int) -> Launcher:
    """The kernel of hopper-attention-kernel.md, ready to launch."""
    batch, seq, heads, _ = q.shape
    shared = 1024 + 5 * 32768 + 1024
    function = kernel("attention-kernel", "attention", shared, **macros)
    maps = [tensor_map(t, (64, 1, 128, 1)) for t in (q, k, v)]
    values = [*maps, out, seq, heads, heads // k.shape[2], math.log2(math.e) / math.sqrt(128)]
    types = [None, None, None, POINTER, INT, INT, INT, FLOAT]
    grid = ((seq + 127) // 128, heads, batch)
    return lambda: launch(function, grid, 384, values, types, shared)


def mma_attention(q: Any, k: Any, v: Any, out: Any, **macros: int) -> Launcher:
    """The kernel of mma-sync.md, ready to launch."""
    batch, seq, heads, _ = q.shape
    function = kernel("mma-attention", "mma_attention", 81920, **macros)
    values = [q, k, v, out, seq, heads, heads // k.shape[2], math.log2(math.e) / math.sqrt(128)]
    types = [POINTER] * 4 + [INT] * 3 + [FLOAT]
    grid = ((seq + 63) // 64, heads, batch)
    return lambda: launch(function, grid, 128, values, types, 81920)


def reference(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    """Attention in fp32."""
    group = q.shape[2] // k.shape[2]
    qf, kf, vf = (t.float().transpose(1, 2) for t in (q, k, v))
    kf, vf = kf.repeat_interleave(group, 1), vf.repeat_interleave(group, 1)
    scores = qf @ kf.transpose(-1, -2) / math.sqrt(128)
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(mask, float("-inf"))
    return (scores.softmax(-1) @ vf).transpose(1, 2)


def sdpa(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    """torch's attention in bf16 on the same layout."""
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    out = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, is_causal=causal, enable_gqa=q.shape[1] != k.shape[1]
    )
    return out.transpose(1, 2)


def check_attention(make: Callable[..., Launcher], name: str, **macros: int) -> bool:
    """Against fp32, with torch's own bf16 error as the yardstick."""
    good = True
    causal = bool(macros.get("CAUSAL"))
    for batch, seq, heads, kv_heads in (
        (1, 128, 2, 2),
        (2, 1024, 8, 2),
        (1, 1000, 4, 1),
        (1, 200, 1, 1),
        (2, 65, 2, 2),
    ):
        q, k, v = (random(batch, seq, n, 128) for n in (heads, kv_heads, kv_heads))
        q = q * 2
        out = torch.full_like(q, float("nan"))
        make(q, k, v, out, **macros)()
        want = reference(q, k, v, causal)
        mine = (out.float() - want).square().mean().sqrt().item()
        theirs = (sdpa(q, k, v, causal).float() - want).square().mean().sqrt().item()
        ratio = mine / theirs
        good &= report(
            f"{name} {macros} {(batch, seq, heads, kv_heads)}",
            ratio < 1.2,
            f"error {ratio:.3f} times torch's",
        )
    return good


def milliseconds(call: Launcher, samples: int = 20) -> float:
    """Median time of one call, warm."""
    for _ in range(10):
        call()
    times = []
    for _ in range(samples):
        start, end = torch.cuda.Event(True), torch.cuda.Event(True)
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return float(statistics.median(times))


def time_attention() -> None:
    """TFLOP/s of both kernels beside cuDNN, in one run."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    for seq, batch in ((4096, 8), (16384, 2)):
        q, k, v = (random(batch, seq, 16, 128) for _ in range(3))
        out = torch.empty_like(q)
        for causal in (0, 1):
            work = 4 * batch * 16 * seq * seq * 128 / (1 + causal) / 1e9
            with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                rates = {"cudnn": work / milliseconds(partial(sdpa, q, k, v, bool(causal)))}
            for ping_pong in (0, 1):
                call = hopper_attention(q, k, v, out, CAUSAL=causal, PING_PONG=ping_pong)
                rates[f"hopper, ping-pong {ping_pong}"] = work / milliseconds(call)
            rates["mma.sync"] = work / milliseconds(mma_attention(q, k, v, out, CAUSAL=causal))
            print(f"{seq} x {batch} causal {causal}: ", end="")
            print(", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()), flush=True)


def main() -> int:
    """All checks, then the timings; the exit status says whether every check was good."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-timing", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.zeros(1, device="cuda")
    print(torch.cuda.get_device_name())
    good = check_small()
    for causal in (0, 1):
        for ping_pong in (0, 1):
            good &= check_attention(
                hopper_attention, "attention-kernel", CAUSAL=causal, PING_PONG=ping_pong
            )
        good &= check_attention(mma_attention, "mma-attention", CAUSAL=causal)
    if not arguments.no_timing:
        time_attention()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
