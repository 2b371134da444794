"""How near a score comes to what the machine can do at most."""

from __future__ import annotations

from avo_tui.domain.score import Score
from avo_tui.domain.verdict import MachineInfo

RATES = {"FLOP/s": 1.0, "GFLOP/s": 1e9, "TFLOP/s": 1e12}
"""Units of a score that are operations per second; others have no roofline of this kind."""


def peak(machine: MachineInfo) -> tuple[str, float] | None:
    """(what does the operations, operations per second): the peak that rates compare with."""
    return next(iter(machine.peak_flops.items()), None)


def shares(score: Score, machine: MachineInfo) -> dict[str, float]:
    """Configuration → share of the machine's peak that it reaches; empty where it has no meaning.

    A share is of the arithmetic peak alone: a configuration that is bound by memory cannot reach 1.
    """
    top, scale = peak(machine), RATES.get(score.unit)
    if top is None or scale is None or top[1] <= 0:
        return {}
    return {c.name: c.throughput * scale / top[1] for c in score.configurations}


def machine_lines(machine: MachineInfo) -> list[str]:
    """The machine as an engineer wants to know it, one fact a line."""
    lines = [
        f"device: {machine.device}" + f" ({machine.architecture})" * bool(machine.architecture)
    ]
    if machine.compiler:
        lines.append(f"compiler: {machine.compiler}")
    lines.extend(
        f"peak, {what}: {_rate(value)}" for what, value in machine.peak_flops.items() if value > 0
    )
    if machine.measured_flops > 0:
        lines.append(
            f"measured here with a library's matrix product: {_rate(machine.measured_flops)}"
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


def _rate(value: float) -> str:
    return f"{value / 1e12:.4g} TFLOP/s" if value >= 1e12 else f"{value / 1e9:.4g} GFLOP/s"
