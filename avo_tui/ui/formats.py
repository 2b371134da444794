"""Formats numbers and times in the same way for all screens."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

from avo_tui.domain.budget import Caps, Spend, nearest
from avo_tui.domain.changes import ABOUT, Change


def ratio(value: float) -> str:
    """A ratio to the baseline, such as `1.041×`; four digits whatever its size."""
    if value <= 0 or not math.isfinite(value):
        return "–"
    if value >= 100:
        return f"{value:.0f}×"
    if value >= 10:
        return f"{value:.1f}×"
    return f"{value:.3f}×"


def change(value: float | None) -> str:
    """A relative change with its sign, such as `+0.6%`; from a factor of 10 on as a factor."""
    if value is None or not math.isfinite(value):
        return ""
    if value >= 9.995:
        return f"×{1 + value:.0f}"
    digits = 0 if abs(value) >= 0.9995 else 1
    text = f"{value * 100:+.{digits}f}%"
    return "±0.0%" if text in {"+0.0%", "-0.0%"} else text.replace("-", "−")


_MINUS = re.compile(r"(?<![\w.\-−–)\]])-(?=\.?\d)")


def minus(text: str) -> str:
    """A sentence of the harness with a true minus before numbers below zero: −0.4% for -0.4%.

    Hyphens in words, ranges and names such as `full-256` stay as they are.
    """
    return _MINUS.sub("−", text)


def change_role(value: float | None) -> str:
    """Colour role of a change: `good`, `bad`, or `dim` for almost none."""
    if value is None or abs(value) < 0.0005:
        return "dim"
    return "good" if value > 0 else "bad"


def gain(known: Change | None) -> str:
    """What a version changed: `+0.9%` if the gate timed it, `≈−2.8%` from two separate runs."""
    if known is None:
        return ""
    text = change(known.gain)
    return text if known.timed or not text else ABOUT + text


def gain_role(known: Change | None) -> str:
    """Colour role of a change; `dim` if it does not say which version is faster."""
    return change_role(known.gain) if known is not None and known.clear else "dim"


def throughput(value: float) -> str:
    """A throughput in digits that fit a column: fewer decimals, the larger it is; – for none."""
    if value <= 0 or not math.isfinite(value):
        return "–"
    if value >= 10_000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def many(number: int, what: str) -> str:
    """A number of things: 1 version, 1,234 versions."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def share(value: float) -> str:
    """A part of a whole: 75%, 0.3%, <0.1%."""
    if 0 < value < 0.001:
        return "<0.1%"
    return f"{value:.1%}" if 0 < value < 0.01 else f"{value:.0%}"


def count(value: float) -> str:
    """A large count in at most five characters: 940, 12.4k, 3.1M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            scaled = value / limit
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}{unit}"
    return f"{value:.0f}"


def size(value: float) -> str:
    """Bytes: 640 B, 12.4 KB, 3.1 MB."""
    for limit, unit in ((2**30, "GB"), (2**20, "MB"), (2**10, "KB")):
        if value >= limit:
            return f"{value / limit:.1f} {unit}"
    return f"{value:.0f} B"


def duration(seconds: float) -> str:
    """How long something takes: `12s`, `3:07`, `2:05:09`, `2d 04h`."""
    seconds = max(0, int(seconds))
    if seconds < 60:
        return f"{seconds}s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d}"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours:02d}h"


def clock(seconds: float) -> str:
    """Elapsed time in whole minutes, so that an idle screen does not change: `12m`, `5h 07m`, `2d
    04:11`."""
    minutes = max(0, int(seconds)) // 60
    if minutes < 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes:02d}m"
    return f"{hours // 24}d {hours % 24:02d}:{minutes:02d}"


def coarse(seconds: float) -> str:
    """A coarse duration that changes rarely: `8s`, `40s`, `12m`, `5h 07m`.

    From ten seconds on it changes every ten seconds, from a minute on once a minute.
    """
    seconds = max(0, int(seconds))
    if seconds >= 60:
        return clock(seconds)
    return f"{seconds - seconds % 10 if seconds >= 10 else seconds}s"


def ago(then: datetime | None, now: datetime) -> str:
    """How long ago, coarse: `now`, `12s`, `4m`, `3h`, `2d`."""
    if then is None:
        return "–"
    seconds = max(0, int((now - then).total_seconds()))
    if seconds < 2:
        return "now"
    sizes = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
    return next(f"{seconds // size}{unit}" for size, unit in sizes if seconds >= size)


def seconds_of(value: float) -> str:
    """A measured duration: `0.42s`, `3.1s`, `1:20`."""
    if value < 1:
        return f"{value:.2f}s"
    if value < 60:
        return f"{value:.1f}s"
    return duration(value)


def usd(value: float) -> str:
    return f"${value:,.0f}" if value >= 1000 else f"${value:.2f}"


_UNIT_WORD = {"tokens": "tok", "evaluations": "evals", "steps": "steps", "hours": "h"}


def spend(caps: Caps, spent: Spend) -> tuple[str, float]:
    """(spend and the cap that is nearest as text, fraction of the cap used; 0 without a cap)."""
    cap = nearest(caps, spent)
    if cap is None:
        if spent.usd > 0:
            return usd(spent.usd), 0.0
        return f"{count(spent.evaluations)} eval{'s' * (spent.evaluations != 1)}", 0.0
    if cap.unit == "usd":
        whole = f"${cap.cap:.0f}" if cap.cap == int(cap.cap) else f"${cap.cap:.2f}"
        return f"{usd(cap.used)}/{whole}", cap.fraction
    if cap.unit == "hours":
        used = timedelta(hours=cap.used).total_seconds()
        return f"{clock(used)}/{cap.cap:g}h", cap.fraction
    return f"{count(cap.used)}/{count(cap.cap)} {_UNIT_WORD[cap.unit]}", cap.fraction


_SPARKS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float], width: int, top: float | None = None) -> str:
    """Values as `width` blocks at most; from zero to `top`, or to the largest of them."""
    if not values or width <= 0:
        return ""
    if len(values) > width:
        values = [values[(i + 1) * len(values) // width - 1] for i in range(width)]
    top = top or max(values)
    if top <= 0:
        return ""
    return "".join(_SPARKS[max(0, min(7, int(value / top * 7.999)))] for value in values)
