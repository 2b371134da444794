"""The state of a device, such as a GPU or a processor: one sample, and a summary of many."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from avo_tui.domain.base import Moment, Value

NOTICEABLE_SHARE = 0.02
"""Fraction of a measurement's time above which throttling or steal time is reported. Less than that
does not visibly change a median of samples."""

NOTICEABLE_PRESSURE = 0.5
"""Fraction of the time that some program waited for a processor above which it is reported. A
machine that runs one busy program more than it has cores exceeds it."""


BUSY_LOAD = 0.75
"""Programs that run or are ready to run, for each core, from which a machine is called busy."""


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
    """Fraction of the time since the previous sample in which the device was busy, 0 to 1."""
    clock_mhz: float | None = None
    """Clock of the multiprocessors; for a processor, the mean over its cores."""
    clock_max_mhz: float | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    temperature_celsius: float | None = None
    memory_used: int | None = None
    """Bytes."""
    memory_total: int | None = None
    """Bytes."""
    throttle: tuple[str, ...] = ()
    """Reasons why the clock is lower than it could be, such as `power limit`; empty if nothing
    lowers it or the device does not report reasons."""
    load: float | None = None
    """Processor only: load average over one minute (programs running or ready to run), per core."""
    steal: float | None = None
    """Processor only: fraction of the time since the previous sample taken by a hypervisor (steal
    time), 0 to 1."""
    pressure: float | None = None
    """Processor only: fraction of the time since the previous sample in which some program waited
    for a core, 0 to 1 (`/proc/pressure/cpu`, "some")."""


def busy_text(states: Sequence[DeviceState]) -> str:
    """What says that this machine's processor is busy, in a phrase; "" if nothing does.

    By the time that programs waited for a core since the sample before (by the load, where the
    system does not tell it), and by what a hypervisor took.
    """
    for state in states:
        if state.host or not state.name.startswith("cpu "):
            continue
        parts = []
        if state.pressure is not None and state.pressure >= NOTICEABLE_PRESSURE:
            parts.append(f"programs wait for a core {state.pressure:.0%} of the time")
        if state.load is not None and state.load >= BUSY_LOAD and (parts or state.pressure is None):
            parts.append(f"load {state.load:.1f} for each core")
        if state.steal is not None and state.steal >= NOTICEABLE_SHARE:
            parts.append(f"the hypervisor takes {state.steal:.0%} of the processor")
        return ", ".join(parts)
    return ""


class Range(Value):
    low: float
    mean: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Range | None:
        """The range of the values that are not None; None if there are none."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return cls(low=min(known), mean=sum(known) / len(known), high=max(known))


class DeviceHealth(Value):
    """The condition of a device during a measurement."""

    name: str
    samples: int = 0
    seconds: float = 0.0
    """Duration that the samples cover."""
    clock_mhz: Range | None = None
    clock_max_mhz: float | None = None
    power_watts: Range | None = None
    temperature_celsius: Range | None = None
    utilisation: float | None = None
    """Mean share, 0 to 1."""
    throttled: dict[str, float] = Field(default_factory=dict)
    """Reason → fraction of the samples in which it lowered the clock, 0 to 1."""
    steal: float | None = None
    pressure: float | None = None

    @property
    def remark(self) -> str:
        """One phrase that says what may have distorted the measurement; empty if nothing did."""
        parts = [
            f"clock held back by {reason} for {share:.0%} of the time"
            for reason, share in sorted(self.throttled.items(), key=lambda item: -item[1])
            if share >= NOTICEABLE_SHARE
        ]
        return "; ".join(filter(None, [*parts, self.busy]))

    @property
    def busy(self) -> str:
        """What others took of the processor; empty if little, or if it is not known."""
        parts = []
        if self.steal is not None and self.steal >= NOTICEABLE_SHARE:
            parts.append(f"the hypervisor took {self.steal:.0%} of the processor")
        if self.pressure is not None and self.pressure >= NOTICEABLE_PRESSURE:
            parts.append(f"programs waited for a core {self.pressure:.0%} of the time")
        return "; ".join(parts)


def summary(states: Sequence[DeviceState]) -> DeviceHealth | None:
    """The health of one device from its samples in order of time; None without a sample."""
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
