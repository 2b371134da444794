"""Upper limits of the hardware: a higher rate means that the work was not done."""

from __future__ import annotations

from dataclasses import dataclass

from avo_tui.evaluation.measurement.metric import Work

ABOVE_MEASURED = "above the measured ceiling"
"""Flag of a configuration that is faster than the best that was measured of the machine itself."""
MARGIN = 1.1
"""How far above the measured ceiling a rate may be before it is flagged: clocks vary."""


@dataclass(frozen=True)
class Ceilings:
    """Limits of one device. Zero stands for one that is not known."""

    peak_flops: float = 0.0
    """Operations per second that no program can exceed, in the fastest type the task may use."""
    peak_bytes: float = 0.0
    """Bytes per second to and from the memory that no program can exceed."""
    cache_bytes: float = 0.0
    """Bytes that may already be in caches and need not be read from memory."""
    measured_flops: float = 0.0
    """Operations per second that were measured on this machine without any candidate."""

    def least_seconds(self, work: Work) -> tuple[float, str]:
        """The shortest time that one run can take, and what limits it; zero for nominal work."""
        if work.nominal:
            return 0.0, "nothing that is known"
        arithmetic = work.flops / self.peak_flops if self.peak_flops else 0.0
        moved = max(0.0, work.bytes - self.cache_bytes)
        traffic = moved / self.peak_bytes if self.peak_bytes else 0.0
        if arithmetic >= traffic:
            return arithmetic, f"its peak of {self.peak_flops / 1e12:.3g} TFLOP/s"
        return traffic, f"its memory's {self.peak_bytes / 1e9:.4g} GB/s"

    def impossible(self, work: Work, seconds: float) -> str:
        """Why a run cannot have taken so short a time, as part of a sentence; empty if it can."""
        least, limit = self.least_seconds(work)
        if seconds >= least:
            return ""
        return (
            f"{seconds * 1e3:.4g} ms, which is less than the {least * 1e3:.4g} ms that the "
            f"hardware needs by {limit}"
        )

    def remark(self, work: Work, seconds: float) -> tuple[str, ...]:
        """Flags for a median time: faster than what was measured of the machine itself."""
        if self.measured_flops and work.flops / seconds > MARGIN * self.measured_flops:
            return (ABOVE_MEASURED,)
        return ()
