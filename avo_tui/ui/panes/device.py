"""The state of devices as text: one row for a screen's edge, sparklines, and what was so while a
kernel was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from avo_tui.domain.device import DeviceHealth, DeviceState, Range
from avo_tui.domain.workers import (
    WorkersSeen,
    doing_text,
    figures_text,
    loss_text,
    queue_text,
    usable_text,
)
from avo_tui.ui import formats
from avo_tui.ui.text import BLANK, Line, Span, between, crop, line, one_line, prose, width_of

FRESH_SECONDS = 15.0
"""Age in seconds above which a sample no longer counts as current."""

History = Mapping[str, Sequence[DeviceState]]
"""Device → its samples in order of time."""


def device_row(
    history: History, now: datetime, width: int, right: Sequence[Span] = ()
) -> Line | None:
    """The busiest device in one row, and `right` at its end; None if nothing is sampled.

    GPUs are preferred to processors, because kernels run on a GPU if there is one.
    """
    present = [
        states[-1]
        for states in history.values()
        if states and (now - states[-1].at).total_seconds() < FRESH_SECONDS
    ]
    if not present:
        return None
    state = max(present, key=lambda s: (not s.name.startswith("cpu "), s.utilisation or 0.0))
    spans: list[Span] = [(" ", ""), (_short(state.name), "dim")]
    if len(present) > 2:
        spans.append((f" (1 of {len(present)})", "faint"))
    for words, role in _present(state):
        spans += [("  ", ""), (words, role)]
    if not right:
        return line(*crop(spans, width))
    return line(*between(crop(spans, width - width_of(right) - 3), [*right, (" ", "")], width))


def _present(state: DeviceState) -> list[Span]:
    """The values of a sample, rounded so that the row of an idle machine does not change."""
    out: list[Span] = []
    if state.throttle:
        out.append((f"! held back: {', '.join(state.throttle)}", "warn"))
    if state.utilisation is not None:
        out.append((f"{round(state.utilisation * 20) * 5}% busy", ""))
    if state.clock_mhz is not None:
        out.append((_clock(round(state.clock_mhz, -1), state.clock_max_mhz), ""))
    if state.power_watts is not None:
        limit = f"/{state.power_limit_watts:.0f}" if state.power_limit_watts else ""
        out.append((f"{round(state.power_watts, -1):.0f}{limit} W", ""))
    if state.temperature_celsius is not None:
        out.append((f"{state.temperature_celsius:.0f} °C", ""))
    if state.steal is not None and state.steal >= 0.02:
        out.append((f"{state.steal:.0%} stolen", "warn"))
    if state.pressure is not None and state.pressure >= 0.1:
        share = round(state.pressure * 10) * 10
        out.append((f"{share}% contended", "warn" if share >= 50 else "dim"))
    return out


def health_lines(health: DeviceHealth | None, width: int) -> list[Line]:
    """The state of the device during a measurement, and what may have affected the result."""
    if health is None:
        return []
    parts = []
    if health.clock_mhz is not None:
        low, high = health.clock_mhz.low, health.clock_mhz.high
        if high - low < 1:
            parts.append(_clock(high, health.clock_max_mhz))
        else:
            of = f" of {health.clock_max_mhz:,.0f}" if health.clock_max_mhz else ""
            parts.append(f"{low:,.0f}–{high:,.0f}{of} MHz")
    for values, unit in ((health.power_watts, "W"), (health.temperature_celsius, "°C")):
        if values is not None:
            parts.append(f"{_range(values)} {unit}")
    if health.utilisation is not None:
        parts.append(f"{health.utilisation:.0%} busy")
    out: list[Line] = []
    if health.remark:
        lead = ("! while this was measured: ", "warn")
        out += prose(health.remark, width, "", lead)
    if parts:
        lead = (f"{_short(health.name)}  ", "faint")
        out += prose(" · ".join(parts), width, "dim", lead)
    return out


def device_lines(history: History, now: datetime, width: int) -> list[Line]:
    """Each device with a sparkline for each value that it reports."""
    out: list[Line] = []
    for states in history.values():
        if not states:
            continue
        last = states[-1]
        age = (now - last.at).total_seconds()
        span = (last.at - states[0].at).total_seconds()
        where = f" on {one_line(last.host, 40)}" if last.host else ""
        head = [(f"{one_line(last.name)} {last.index}{where}", "strong")]
        told = f"  the last {formats.coarse(span)}" if age < FRESH_SECONDS else ""
        head.append((told or f"  last seen {formats.coarse(age)} ago", "dim" if told else "warn"))
        out.append(line(*head))
        out += _quantities(states, width)
        out.append(BLANK)
    return out


def worker_lines(seen: WorkersSeen | None, now: datetime, width: int) -> list[Line]:
    """Each device that candidates are measured on: what it does and what it has done."""
    if seen is None or not (seen.workers or seen.queue):
        return []
    age = (now - seen.at).total_seconds()
    fresh = age < FRESH_SECONDS
    moment = now if fresh else seen.at
    text = queue_text(seen.queue, moment) if seen.queue else usable_text(seen.workers)
    head: list[Span] = [(text, "strong")]
    if not fresh:
        head.append((f"  as the engine told {formats.coarse(age)} ago", "warn"))
    out: list[Line] = [line(*crop(head, width))]
    for worker in seen.workers:
        what = ", ".join(filter(None, (one_line(worker.device, 40), one_line(worker.host, 40))))
        role = {"busy": "info", "idle": "dim", "starting": "dim"}.get(worker.state, "warn")
        spans: list[Span] = [(f"  {one_line(worker.name, 40)}", "strong"), (f"  {what}", "dim")]
        out.append(line(*crop(spans, width)))
        for text, colour in (
            (doing_text(worker, moment), role),
            (figures_text(worker, moment), "dim"),
            (loss_text(worker, moment), "warn"),
        ):
            if text:
                out += prose(one_line(text, 400), width, colour, ("    ", ""))
    return [*out, BLANK]


def _quantities(states: Sequence[DeviceState], width: int) -> list[Line]:
    last = states[-1]
    clock, power = last.clock_max_mhz, last.power_limit_watts
    rows: list[tuple[str, list[float | None], float | None, Callable[[float], str]]] = [
        ("busy", [s.utilisation for s in states], 1.0, "{:.0%}".format),
        ("clock", [s.clock_mhz for s in states], clock, lambda v: _clock(v, clock)),
        ("power", [s.power_watts for s in states], power, lambda v: _of(v, power, "W")),
        ("temperature", [s.temperature_celsius for s in states], 100.0, "{:.0f} °C".format),
        ("load", [s.load for s in states], None, "{:.2f} programs a core".format),
        ("stolen", [s.steal for s in states], 1.0, "{:.0%} by the hypervisor".format),
        ("contended", [s.pressure for s in states], 1.0, "{:.0%} of the time for a core".format),
    ]
    out: list[Line] = []
    for name, values, top, show in rows:
        known = [value for value in values if value is not None]
        if not known:
            continue
        text = show(known[-1])
        known = known[-max(8, width - 14 - 34) :]
        out.append(
            line(
                (f"  {name:<12}", "dim"),
                (formats.sparkline(known, len(known), top or max(known) or 1.0), "info"),
                f"  {text}",
            )
        )
    if last.memory_total:
        used = f"{formats.size(last.memory_used or 0)} of {formats.size(last.memory_total)}"
        out.append(line((f"  {'memory':<12}", "dim"), used))
    held = [state for state in states if state.throttle]
    if held:
        reasons = ", ".join(dict.fromkeys(r for s in held for r in s.throttle))
        share = len(held) / len(states)
        lead = (f"  {'held back':<12}", "warn")
        out += prose(f"by {reasons}, in {share:.0%} of these samples", width, "warn", lead)
    return out


def _clock(value: float, highest: float | None) -> str:
    return f"{value:,.0f}{f' of {highest:,.0f}' if highest else ''} MHz"


def _of(value: float, limit: float | None, unit: str) -> str:
    return f"{value:.0f}{f' of {limit:.0f}' if limit else ''} {unit}"


def _range(values: Range) -> str:
    low, high = f"{values.low:.0f}", f"{values.high:.0f}"
    return low if low == high else f"{low}–{high}"


def _short(name: str) -> str:
    """A device's name without its redundant parts."""
    text = one_line(name, 28).removeprefix("NVIDIA ")
    return text.replace("(R)", "").replace("(TM)", "").replace(" Processor", "")
