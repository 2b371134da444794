"""Triton candidates, compiled without a GPU; on a GPU also run through the conformance suite."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import Window
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Context, Rejected
from avo_tui.evaluation.backends.cuda.backend import CudaBackend
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.descriptor import BackendOptions
from avo_tui.evaluation.backends.registry import make_backend
from avo_tui.evaluation.conformance import KINDS, examine
from avo_tui.evaluation.loading import load_task
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.tasks import in_language
from plugins.gpu_python.tests import triton_kinds as kinds
from tests.evaluation.evaluation_support import CUDA_TASKS

pytest.importorskip("triton")
TINY = load_task(CUDA_TASKS / "attention_tiny")
TASK = in_language(TINY, "triton")

TWO_KERNELS = """\
import triton
import triton.language as tl
from parts import helper

BLOCK = 64  # tune: 32 64 128


@triton.jit
def first(x, partial, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(partial + at, helper(tl.load(x + at, mask=at < n, other=0.0).to(tl.float32)))


@triton.jit
def second(partial, o, n, SEQ: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(o + at, (tl.load(partial + at) + SEQ).to(tl.bfloat16), mask=at < n)


def launch(q, o, workspace, SEQ, SMS):
    print("launched for", SEQ, "with", SMS)
    n = q.numel()
    partial = workspace(triton.cdiv(n, BLOCK) * BLOCK, tl.float32)
    grid = lambda meta: (triton.cdiv(n, meta["BLOCK"]),)
    first[grid](q, partial, n, BLOCK=BLOCK)
    second[grid](partial, o, n, SEQ=SEQ, BLOCK=BLOCK)
"""
PARTS = """\
import triton


@triton.jit
def helper(x):
    return x * 2
"""


def compiled(files: dict[str, str], architecture: str = "sm_90a") -> CudaCompiled:
    backend = make_backend("triton", BackendOptions(architecture))
    assert isinstance(backend, CudaBackend)
    context = Context(Sandbox(), lambda _: None)
    return asyncio.run(backend.compile(TASK, Candidate(files=files), context))


def refused(text: str) -> Rejected:
    with pytest.raises(Rejected) as error:
        compiled({"kernel.py": text})
    return error.value


@pytest.fixture(scope="module")
def two_kernels() -> CudaCompiled:
    return compiled({"kernel.py": TWO_KERNELS, "parts.py": PARTS})


def test_two_kernels_and_a_workspace_are_one_cubin(two_kernels: CudaCompiled) -> None:
    plan = two_kernels.plans["full"]
    assert [stage.entry for stage in plan.stages] == ["first", "second"]
    elements = 128 * 2 * 128
    assert plan.stages[0].grid == (elements // 64, 1, 1)
    assert plan.stages[0].block == (128, 1, 1)
    assert plan.workspaces["workspace_0"].bytes == elements * 4
    # What Triton adds to each kernel: two pointers to scratch memory, null where none is needed.
    assert [p.kind for p in plan.stages[1].params] == ["pointer", "pointer", "i32", "u64", "u64"]
    unit = two_kernels.unit.unit_of(plan.variant)
    assert set(unit.symbols) == {"first", "second"}
    assert all(unit.symbols[name] in unit.image.kernels for name in unit.symbols)
    assert (two_kernels.resources.registers or 0) > 0
    assert "0 bytes spill stores" in two_kernels.log


def test_nothing_of_a_hidden_configuration_is_told(two_kernels: CudaCompiled) -> None:
    # Each SEQ is a specialisation: 128 and 256 are public ones.
    assert "launched for 256" in two_kernels.log
    assert two_kernels.log.count("launched") <= len(two_kernels.plans) - 1
    shown = [unit for unit in two_kernels.unit.units if not unit.hidden]
    public = {two_kernels.plans[name].variant for name in ("full", "causal", "small")}
    assert {v for unit in shown for v in unit.variants} == public
    backend = make_backend("triton", BackendOptions("sm_90a"))
    assert isinstance(backend, CudaBackend)
    context = Context(Sandbox(), lambda _: None)
    listing = asyncio.run(backend.disassemble(two_kernels, context, None, Window()))
    hidden = [str(unit.variants[0]) for unit in two_kernels.unit.units if unit.hidden]
    assert not any(f"specialisation={number}]" in listing for number in hidden)


LINE = "def launch(q, o):\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\n", "must define the function launch"),
        (f"{LINE}    raise OSError('no')\n", "OSError: no"),
        (f"import nothing_of_that_name\n{LINE}    pass\n", "nothing_of_that_name"),
        ("def launch(q, o, depth):\n    pass\n", "launch wants depth; it can have: BATCH, CAUSAL"),
        (f"{LINE}    pass\n", "launch launches nothing"),
        (f"{LINE}    q.data_ptr()\n", "a tensor has no address here"),
        (
            "import triton\n@triton.autotune([triton.Config({})], key=[])\n@triton.jit\n"
            f"def f(q):\n    pass\n{LINE}    f[(1,)](q)\n",
            "instead of triton.autotune",
        ),
        (
            f"import triton\n@triton.jit\ndef f(q):\n    x = nowhere\n{LINE}    f[(1,)](q)\n",
            "nowhere",
        ),
        (
            f"import triton\n@triton.jit\ndef f(q):\n    pass\n{LINE}    f[(1,)](q)\n",
            "no kernel is given the output 'o'",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text: str, says: str) -> None:
    error = refused(text)
    assert error.verdict is Verdict.COMPILE_ERROR
    assert says in error.feedback.summary + error.feedback.log


def test_a_reply_of_the_candidate_s_own_is_checked() -> None:
    forged = (
        "import json, os, pathlib\n"
        "def launch(q, o):\n"
        "    run = {'launches': [{'kernel': 0, 'symbol': 'f', 'name': 'f', 'line': 1,\n"
        "        'grid': [1, 1, 1], 'block': [128, 1, 1], 'cluster': [1, 1, 1],\n"
        "        'shared': 0, 'cooperative': False, 'programmatic': False, 'arguments': [\n"
        "            {'kind': 'pointer', 'buffer': 'o', 'value': 1 << 40}]}]}\n"
        "    names = ('full', 'causal', 'small')\n"
        "    reply = {'configurations': {name: run for name in names}}\n"
        "    pathlib.Path('kernel-0.ptx').write_text(\n"
        "        '.version 8.0\\n.target sm_90a\\n.address_size 64\\n'\n"
        "        '.visible .entry f(.param .u64 p) { ret; }')\n"
        "    pathlib.Path('reply.json').write_text(json.dumps(reply))\n"
        "    os._exit(0)\n"
    )
    assert "a pointer begins outside o" in refused(forged).feedback.summary


@pytest.mark.skipif(not os.environ.get("AVO_COMPILE_ALL"), reason="AVO_COMPILE_ALL is not set")
@pytest.mark.parametrize("kind", [kind for kind in kinds.CHANGES if kind != "does_not_compile"])
def test_candidates_of_every_kind_compile(kind: str) -> None:
    assert compiled(dict(kinds.candidate(kind).files)).resources.registers


def test_there_is_a_candidate_of_every_kind() -> None:
    assert set(kinds.CHANGES) == set(KINDS)
    assert "@triton.jit(" in kinds.candidate("does_not_compile").files["attention.py"]


@pytest.mark.gpu
def test_every_kind_gets_its_verdict(tmp_path: Path) -> None:
    kinds.write(tmp_path)

    async def rows() -> list[str]:
        pipeline = Pipeline(None)
        try:
            examined = examine(pipeline, "mha_forward@triton", tmp_path)
            return [f"{r.kind}: {r.verdict} {r.words}" async for r in examined if not r.ok]
        finally:
            await pipeline.close()

    assert asyncio.run(rows()) == []
