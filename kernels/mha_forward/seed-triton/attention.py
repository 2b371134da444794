"""Attention forward with an online softmax: one program for each block of query rows."""

import triton
import triton.language as tl

BLOCK_M = 128  # tune: 64 128  (query rows of a program)
BLOCK_N = 64  # tune: 32 64 128  (keys of one iteration)
WARPS = 8  # tune: 4 8
STAGES = 2  # tune: 1 2 3 4  (blocks of keys and values in flight)


@triton.jit
def attention_forward(
    q, k, v, o, seq, heads, kv_heads, scale_log2,
    CAUSAL: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    start = tl.program_id(0) * BLOCK_M
    head = tl.program_id(1) % heads
    batch = tl.program_id(1) // heads
    kv_head = head // (heads // kv_heads)
    rows = start + tl.arange(0, BLOCK_M)
    columns = tl.arange(0, D)
    row_step = heads * D
    kv_step = kv_heads * D
    q_base = batch.to(tl.int64) * seq * row_step + head * D
    kv_base = batch.to(tl.int64) * seq * kv_step + kv_head * D
    queries = tl.load(q + q_base + rows[:, None] * row_step + columns[None, :])
    top = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    out = tl.zeros([BLOCK_M, D], tl.float32)
    end = start + BLOCK_M if CAUSAL else seq
    for first in tl.range(0, end, BLOCK_N):
        keys_at = first + tl.arange(0, BLOCK_N)
        keys = tl.load(k + kv_base + keys_at[None, :] * kv_step + columns[:, None])
        scores = tl.dot(queries, keys) * scale_log2
        if CAUSAL:
            scores = tl.where(rows[:, None] >= keys_at[None, :], scores, float("-inf"))
        larger = tl.maximum(top, tl.max(scores, 1))
        weights = tl.exp2(scores - larger[:, None])
        factor = tl.exp2(top - larger)
        total = total * factor + tl.sum(weights, 1)
        values = tl.load(v + kv_base + keys_at[:, None] * kv_step + columns[None, :])
        out = tl.dot(weights.to(tl.bfloat16), values, out * factor[:, None])
        top = larger
    out = out / total[:, None]
    tl.store(o + q_base + rows[:, None] * row_step + columns[None, :], out.to(tl.bfloat16))


def launch(q, k, v, o, BATCH, SEQ, HEADS, KV_HEADS, HEAD_DIM, CAUSAL, SCALE_LOG2):
    attention_forward[(triton.cdiv(SEQ, BLOCK_M), BATCH * HEADS)](
        q, k, v, o, SEQ, HEADS, KV_HEADS, SCALE_LOG2,
        CAUSAL=bool(CAUSAL), BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, D=HEAD_DIM,
        num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip
