"""The machine that an evaluator measures on, and how close scores come to its peak rate."""

from __future__ import annotations

from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.domain.score import Score

RATES = {"FLOP/s": 1.0, "GFLOP/s": 1e9, "TFLOP/s": 1e12}
"""Units that are operations per second; only these can be compared with a peak."""


def peak(machine: MachineInfo) -> tuple[str, float] | None:
    """(name of the unit, its peak rate in operations per second) to compare scores with, or
    None."""
    return next(iter(machine.peak_flops.items()), None)


def shares(score: Score, machine: MachineInfo) -> dict[str, float]:
    """Configuration → fraction of the machine's peak rate; empty if the score's unit is no such
    rate.

    Only the arithmetic peak is used, so a configuration limited by memory cannot reach 1.
    """
    top, scale = peak(machine), RATES.get(score.unit)
    if top is None or scale is None or top[1] <= 0:
        return {}
    return {c.name: c.throughput * scale / top[1] for c in score.configurations}


def machine_lines(machine: MachineInfo) -> list[str]:
    """Facts about the machine for an engineer, one a line."""
    lines = [
        f"device: {machine.device}" + f" ({machine.architecture})" * bool(machine.architecture)
    ]
    if machine.compiler:
        lines.append(f"compiler: {machine.compiler}")
    lines.extend(
        f"peak, {what}: {rate(value)}" for what, value in machine.peak_flops.items() if value > 0
    )
    if machine.measured_flops > 0:
        lines.append(
            f"measured here with a library's matrix product: {rate(machine.measured_flops)}"
        )
    if machine.peak_bytes > 0:
        lines.append(f"memory bandwidth: {machine.peak_bytes / 1e9:.4g} GB/s")
        if (top := peak(machine)) is not None and top[1] > 0:
            lines.append(
                f"ridge of the roofline: {top[1] / machine.peak_bytes:.4g} operations per byte of"
                " memory traffic; below that the memory is the limit, above it the arithmetic"
            )
    lines.extend(machine.facts)
    return lines


def rate(value: float) -> str:
    """A rate in operations per second as text, with a suitable unit prefix."""
    return f"{value / 1e12:.4g} TFLOP/s" if value >= 1e12 else f"{value / 1e9:.4g} GFLOP/s"


class MachineInfo(Value):
    """The machine that an evaluator measures on. Measurements with equal `conditions` are
    comparable."""

    device: str
    """Such as `cpu AMD EPYC 7B13 · 1 thread`."""
    architecture: str = ""
    compiler: str = ""
    sandbox: str = ""
    sandbox_warning: str = ""
    """One sentence if candidates run without isolation (which was allowed); empty otherwise."""
    conditions: str
    """A key derived from everything that affects a score: device, compiler, task text, harness
    version."""
    peak_flops: dict[str, float] = Field(default_factory=dict)
    """Peak operations per second of each unit, such as `bf16 tensor cores`. The task's rates are
    compared with the first unit."""
    peak_bytes: float = 0.0
    """Peak memory bandwidth in bytes per second; 0 if not known."""
    measured_flops: float = 0.0
    """Operations per second that a library's matrix product reached on this machine; 0 if it was
    not measured."""
    facts: tuple[str, ...] = ()
    """Further facts about the machine, one a line: units and clocks, caches, flags."""
