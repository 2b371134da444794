"""Times this package's kernel: the whole call, and what of it is not the kernel's.

    python -m PACKAGE.benchmark

Prints a line for each shape: milliseconds of a call (median of 50; on a GPU between events), and
the microseconds that the host needs to queue one call, on inputs of the smallest shape.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from .operator_of import FACTS, SETTINGS, SHAPES, operator

ROUNDS = 50
"""Calls of each shape."""


def _arguments(shape: dict[str, Any]) -> list[Any]:
    generator = torch.Generator().manual_seed(1)
    inputs = [
        torch.randn(t["shape"], generator=generator)
        .to(getattr(torch, t["dtype"]))
        .to(FACTS["device"])
        for t in shape["inputs"]
    ]
    return [*inputs, *(shape["parameters"][s["name"]] for s in SETTINGS)]


def _milliseconds(arguments: list[Any]) -> float:
    times: list[float] = []
    for _ in range(ROUNDS):
        if FACTS["device"] == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            operator(*arguments)
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        else:
            started = time.perf_counter()
            operator(*arguments)
            times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def host_microseconds(arguments: list[Any], calls: int = 2000) -> float:
    """What queueing one call takes; on a GPU the queue is emptied every 100 calls."""
    took = []
    for _ in range(calls // 100):
        started = time.perf_counter()
        for _ in range(100):
            operator(*arguments)
        took.append(1e6 * (time.perf_counter() - started) / 100)
        if FACTS["device"] == "cuda":
            torch.cuda.synchronize()
    return statistics.median(took)


def main() -> None:
    """Prints the table."""
    for shape in SHAPES:
        arguments = _arguments(shape)
        operator(*arguments)
        print(f"{shape['name']:>24} {_milliseconds(arguments):10.4f} ms")
    smallest = min(SHAPES, key=lambda s: sum(torch.Size(t["shape"]).numel() for t in s["inputs"]))
    if FACTS["device"] == "cuda":
        took = host_microseconds(_arguments(smallest))
        print(f"{'host, ' + smallest['name']:>24} {took:10.1f} µs a call")


if __name__ == "__main__":
    main()
