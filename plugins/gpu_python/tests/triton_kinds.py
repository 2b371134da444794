"""The kinds of candidates that every backend must tell apart, as changes to Triton's seed."""

from __future__ import annotations

from collections.abc import Mapping

_STORE = "    tl.store(o + q_base"
_HEAD = "    start = tl.program_id(0) * BLOCK_M\n"
_TIMER = "import triton.language as tl\nfrom triton.language.extra.cuda import globaltimer\n"
CHANGES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "honest": (),
    "never_writes": ((_STORE, "    tl.store(q + q_base"), ("out.to(tl.bfloat16))", "queries)")),
    "constant": ((_STORE, f"    out = out * 0.0\n{_STORE}"),),
    "mean": (("tl.dot(queries, keys) * scale_log2", "tl.dot(queries, keys) * 0.0"),),
    "part_left_out": (("tl.range(0, end, BLOCK_N)", "tl.range(0, end, 2 * BLOCK_N)"),),
    "ignores_a_flag": (("CAUSAL=bool(CAUSAL)", "CAUSAL=False"),),
    "off_by_one": (("rows[:, None] >= keys_at", "rows[:, None] + 1 >= keys_at"),),
    "faint": (('scores, float("-inf"))', "scores, scores - 14.0)"),),
    "low_precision": (("weights.to(tl.bfloat16)", "weights.to(tl.float8e4nv).to(tl.bfloat16)"),),
    "unset_memory": (
        ("q, k, v, o, seq,", "ws, q, k, v, o, seq,"),
        (_STORE, f"    out = out + tl.load(ws)\n{_STORE}"),
        ("def launch(q, ", "def launch(workspace, q, "),
        ("        q, k, v, o, SEQ,", '        workspace(4, "f32"), q, k, v, o, SEQ,'),
    ),
    "unsteady": (
        ("import triton.language as tl\n", _TIMER),
        (_STORE, f"    out = out * (1.0 + (globaltimer() % 64).to(tl.float32))\n{_STORE}"),
    ),
    "some_shapes": (("if CAUSAL else seq", "if CAUSAL else seq // 256 * 256"),),
    "changes_inputs": ((_STORE, f"    tl.store(q, 1.0)\n{_STORE}"),),
    "writes_behind": ((_STORE, f"    tl.store(o + tl.num_programs(1) * seq * D, 0.0)\n{_STORE}"),),
    "writes_before": ((_STORE, f"    tl.store(o - 8, 0.0)\n{_STORE}"),),
    "null_pointer": (
        (
            _STORE,
            "    tl.store((o.to(tl.int64) * 0).to(tl.pointer_type(tl.float32)), 1.0)\n" + _STORE,
        ),
    ),
    "no_end": (("tl.range(0, end, BLOCK_N)", "tl.range(0, end, seq // (1 << 20))"),),
    "does_not_compile": (("@triton.jit", "@triton.jit("),),
}
