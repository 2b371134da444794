"""What runs beside wgmma: a matrix product with a warpgroup that repeats one instruction.

    python benchmarks/dropout_lineage/co_running.py [--fp8] --out results

Every multiprocessor gets one warp a scheduler that executes one instruction COUNT times in eight
independent chains, first beside the projection of the task dropout_attention (with --fp8: of
dropout_attention_fp8) on Llama 2 7B with 4,096 tokens, then alone. `hidden` is the part of its own
time by which the projection did not grow. Prints a table, and writes it to OUT/co_running.json.
Needs a Hopper GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # the checkout need not be installed
    sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from avo_tui.evaluation.backends.cuda.task import CudaTask  # noqa: E402
from avo_tui.evaluation.tasks import find_tasks  # noqa: E402
from benchmarks.dropout_lineage.stages import Staged, compile_folder, interleave  # noqa: E402

KINDS = (
    "nothing", "IMAD.WIDE", "IMAD.HI", "IMAD.WIDE and LOP3", "DFMA", "FFMA", "HFMA2.BF16", "IMAD",
    "LOP3", "IADD3", "SHF", "PRMT", "IDP.2A", "IMAD and LOP3", "MUFU.EX2",
)  # fmt: skip
"""By the numbers that co_running/repeat.cuh gives them."""
TASKS = {
    False: ("dropout_attention", "dropout_lineage"),
    True: ("dropout_attention_fp8", "dropout_fp8_lineage"),
}
"""Whether in fp8 → the task, and the folder of benchmarks/ that holds the kernel."""
COUNTS = (65_536, 400_000)
SLOW = frozenset({"IMAD.WIDE", "IMAD.HI", "IMAD.WIDE and LOP3", "MUFU.EX2"})
"""Repeated only in the smaller number: they take long."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all kinds; the exit status is 1 where there is no GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--fp8", action="store_true", help="beside the projection in fp8")
    parser.add_argument("--out", type=Path, help="folder for co_running.json")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("this needs an NVIDIA GPU", file=sys.stderr)
        return 1
    name, lineage = TASKS[options.fp8]
    task = find_tasks().get(name)
    assert isinstance(task, CudaTask)
    configuration = next(c for c in task.configurations if c.name == "llama2-7b-4k")
    compiled = compile_folder(task, ROOT / "benchmarks" / lineage / "co_running")
    staged = Staged(task, compiled, configuration)
    rows: list[dict[str, float | int | str]] = []
    print(f"{'instruction':20s} {'times':>8s} {'alone':>8s} {'beside':>8s} {'hidden':>7s}  µs")
    base, launch = 0.0, 0.0
    for kind, name in enumerate(KINDS):
        for count in COUNTS[:1] if name in SLOW or kind == 0 else COUNTS:
            asked = torch.tensor([kind, count], dtype=torch.int32)
            staged.buffers.inputs["seed"].copy_(asked)
            times = interleave({"it": staged.call}, options.rounds)["it"]
            if kind == 0:
                base, launch = times["projection"], times["alone"]
            alone, beside = times["alone"] - launch, times["projection"]
            hidden = 1 - (beside - base) / alone if kind else 0.0
            rows.append(
                {"name": name, "count": count, "alone": alone, "beside": beside, "hidden": hidden}
            )
            print(f"{name:20s} {count:8d} {alone:8.1f} {beside:8.1f} {hidden:7.0%}", flush=True)
    staged.free()
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(rows, indent=1) + "\n"
        (options.out / "co_running.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
