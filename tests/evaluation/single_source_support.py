"""Writes a kernel as one source and compiles it with its own command."""

import asyncio
import ctypes
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import SingleSource
from avo_tui.evaluation.deployment import DeploymentRequest, write_source


def written(
    task: str,
    candidate: Candidate,
    *,
    function: str = "",
    architectures: Sequence[str] = (),
    shapes: Sequence[Mapping[str, str]] = (),
) -> SingleSource:
    request = DeploymentRequest(architectures=architectures, shapes=shapes)
    return asyncio.run(write_source(task, candidate, request, function))


def compiled(source: SingleSource, folder: Path) -> Path:
    """The shared object that the source's own command makes, and a C file that takes its header."""
    stem = source.name.rpartition(".")[0]
    (folder / source.name).write_text(source.text)
    (folder / f"{stem}.h").write_text(source.header)
    done = subprocess.run(source.command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "user.c").write_text(f'#include "{stem}.h"\n#include "{stem}.h"\nint x;\n')
    if not source.name.endswith(".cu"):
        command = ["gcc", "-std=c99", "-Wall", "-Werror", "-c", "user.c"]
        subprocess.run(command, cwd=folder, check=True)
    return folder / f"lib{stem}.so"


def agrees_with_torch(path: Path) -> None:
    """Calls the shared object's `attention` on a small shape."""
    import torch

    library = ctypes.CDLL(str(path))
    q, k, v = (torch.randn(2, 1, 33, 64) for _ in range(3))
    out = torch.full_like(q, float("nan"))
    pointers = [ctypes.c_void_p(t.data_ptr()) for t in (q, k, v, out)]
    sizes = [ctypes.c_int64(n) for n in (2, 1, 33)]
    library.attention(*pointers, *sizes, ctypes.c_bool(True))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.allclose(out, expected, atol=1e-5)
