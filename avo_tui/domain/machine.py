"""The machine that an evaluator measures on."""

from __future__ import annotations

from pydantic import Field

from avo_tui.domain.base import Value


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
