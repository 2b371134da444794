"""What is recorded of Triton's host code; what all such languages must do is in test_traced."""

from __future__ import annotations

import pytest

from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from plugins.gpu_python.tests.traced import compiled, listing_without_hidden, refused

pytest.importorskip("triton")

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


@pytest.fixture(scope="module")
def two_kernels() -> CudaCompiled:
    return compiled("triton", {"kernel.py": TWO_KERNELS, "parts.py": PARTS})


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
    listing_without_hidden("triton", two_kernels)


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
    assert "a pointer begins outside o" in refused("triton", forged).feedback.summary
