"""Attention forward with an online softmax: one block of threads for each block of query rows."""

import cutlass
import cutlass.cute as cute
from cutlass.cute.nvgpu import cpasync, warp
from cutlass.memory import SmemAllocator

BLOCK_M = 64  # tune: 64 128  (query rows of a block of threads)
BLOCK_N = 64  # tune: 32 64 128  (keys of one iteration)
WARPS = 4  # tune: 4 8
D = 128
PITCH = D + 8  # elements of a row in shared memory: rows begin in different banks
THREADS = WARPS * 32


@cute.jit
def load(copy: cute.TiledCopy, source: cute.Tensor, target: cute.Tensor):
    """Starts copying a tile from global to shared memory."""
    part = copy.get_slice(cute.arch.thread_idx()[0])
    cute.copy(copy, part.partition_S(source), part.partition_D(target))
    cute.arch.cp_async_commit_group()


@cute.jit
def over_row(value, combine: cutlass.Constexpr):
    """Combines a value over the four threads that hold one row of the scores."""
    value = combine(value, cute.arch.shuffle_sync_bfly(value, offset=2))
    return combine(value, cute.arch.shuffle_sync_bfly(value, offset=1))


@cute.kernel
def attention_forward(
    q: cute.Tensor, k: cute.Tensor, v: cute.Tensor, o: cute.Tensor,
    mma: cute.TiledMma, copy: cute.TiledCopy,
    SCALE_LOG2: cutlass.Constexpr, CAUSAL: cutlass.Constexpr,
):  # fmt: skip
    thread, _, _ = cute.arch.thread_idx()
    block, batch_head, _ = cute.arch.block_idx()
    heads = q.shape[2]
    head = batch_head % heads
    batch = batch_head // heads
    kv_head = head // (heads // k.shape[2])

    queries = cute.local_tile(q[batch, None, head, None], (BLOCK_M, D), (block, 0))
    result = cute.local_tile(o[batch, None, head, None], (BLOCK_M, D), (block, 0))
    keys = cute.local_tile(k[batch, None, kv_head, None], (BLOCK_N, D), (None, 0))
    values = cute.local_tile(v[batch, None, kv_head, None], (BLOCK_N, D), (None, 0))

    memory = SmemAllocator()
    rows_m = cute.make_layout((BLOCK_M, D), stride=(PITCH, 1))
    rows_n = cute.make_layout((BLOCK_N, D), stride=(PITCH, 1))
    shared_q = memory.allocate_tensor(cutlass.BFloat16, rows_m, byte_alignment=16)
    shared_k = memory.allocate_tensor(cutlass.BFloat16, rows_n, byte_alignment=16)
    shared_v = memory.allocate_tensor(cutlass.BFloat16, rows_n, byte_alignment=16)
    turned_v = cute.make_tensor(
        shared_v.iterator, cute.make_layout((D, BLOCK_N), stride=(1, PITCH))
    )

    # Fragments of the two products, and how they are read from shared memory.
    part = mma.get_slice(thread)
    a_q = part.make_fragment_A(part.partition_A(shared_q))
    b_k = part.make_fragment_B(part.partition_B(shared_k))
    b_v = part.make_fragment_B(part.partition_B(turned_v))
    matrices = cute.make_copy_atom(warp.LdMatrix8x8x16bOp(False, 4), cutlass.BFloat16)
    turned = cute.make_copy_atom(warp.LdMatrix8x8x16bOp(True, 4), cutlass.BFloat16)
    read_q = cute.make_tiled_copy_A(matrices, mma)
    read_k = cute.make_tiled_copy_B(matrices, mma)
    read_v = cute.make_tiled_copy_B(turned, mma)
    from_q = read_q.get_slice(thread).partition_S(shared_q)
    from_k = read_k.get_slice(thread).partition_S(shared_k)
    from_v = read_v.get_slice(thread).partition_S(turned_v)
    to_q = read_q.get_slice(thread).retile(a_q)
    to_k = read_k.get_slice(thread).retile(b_k)
    to_v = read_v.get_slice(thread).retile(b_v)

    out = cute.make_rmem_tensor(part.partition_shape_C((BLOCK_M, D)), cutlass.Float32)
    scores = cute.make_rmem_tensor(part.partition_shape_C((BLOCK_M, BLOCK_N)), cutlass.Float32)
    weights = cute.make_rmem_tensor(scores.shape, cutlass.BFloat16)
    # Two neighbouring tiles of eight columns are one operand of sixteen for the second product.
    pairs = cute.logical_divide(weights.layout, (None, None, 2))
    a_weights = cute.make_tensor(
        weights.iterator,
        cute.make_layout(
            ((pairs.shape[0], pairs.shape[2][0]), pairs.shape[1], pairs.shape[2][1]),
            stride=((pairs.stride[0], pairs.stride[2][0]), pairs.stride[1], pairs.stride[2][1]),
        ),
    )
    tiles_m = cute.size(scores, mode=[1])
    tiles_n = cute.size(scores, mode=[2])
    tiles_d = cute.size(out, mode=[2])
    top = cute.make_rmem_tensor((2, tiles_m), cutlass.Float32)
    total = cute.make_rmem_tensor((2, tiles_m), cutlass.Float32)
    out.fill(0.0)
    total.fill(0.0)
    top.fill(-cutlass.Float32.inf)
    where = part.partition_C(cute.make_identity_tensor((BLOCK_M, BLOCK_N)))

    load(copy, queries, shared_q)
    blocks = cute.size(keys, mode=[2])
    if cutlass.const_expr(CAUSAL):
        blocks = ((block + 1) * BLOCK_M + BLOCK_N - 1) // BLOCK_N
    for n in cutlass.range(blocks):
        cute.arch.sync_threads()  # all have read the keys and values before
        load(copy, keys[None, None, n], shared_k)
        load(copy, values[None, None, n], shared_v)
        cute.arch.cp_async_wait_group(1)
        cute.arch.sync_threads()

        scores.fill(0.0)
        for i in cutlass.range_constexpr(D // 16):
            cute.copy(read_q, from_q[None, None, i], to_q[None, None, i])
            cute.copy(read_k, from_k[None, None, i], to_k[None, None, i])
            cute.gemm(mma, scores, a_q[None, None, i], b_k[None, None, i], scores)

        for m in cutlass.range_constexpr(tiles_m):
            for r in cutlass.range_constexpr(2):
                larger = top[r, m]
                for j in cutlass.range_constexpr(2 * tiles_n):
                    c, t = j % 2, j // 2
                    score = scores[(c, r), m, t] * SCALE_LOG2
                    if cutlass.const_expr(CAUSAL):
                        row, column = where[(c, r), m, t]
                        seen = row + block * BLOCK_M >= column + n * BLOCK_N
                        score = cutlass.select_(seen, score, -cutlass.Float32.inf)
                    scores[(c, r), m, t] = score
                    larger = cute.arch.fmax(larger, score)
                larger = over_row(larger, cute.arch.fmax)
                factor = cute.math.exp2(top[r, m] - larger, fastmath=True)
                part_total = total[r, m] * factor
                for j in cutlass.range_constexpr(2 * tiles_n):
                    c, t = j % 2, j // 2
                    weight = cute.math.exp2(scores[(c, r), m, t] - larger, fastmath=True)
                    part_total = part_total + weight
                    weights[(c, r), m, t] = weight.to(cutlass.BFloat16)
                for j in cutlass.range_constexpr(2 * tiles_d):
                    c, t = j % 2, j // 2
                    out[(c, r), m, t] = out[(c, r), m, t] * factor
                top[r, m] = larger
                total[r, m] = part_total

        cute.arch.cp_async_wait_group(0)
        cute.arch.sync_threads()
        for i in cutlass.range_constexpr(BLOCK_N // 16):
            cute.copy(read_v, from_v[None, None, i], to_v[None, None, i])
            cute.gemm(mma, out, a_weights[None, None, i], b_v[None, None, i], out)

    rounded = cute.make_rmem_tensor(out.shape, cutlass.BFloat16)
    for m in cutlass.range_constexpr(tiles_m):
        for r in cutlass.range_constexpr(2):
            whole = over_row(total[r, m], lambda a, b: a + b)
            for j in cutlass.range_constexpr(2 * tiles_d):
                c, t = j % 2, j // 2
                rounded[(c, r), m, t] = (out[(c, r), m, t] / whole).to(cutlass.BFloat16)
    cute.autovec_copy(rounded, part.partition_C(result))


@cute.jit
def launch(
    q: cute.Tensor, k: cute.Tensor, v: cute.Tensor, o: cute.Tensor,
    CAUSAL: cutlass.Constexpr, SCALE_LOG2: cutlass.Constexpr,
):  # fmt: skip
    mma = cute.make_tiled_mma(
        warp.MmaF16BF16Op(cutlass.BFloat16, cutlass.Float32, (16, 8, 16)),
        (WARPS, 1, 1),
        permutation_mnk=(WARPS * 16, 16, 16),
    )
    copy = cute.make_tiled_copy_tv(
        cute.make_copy_atom(
            cpasync.CopyG2SOp(cache_mode=cpasync.LoadCacheMode.GLOBAL),
            cutlass.BFloat16,
            num_bits_per_copy=128,
        ),
        cute.make_layout((THREADS // 16, 16), stride=(16, 1)),
        cute.make_layout((1, 8)),
    )
    attention_forward(q, k, v, o, mma, copy, SCALE_LOG2, bool(CAUSAL)).launch(
        grid=(q.shape[1] // BLOCK_M, q.shape[0] * q.shape[2], 1), block=(THREADS, 1, 1)
    )
