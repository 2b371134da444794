"""The exported source of a CUDA kernel: compiled by nvcc, and on a GPU called as C calls it."""

import ctypes
import os
import re
import shutil
from pathlib import Path

import pytest

from avo_tui.evaluation.tasks import find_tasks
from avo_tui.store import SessionReader
from tests.evaluation.single_source_support import compiled, written

SHIPPED = Path(__file__).parents[3] / "sessions"
CUDA_LINEAGES = (
    "mha-hopper",
    "gqa-hopper",
    "rnn-hopper",
    "dropout-hopper",
    "dropout-fp8-hopper",
)
needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")


def test_the_launches_of_a_cuda_kernel_are_numbers() -> None:
    seed = find_tasks().get("mha_forward").seed()
    asked = {"batch": "2", "seq": "640", "heads": "3", "kv_heads": "3", "head_dim": "128"}
    source = written(
        "mha_forward",
        seed,
        function="attention",
        architectures=["sm_100a"],
        shapes=[{**asked, "causal": "true"}],
    )
    assert source.name == "attention.cu"
    assert "-gencode=arch=compute_100a,code=sm_100a" in source.command
    assert "ATTENTION_ASKED_1 = 11" in source.header
    assert "batch == 2 && seq == 640 && heads == 3" in source.text
    assert "right_device(10, 0, 148)" in source.text
    # Both variants, the causal one for the shapes that ask for it.
    assert "unit_1::attention_forward" in source.text.partition("asked-1:")[2]
    assert "#define CAUSAL 0\n" in source.text and "#define CAUSAL 1\n" in source.text
    assert "hidden" not in source.text


@needs_nvcc
@pytest.mark.parametrize(
    "name", CUDA_LINEAGES if os.environ.get("AVO_COMPILE_ALL") else ["dropout-hopper"]
)
def test_nvcc_compiles_the_best_of_a_shipped_lineage(name: str, tmp_path: Path) -> None:
    reader = SessionReader.open(SHIPPED / name)
    assert reader.state.best is not None
    candidate = reader.candidate(reader.state.best.candidate)
    source = written(reader.state.session.task.name, candidate)
    library = ctypes.CDLL(str(compiled(source, tmp_path)))
    configuration = find_tasks().get(reader.state.session.task.name).configurations[-1]
    values = [
        ctypes.c_int(value) if isinstance(value, bool)
        else ctypes.c_int64(value) if isinstance(value, int)
        else ctypes.c_double(value) if isinstance(value, float)
        else ctypes.c_char_p(value.encode())
        for value in configuration.parameters.values()
    ]  # fmt: skip
    stem = source.name.rpartition(".")[0]
    number = getattr(library, f"{stem}_find")(*values)
    named = re.sub(r"\W", "_", f"{stem}_{configuration.name}").upper()
    assert f"{named} = {number}" in source.header


@pytest.mark.gpu
@needs_nvcc
def test_a_cuda_kernel_called_from_c_computes_the_same(tmp_path: Path) -> None:
    import torch

    source = written("mha_forward", find_tasks().get("mha_forward").seed())
    library = ctypes.CDLL(str(compiled(source, tmp_path)))
    number = library.mha_forward_find(*map(ctypes.c_int64, (2, 512, 4, 4, 128)), ctypes.c_int(1))
    library.mha_forward_workspace.restype = ctypes.c_size_t
    size = library.mha_forward_workspace(number)
    q, k, v = (torch.randn(2, 512, 4, 128, dtype=torch.bfloat16, device="cuda") for _ in range(3))
    out, workspace = (
        torch.empty_like(q),
        torch.empty(max(size, 1), dtype=torch.uint8, device="cuda"),
    )
    pointers = [ctypes.c_void_p(t.data_ptr()) for t in (q, k, v, out, workspace)]
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
    assert library.mha_forward(number, *pointers, stream) == 0
    heads_first = [t.transpose(1, 2) for t in (q, k, v)]
    expected = torch.nn.functional.scaled_dot_product_attention(*heads_first, is_causal=True)
    torch.cuda.synchronize()
    assert torch.allclose(out, expected.transpose(1, 2), atol=2e-2)
