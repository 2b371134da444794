"""Draw the lineage of a recorded CUDA session for the README.

    python docs/make_lineage_chart.py sessions/mha-hopper docs/pictures/lineage-on-hopper.svg

Needs matplotlib (`avo-tui[report]`). All that is drawn is read from the session: for each version
the geometric mean of its throughput over the reference baseline's in the same run, by mask, and
that of the other baselines.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from avo_tui.domain.lineage import line
from avo_tui.domain.score import geomean
from avo_tui.store import SessionReader

NAMES = {"cudnn": "cuDNN", "flash": "FlashAttention-2", "fa3": "FlashAttention-3"}
COLOURS = {"full": "#1f6feb", "causal": "#d9480f"}
MAX_TITLE = 44


def draw(session: Path, out: Path) -> None:
    """From the seed to the best: a line for each mask, and one for every baseline."""
    state = SessionReader.open(session).state
    assert state.best is not None
    versions = line(state.versions, state.best.number)[::-1]
    reference = state.session.task.reference_baseline
    places = range(len(versions))
    mpl.rcParams["svg.hashsalt"] = session.name
    figure = Figure(figsize=(10, 6.2), layout="constrained")
    axes = figure.subplots()
    for mask, colour in COLOURS.items():
        rows = [[c for c in v.score.configurations if c.name.startswith(mask)] for v in versions]
        axes.plot(places, [geomean(c.ratio for c in row) for row in rows], "o-", color=colour,
                  label=f"this lineage, {mask}", linewidth=2.2)  # fmt: skip
        for name, style in (("fa3", "--"), ("flash", ":")):
            if all(c.baselines.get(name) for row in rows for c in row):
                values = [
                    geomean(c.baselines[name] * c.ratio / c.throughput for c in r) for r in rows
                ]
                axes.plot(places, values, style, color=colour, alpha=0.55, linewidth=1.2,
                          label=f"{NAMES[name]}, {mask}")  # fmt: skip
    axes.axhline(1.0, color="#57606a", linewidth=1.2)
    axes.annotate(NAMES.get(reference, reference), (0.02, 1.0), xycoords=("axes fraction", "data"),
                  va="bottom", color="#57606a")  # fmt: skip
    titles = [(v.plan.splitlines() or [""])[0] for v in versions]
    labels = [
        f"v{v.number}  {t if len(t) <= MAX_TITLE else t[: MAX_TITLE - 1].rstrip() + '…'}"
        for v, t in zip(versions, titles, strict=True)
    ]
    axes.set_xticks(list(places), labels, rotation=38, ha="right", fontsize=8)
    axes.set_ylabel(f"throughput, of {NAMES.get(reference, reference)} in the same run")
    axes.set_ylim(0, None)
    axes.grid(axis="y", alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="lower right", frameon=False, fontsize=8, ncols=2)
    devices = ", ".join(sorted({v.device for v in versions if v.device}))
    axes.set_title(
        f"{state.session.task.name} on one {devices}: session {state.session.name}", fontsize=10
    )
    figure.savefig(out, metadata={"Date": None})


def main() -> int:
    """Draw one session."""
    if len(sys.argv) != 3:
        print((__doc__ or "").splitlines()[2].strip(), file=sys.stderr)
        return 2
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
