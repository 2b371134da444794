"""Draw what `benchmarks/exported_attention.py` measured, for docs/packages.md.

    python docs/make_package_chart.py docs/pictures/exported-attention.json \
        docs/pictures/exported-attention.svg

Needs matplotlib (`avo-tui[report]`). The JSON file is the one that the benchmark wrote.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

NAMES = {"exported": "the exported package", "cuDNN": "torch, cuDNN", "flash": "torch, flash"}
COLOURS = {"exported": "#1f6feb"}
OTHERS = "#8c959f"


def draw(results: Path, out: Path) -> None:
    """A bar of tokens a second for each attention of the model."""
    measured = json.loads(results.read_text("utf-8"))
    rates = measured["tokens/s"]
    mpl.rcParams["svg.hashsalt"] = results.name
    figure = Figure(figsize=(8, 2.4), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(
        [NAMES[way] for way in rates],
        [rate / 1e3 for rate in rates.values()],
        color=[COLOURS.get(way, OTHERS) for way in rates],
    )
    axes.bar_label(bars, [f"{rate:,}" for rate in rates.values()], padding=4)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * max(rates.values()) / 1e3)
    axes.set_xlabel("thousand tokens a second, forward pass of a Llama-shaped model")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_title(f"One model, three kernels for its attention: one {measured['device']}",
                   fontsize=10)  # fmt: skip
    figure.savefig(out, metadata={"Date": None})


def main() -> int:
    """Draw one file of results."""
    if len(sys.argv) != 3:
        print((__doc__ or "").splitlines()[2].strip(), file=sys.stderr)
        return 2
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
