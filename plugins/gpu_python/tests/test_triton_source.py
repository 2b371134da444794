"""The exported source of a Triton kernel, compiled by its own command; nothing is launched."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from avo_tui_gpu_python.front import TracedFrontEnd
from avo_tui_gpu_python.triton.language import TRITON

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import SingleSource
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.loading import load_task
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.shapes import public_configurations
from avo_tui.evaluation.tasks import in_language
from tests.evaluation.evaluation_support import CUDA_TASKS

TASK = in_language(load_task(CUDA_TASKS / "attention_tiny"), "triton")

KERNEL = '''\
"""Two kernels, and memory between them."""

from __future__ import annotations

import triton
import triton.language as tl

BLOCK = 64


@triton.jit
def first(x, partial, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(partial + at, tl.load(x + at, mask=at < n, other=0.0).to(tl.float32) * 2)


@triton.jit
def second(partial, o, n, SEQ: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(o + at, (tl.load(partial + at) + SEQ).to(tl.bfloat16), mask=at < n)


def launch(q, o, workspace, SEQ, SMS):
    n = q.numel()
    partial = workspace(triton.cdiv(n, BLOCK) * BLOCK, tl.float32)
    first[(SMS,)](q, partial, n, BLOCK=BLOCK)
    second[(triton.cdiv(n, BLOCK),)](partial, o, n, SEQ=SEQ, BLOCK=BLOCK)
'''


def written(files: dict[str, str], function: str = "attention") -> SingleSource:
    assert isinstance(TASK, CudaTask)
    facts = DeviceFacts.of_architecture("sm_90a")
    front = TracedFrontEnd(TRITON, Sandbox())
    shapes = public_configurations(TASK)
    return front.single_source(TASK, Candidate(files=files), shapes, facts, function)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The exported file, imported with something in Triton's place that compiles nothing."""
    language = types.SimpleNamespace(constexpr=None, float32="fp32")
    triton = types.SimpleNamespace(jit=lambda kernel: kernel, language=language)
    monkeypatch.setitem(sys.modules, "triton", triton)
    monkeypatch.setitem(sys.modules, "triton.language", language)
    source = written({"kernel.py": KERNEL})
    (tmp_path / source.name).write_text(source.text)
    spec = importlib.util.spec_from_file_location("exported_attention", tmp_path / source.name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_command_compiles_every_kernel(tmp_path: Path) -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    source = written({"kernel.py": KERNEL})
    assert (source.name, source.header) == ("attention.py", "")
    (tmp_path / source.name).write_text(source.text)
    python, *arguments = source.command
    assert python == "python"
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env={"TRITON_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "full: first: " in done.stdout and "causal: second: " in done.stdout
    # `second` is compiled for each SEQ, 128 and 256; `first` for all at once.
    assert "3 kernels compiled for sm_90a" in done.stdout
    assert "hidden" not in source.text


def test_what_it_was_not_checked_on_is_refused(module: Any) -> None:
    q = torch.empty(1, 128, 2, 128, dtype=torch.bfloat16, device="meta")
    with pytest.raises(ValueError, match="was not checked on shapes"):
        module.attention(q[:, 1:], q, q)
    with pytest.raises(ValueError, match=r"was not checked on shapes .*'causal': True"):
        module._shape_of((q, q, q), {"causal": True})
    with pytest.raises(TypeError, match=r"q is torch\.float32; the kernel takes bfloat16"):
        module.attention(q.float(), q, q)
    with pytest.raises(ValueError, match="q is on meta"):
        module.attention(q, q, q)


def test_its_launch_is_given_tensors_names_and_memory(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def launch(o: Any, workspace: Any, SEQ: int, SMS: int) -> None:
        o.fill_(SEQ)
        given.update(memory=workspace((2, 3), module.tl.float32, zero=True), SMS=SMS)

    monkeypatch.setattr(module, "launch", launch)
    q = torch.empty(1, 128, 2, 128, dtype=torch.bfloat16)
    out = module._run(module._shape_of((q, q, q), {"causal": False}), (q, q, q))
    assert torch.equal(out, torch.full_like(q, 128))
    assert torch.equal(given["memory"], torch.zeros(2, 3))
    assert given["SMS"] == 132


def test_what_cannot_be_one_file_is_refused_in_a_sentence() -> None:
    with pytest.raises(EvaluatorError, match="several Python files; --as torch"):
        written({"kernel.py": KERNEL, "parts.py": "x = 1\n"})
    with pytest.raises(EvaluatorError, match="has a first of its own; choose another --function"):
        written({"kernel.py": KERNEL}, function="first")
