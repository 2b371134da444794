"""CuTe DSL candidates, compiled without a GPU; on a GPU also run through the conformance suite."""

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
from plugins.gpu_python.tests import cute_kinds as kinds
from tests.evaluation.evaluation_support import CUDA_TASKS

TINY = load_task(CUDA_TASKS / "attention_tiny")
TASK = in_language(TINY, "cute")
HEAD = "import cutlass\nimport cutlass.cute as cute\n"

KERNELS = """\
import cutlass
import cutlass.cute as cute
from cutlass.cute.nvgpu import cpasync
from cutlass.memory import SmemAllocator
from parts import THREADS, double

ROWS = 64


@cute.kernel
def first(x: cute.Tensor, partial: cute.Tensor, n: cutlass.Constexpr):
    thread, _, _ = cute.arch.thread_idx()
    block, _, _ = cute.arch.block_idx()
    i = block * THREADS + thread
    if i < n:
        partial[i] = double(x[i].to(cutlass.Float32))


@cute.kernel
def second(partial: cute.Tensor, o: cute.Tensor, add: cutlass.Float32):
    thread, _, _ = cute.arch.thread_idx()
    block, _, _ = cute.arch.block_idx()
    i = block * THREADS + thread
    o[i] = (partial[i] + add).to(cutlass.BFloat16)


@cute.kernel
def by_map(atom: cute.CopyAtom, tiles: cute.Tensor, o: cute.Tensor):
    thread, _, _ = cute.arch.thread_idx()
    block, _, _ = cute.arch.block_idx()
    memory = SmemAllocator()
    rows = cute.make_layout((ROWS, 64), stride=(64, 1))
    shared = memory.allocate_tensor(cutlass.BFloat16, rows, byte_alignment=128)
    barrier = memory.allocate_array(cutlass.Int64)
    if thread == 0:
        cute.arch.mbarrier_init(barrier, 1)
    cute.arch.mbarrier_init_fence()
    cute.arch.sync_threads()
    tile = cute.local_tile(tiles, (ROWS, 64), (block, 0))
    target, source = cpasync.tma_partition(
        atom, 0, cute.make_layout(1), cute.group_modes(shared, 0, 2), cute.group_modes(tile, 0, 2)
    )
    if thread == 0:
        cute.arch.mbarrier_arrive_and_expect_tx(barrier, ROWS * 64 * 2)
        cute.copy(atom, source, target, tma_bar_ptr=barrier)
    cute.arch.mbarrier_wait(barrier, 0)
    o[thread] = shared[0, thread % 64]


@cute.jit
def launch(q: cute.Tensor, o: cute.Tensor, SEQ: cutlass.Constexpr, SMS, workspace, stream):
    print("launched for", SEQ)
    n = cute.size(q)
    x = cute.make_tensor(q.iterator, cute.make_layout(n))
    y = cute.make_tensor(o.iterator, cute.make_layout(n))
    workspace((4, 4), "i32", zero=True)
    partial = workspace(n, cutlass.Float32)
    grid = (cute.ceil_div(n, THREADS), 1, 1)
    first(x, partial, n).launch(grid=grid, block=(THREADS, 1, 1), stream=stream)
    second(partial, y, cutlass.Float32(SMS) * 0.5).launch(
        grid=grid, block=(THREADS, 1, 1), cluster=(2, 1, 1), stream=stream
    )
    matrix = cute.make_tensor(q.iterator + 64, cute.make_layout((SEQ, 64), stride=(256, 1)))
    atom, tiles = cpasync.make_tiled_tma_atom(
        cpasync.CopyBulkTensorTileG2SOp(), matrix, cute.make_layout((ROWS, 64), stride=(64, 1)),
        (ROWS, 64),
    )
    by_map(atom, tiles, y).launch(grid=(SEQ // ROWS, 1, 1), block=(THREADS, 1, 1), stream=stream)
"""
PARTS = """\
import cutlass.cute as cute

THREADS = 128  # tune: 64 128


@cute.jit
def double(x):
    return x * 2.0
"""


def compiled(files: dict[str, str], architecture: str = "sm_90a") -> CudaCompiled:
    backend = make_backend("cute", BackendOptions(architecture))
    assert isinstance(backend, CudaBackend)
    context = Context(Sandbox(), lambda _: None)
    return asyncio.run(backend.compile(TASK, Candidate(files=files), context))


def refused(text: str) -> Rejected:
    with pytest.raises(Rejected) as error:
        compiled({"kernel.py": text})
    return error.value


@pytest.fixture(scope="module")
def kernels() -> CudaCompiled:
    pytest.importorskip("cutlass.cute")
    return compiled({"kernel.py": KERNELS, "parts.py": PARTS})


def test_what_launch_launches_is_recorded(kernels: CudaCompiled) -> None:
    plan = kernels.plans["full"]
    elements = 128 * 2 * 128
    assert [stage.entry for stage in plan.stages] == ["first", "second", "by_map"]
    first, second, by_map = plan.stages
    assert first.grid == (elements // 128, 1, 1) and first.block == (128, 1, 1)
    assert (first.cluster, second.cluster) == (None, (2, 1, 1))
    assert by_map.shared_memory > 64 * 64 * 2
    assert first.path == "kernel.py:11"
    assert plan.workspaces["workspace_0"].zero and plan.workspaces["workspace_0"].bytes == 64
    assert plan.workspaces["workspace_1"].bytes == elements * 4
    buffers = [[a.buffer for a in p.addresses] for p in first.params]
    assert buffers == [["q"], ["workspace_1"]]
    unit = kernels.unit.unit_of(plan.variant)
    for stage in plan.stages:
        sizes = unit.image.kernels[unit.symbols[stage.entry]].params
        assert tuple(p.bytes for p in stage.params) == sizes
    # 132 multiprocessors, halved by the host code: a number that is passed when the kernel runs.
    assert second.params[2].data == "00008442"
    assert (kernels.resources.registers or 0) > 0
    assert "0 bytes spill stores" in kernels.log


def test_a_tensor_map_is_recorded_with_its_address(kernels: CudaCompiled) -> None:
    """Its first eight bytes are the address; the others stay as CuTe DSL has encoded them."""
    maps = [p for p in kernels.plans["full"].stages[2].params if p.bytes == 128]
    assert len(maps) == 1
    (address,) = maps[0].addresses
    assert (address.at, address.buffer, address.value) == (0, "q", 64 * 2)
    assert maps[0].data.startswith("00" * 8) and set(maps[0].data) != {"0"}
    small = [p for p in kernels.plans["causal"].stages[2].params if p.bytes == 128]
    assert small[0].data != maps[0].data, "the map of 256 rows has other extents"


def test_nothing_of_a_hidden_configuration_is_told(kernels: CudaCompiled) -> None:
    assert kernels.log.count("launched for") == len(kernels.plans) - 1
    shown = [unit for unit in kernels.unit.units if not unit.hidden]
    public = {kernels.plans[name].variant for name in ("full", "causal", "small")}
    assert {v for unit in shown for v in unit.variants} == public
    backend = make_backend("cute", BackendOptions("sm_90a"))
    assert isinstance(backend, CudaBackend)
    context = Context(Sandbox(), lambda _: None)
    listing = asyncio.run(backend.disassemble(kernels, context, None, Window()))
    hidden = [str(unit.variants[0]) for unit in kernels.unit.units if unit.hidden]
    assert hidden and not any(f"specialisation={number}]" in listing for number in hidden)
    assert "kernel.py" in listing, "machine code is shown with the lines of the Python file"


LINE = f"{HEAD}@cute.jit\ndef launch(q: cute.Tensor, o: cute.Tensor):\n"
KERNEL = (
    f"{HEAD}@cute.kernel\ndef f(x: cute.Tensor):\n    x[0, 0, 0, 0] = cutlass.BFloat16(1.0)\n"
    "@cute.jit\ndef launch(q: cute.Tensor, o: cute.Tensor):\n    "
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\n", "must define the function launch"),
        ("def launch(q, o):\n    pass\n", "launch must be decorated with @cute.jit"),
        (f"{LINE}    raise OSError('no')\n", "no"),
        (f"import nothing_of_that_name\n{LINE}    pass\n", "nothing_of_that_name"),
        (
            f"{HEAD}@cute.jit\ndef launch(q, depth):\n    pass\n",
            "launch wants depth; it can have: BATCH, CAUSAL",
        ),
        (f"{LINE}    pass\n", "launch launches nothing"),
        (f"{KERNEL}x = nowhere\n    f(o).launch(grid=(1, 1, 1), block=(1, 1, 1))\n", "nowhere"),
        (
            f"{KERNEL}f(q).launch(grid=(1, 1, 1), block=(32, 1, 1))\n",
            "no kernel is given the output 'o'",
        ),
        (
            f"{KERNEL}f(o).launch(grid=(3, 1, 1), block=(32, 1, 1), cluster=(2, 1, 1))\n",
            "do not divide",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text: str, says: str) -> None:
    pytest.importorskip("cutlass.cute")
    error = refused(text)
    assert error.verdict is Verdict.COMPILE_ERROR
    assert says in error.feedback.summary + error.feedback.log
    assert error.feedback.summary and "\x1b" not in error.feedback.summary + error.feedback.log


@pytest.mark.skipif(not os.environ.get("AVO_COMPILE_ALL"), reason="AVO_COMPILE_ALL is not set")
@pytest.mark.parametrize("kind", [kind for kind in kinds.CHANGES if kind != "does_not_compile"])
def test_candidates_of_every_kind_compile(kind: str) -> None:
    assert compiled(dict(kinds.candidate(kind).files)).resources.registers


def test_there_is_a_candidate_of_every_kind() -> None:
    assert set(kinds.CHANGES) == set(KINDS)
    assert all(kinds.candidate(kind).files for kind in kinds.CHANGES)


@pytest.mark.gpu
def test_every_kind_gets_its_verdict(tmp_path: Path) -> None:
    pytest.importorskip("cutlass", reason="CuTe DSL is not installed")
    kinds.write(tmp_path)

    async def rows() -> list[str]:
        pipeline = Pipeline(None)
        try:
            examined = examine(pipeline, "mha_forward@cute", tmp_path)
            return [f"{r.kind}: {r.verdict} {r.words}" async for r in examined if not r.ok]
        finally:
            await pipeline.close()

    assert asyncio.run(rows()) == []
