"""Pictures of runs as files, drawn with matplotlib where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avo_tui.cli.errors import Failure


def figure_for(out: Path, label: str, title: str) -> tuple[Any, Any]:
    """An empty figure and its axes: best score over what was spent. Raises Failure for a file of
    another kind, or without matplotlib."""
    if out.suffix not in {".svg", ".png", ".pdf"}:
        raise Failure(f"{out.name}: name a .svg, .png or .pdf file")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Failure("a picture needs matplotlib: pip install 'avo-tui[report]'") from error
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(1.0, linestyle=":", color="grey", linewidth=1)
    axes.set(xlabel=label, ylabel="best score", title=title)
    return figure, axes


def save(figure: Any, axes: Any, out: Path) -> None:
    """Finish a figure of `figure_for` and write it."""
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
