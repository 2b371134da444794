"""The kinds of candidates that every backend must tell apart, as changes to CuTe DSL's seed."""

from __future__ import annotations

from collections.abc import Mapping

_STORE = "    cute.autovec_copy(rounded"
_ELSEWHERE = "    other = cute.make_tensor({}, cute.make_layout(1))\n    other[0] = {}\n"
_LOOP = "cutlass.range(blocks)"
CHANGES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "honest": (),
    "never_writes": ((_STORE, f"    if block < 0:\n    {_STORE}"),),
    "constant": (("/ whole)", "/ whole * 0.0)"),),
    "mean": (("m, t] * SCALE_LOG2", "m, t] * 0.0"),),
    "part_left_out": ((_LOOP, "cutlass.range(0, blocks, 2)"),),
    "ignores_a_flag": (("bool(CAUSAL))", "False)"),),
    "off_by_one": (("block * BLOCK_M >= column", "block * BLOCK_M + 1 >= column"),),
    "faint": (("score, -cutlass.Float32.inf)", "score, score - 14.0)"),),
    "low_precision": (
        ("weight.to(cutlass.BFloat16)", "(cutlass.Int32(weight * 8.0) / 8.0).to(cutlass.BFloat16)"),
    ),
    "unset_memory": (
        ("    q: cute.Tensor, k", "    junk: cute.Tensor, q: cute.Tensor, k"),
        ("/ whole)", "/ whole + junk[0])"),
        ("def launch(\n    junk: cute.Tensor, q", "def launch(\n    workspace, q"),
        ("attention_forward(q, k", 'attention_forward(workspace(4, "f32"), q, k'),
    ),
    "unsteady": (("/ whole)", "/ whole * cutlass.Float32(cute.arch.globaltimer_lo() % 64 + 1))"),),
    "some_shapes": (("blocks = cute.size(keys, mode=[2])", "blocks = q.shape[1] // 256 * 4"),),
    "changes_inputs": ((_STORE, f"    q[0, 0, 0, 0] = cutlass.BFloat16(1.0)\n{_STORE}"),),
    "writes_behind": (
        (
            _STORE,
            _ELSEWHERE.format("o.iterator + cute.size(o)", "cutlass.BFloat16(0.0)") + _STORE,
        ),
    ),
    "writes_before": (
        (_STORE, _ELSEWHERE.format("o.iterator - 8", "cutlass.BFloat16(0.0)") + _STORE),
    ),
    "null_pointer": (
        (
            _STORE,
            _ELSEWHERE.format(
                "cute.make_ptr(cutlass.Float32, 0, cute.AddressSpace.gmem)", "cutlass.Float32(1.0)"
            )
            + _STORE,
        ),
    ),
    "no_end": (
        (_LOOP, "cutlass.range(blocks + (1 << 30))"),
        ("keys[None, None, n]", "keys[None, None, n % blocks]"),
        ("values[None, None, n]", "values[None, None, n % blocks]"),
    ),
    "does_not_compile": (("@cute.kernel", "@cute.kernel("),),
}
