"""What is recorded of CuTe DSL's host code; what all such languages must do is in test_traced."""

from __future__ import annotations

import pytest

from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from plugins.gpu_python.tests.traced import compiled, listing_without_hidden

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


@pytest.fixture(scope="module")
def kernels() -> CudaCompiled:
    pytest.importorskip("cutlass.cute")
    return compiled("cute", {"kernel.py": KERNELS, "parts.py": PARTS})


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
    assert any(unit.hidden for unit in kernels.unit.units)
    listing = listing_without_hidden("cute", kernels)
    assert "kernel.py" in listing, "machine code is shown with the lines of the Python file"
