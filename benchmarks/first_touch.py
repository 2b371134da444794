"""What a process is charged for touching memory for the first time.

    python benchmarks/first_touch.py --megabytes 4000

Linux accounts processor time to a process that are none of its instructions: finding, clearing and
mapping a page at its first touch, and in a virtual machine the host's work to back that page, which
no guest can tell from work of its own. So no candidate is accused because it used time at a moment
when it had nothing to compute; see `_ADVICE_SECONDS` in `backends/cpp/process.py`.
"""

from __future__ import annotations

import argparse
import mmap
import time

STEP = 128 * 1024


def steps(total: int) -> list[float]:
    """Processor time in milliseconds of touching each `STEP` bytes of `total` fresh ones."""
    memory = mmap.mmap(-1, total, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    data = b"\x01" * STEP
    taken = []
    for begin in range(0, total - STEP + 1, STEP):
        before = time.thread_time_ns()
        memory[begin : begin + STEP] = data
        taken.append((time.thread_time_ns() - before) / 1e6)
    return taken


def main() -> None:
    """The command line: the first pass may touch memory that the host has not backed yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=2000)
    total = parser.parse_args().megabytes << 20
    for name in ("first pass", "second pass"):
        taken = steps(total)
        over = ", ".join(f"{sum(t > limit for t in taken)} over {limit} ms" for limit in (1, 5, 20))
        print(
            f"{name}: {len(taken)} times {STEP >> 10} KiB, {sum(taken) / len(taken):.3f} ms in the "
            f"mean, {max(taken):.1f} ms at most; {over}"
        )


if __name__ == "__main__":
    main()
