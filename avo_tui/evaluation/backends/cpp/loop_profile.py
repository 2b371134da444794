"""The text of a profile: which loops take the time on a configuration, and what they consist of."""

from __future__ import annotations

from collections import Counter

from avo_tui.evaluation.backends.cpp.loops import Loop, function_ranges, innermost_loops
from avo_tui.evaluation.backends.cpp.sampled import Samples
from avo_tui.evaluation.measurement.metric import Work

MOST_LOOPS = 12
MOST_OTHERS = 5
LEAST_SHARE = 0.005
"""Share of the samples below which a place is not named."""

_LEGEND = (
    "What a loop consists of is counted in the machine code, for one pass. Loads and stores are all"
    " instructions that read and write memory: as many stores as multiply-adds mean that"
    " accumulators go through memory instead of staying in registers. Stack accesses are"
    " accumulators or indices that did not fit the registers."
    " `disassemble function=ADDRESS` shows the code around an address."
)


def reached_text(samples: Samples, work: Work, ceiling: float) -> str:
    """The rate of arithmetic and its share of what a core reaches, in a line; "" if not known.

    `work` is that of one call; `ceiling` the operations per second of one core, 0 if not known.
    The time is that of the processor, over all threads, so the rate is that of one core.
    """
    if work.flops <= 0 or samples.seconds <= 0:
        return ""
    rate = work.flops * samples.calls / samples.seconds
    whose = " of the reference's operations" if work.nominal else ""
    text = f"a core does {rate / 1e9:.4g} GFLOP/s{whose} there"
    if ceiling > 0:
        text += (
            f", {rate / ceiling:.0%} of the {ceiling / 1e9:.4g} that multiply-adds in registers"
            " reach on it"
        )
    return text


def sampled_text(listing: str, samples: Samples, reached: str = "", *, times: bool = True) -> str:
    """The profile as text of several lines. `listing` is objdump's of the shared object.

    `reached` is a line that stands above the loops. Without `times` there is nothing from which the
    time of a call follows, such as the number of calls.
    """
    total = samples.total
    loops = innermost_loops(listing)
    counts = {id(loop): samples.within(loop.addresses) for loop in loops}
    busy = [loop for loop in loops if counts[id(loop)] >= LEAST_SHARE * total]
    busy.sort(key=lambda loop: -counts[id(loop)])
    each = samples.seconds / samples.calls * 1e3
    calls = f"{total} samples in {samples.calls} calls of {each:.4g} ms, shares"
    lines = [f"{calls if times else 'shares of the samples,'} good to ±{1 / total**0.5:.1%}"]
    lines += [reached] if reached else []
    lines.append(
        f"on {samples.about}, the same inputs in every call, so caches are warm (timed calls find"
        " them cold); innermost loops, the busiest first:"
    )
    for loop in busy[:MOST_LOOPS]:
        hottest = _hottest(loop, samples)
        lines.append(f"- {counts[id(loop)] / total:.1%} {loop.line()}; most at {hottest}")
    lines += _others(listing, loops, samples)
    idle = sum(counts[id(loop)] == 0 for loop in loops)
    if idle:
        s = "s" if idle > 1 else ""
        lines.append(f"{idle} further innermost loop{s} never ran while it was sampled.")
    lines.append(_LEGEND)
    return "\n".join(lines)


def _hottest(loop: Loop, samples: Samples) -> str:
    """The instruction of a loop at which most samples lie, with its address."""
    address, line = max(
        zip(loop.addresses, loop.lines, strict=True), key=lambda one: samples.own[one[0]]
    )
    text = " ".join(line.partition(":")[2].split())
    return f"{address:x} ({text})"


def _others(listing: str, loops: list[Loop], samples: Samples) -> list[str]:
    """What lies outside the innermost loops: by function of the candidate, and of libraries."""
    inside = {address for loop in loops for address in loop.addresses}
    rest: Counter[str] = Counter()
    ranges = function_ranges(listing)
    for address, count in samples.own.items():
        if address not in inside:
            name = next((name for name, span in ranges if address in span), "other code")
            rest[f"in {name}, outside its innermost loops"] += count
    for name, count in samples.elsewhere.items():
        rest[f"in {name}"] += count
    named = [(where, n) for where, n in rest.most_common(MOST_OTHERS)]
    total = samples.total
    return [f"- {n / total:.1%} {where}" for where, n in named if n >= LEAST_SHARE * total]
