"""The state of a device, such as a GPU or a processor: one sample, and a summary of many."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from avo_tui.domain.base import Moment, Value

NOTICEABLE_SHARE = 0.02
"""Share of a measurement's time from which throttling or steal is worth a remark: less than that
moves a median of samples by nothing that can be seen."""

NOTICEABLE_PRESSURE = 0.5
"""Share of the time in which some program waited for a processor, from which it is worth a remark.
A machine with one busy program more than it has cores is above it."""


class DeviceState(Value):
    """One sample of one device. A field is None where the device or its driver does not tell it."""

    name: str
    """What the device is, such as `NVIDIA H200` or `cpu AMD EPYC 9654`."""
    index: int = 0
    """Number of the device among those of its kind on its host."""
    host: str = ""
    """Name of the machine it is in; empty for the engine's own."""
    at: Moment
    utilisation: float | None = None
    """Share of the time since the sample before in which the device was busy, 0 to 1."""
    clock_mhz: float | None = None
    """Clock of the multiprocessors; of a processor, the mean over the cores."""
    clock_max_mhz: float | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    temperature_celsius: float | None = None
    memory_used: int | None = None
    """Bytes."""
    memory_total: int | None = None
    """Bytes."""
    throttle: tuple[str, ...] = ()
    """Why the clock is lower than it could be, in words, such as `power limit`; () where nothing
    holds it back or the device does not tell."""
    load: float | None = None
    """Processor: programs that run or wait to run, averaged over a minute, per core."""
    steal: float | None = None
    """Processor: share of the time since the sample before that a hypervisor took, 0 to 1."""
    pressure: float | None = None
    """Processor: share of the time since the sample before in which some program waited for a
    core, 0 to 1 (`/proc/pressure/cpu`, "some")."""


class Range(Value):
    """Least, mean and most of a quantity."""

    low: float
    mean: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Range | None:
        """The range of the values that are known; None where none is."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return cls(low=min(known), mean=sum(known) / len(known), high=max(known))


class DeviceHealth(Value):
    """How a device was while something was measured on it."""

    name: str
    samples: int = 0
    seconds: float = 0.0
    """Length of the time that was watched."""
    clock_mhz: Range | None = None
    clock_max_mhz: float | None = None
    power_watts: Range | None = None
    temperature_celsius: Range | None = None
    utilisation: float | None = None
    """Mean share, 0 to 1."""
    throttled: dict[str, float] = Field(default_factory=dict)
    """Reason → share of the samples in which it lowered the clock, 0 to 1."""
    steal: float | None = None
    pressure: float | None = None

    @property
    def remark(self) -> str:
        """One phrase that says what may have changed the measurement; empty where nothing did."""
        parts = [
            f"clock held back by {reason} for {share:.0%} of the time"
            for reason, share in sorted(self.throttled.items(), key=lambda item: -item[1])
            if share >= NOTICEABLE_SHARE
        ]
        if self.steal is not None and self.steal >= NOTICEABLE_SHARE:
            parts.append(f"the hypervisor took {self.steal:.0%} of the processor")
        if self.pressure is not None and self.pressure >= NOTICEABLE_PRESSURE:
            parts.append(f"programs waited for a core {self.pressure:.0%} of the time")
        return "; ".join(parts)

    @property
    def throttled_share(self) -> float:
        """Largest share of the time in which one reason lowered the clock, 0 to 1."""
        return max(self.throttled.values(), default=0.0)


def summary(states: Sequence[DeviceState]) -> DeviceHealth | None:
    """The samples of one device, in the order of time, as its health; None without a sample."""
    if not states:
        return None
    reasons = dict.fromkeys(reason for state in states for reason in state.throttle)
    # shares cover the time since the sample before: the first one speaks of the time before
    shares = states[1:] or states
    busy = Range.of([state.utilisation for state in shares])
    steal = Range.of([state.steal for state in shares])
    pressure = Range.of([state.pressure for state in shares])
    return DeviceHealth(
        name=states[-1].name,
        samples=len(states),
        seconds=(states[-1].at - states[0].at).total_seconds(),
        clock_mhz=Range.of([state.clock_mhz for state in states]),
        clock_max_mhz=states[-1].clock_max_mhz,
        power_watts=Range.of([state.power_watts for state in states]),
        temperature_celsius=Range.of([state.temperature_celsius for state in states]),
        utilisation=busy.mean if busy else None,
        throttled={
            reason: sum(reason in state.throttle for state in states) / len(states)
            for reason in reasons
        },
        steal=steal.mean if steal else None,
        pressure=pressure.mean if pressure else None,
    )
