"""The first picture of `avo attach`: seconds, processor seconds and imported modules; as a table.

    python benchmarks/first_picture.py [--starts 10] [--folder SESSION] [--against CHECKOUT …]

The app is started in a pseudo-terminal of 120×40 and of 80×24, as a person starts it, and ended
when the heading of the lineage is there. With `--against`, other checkouts of avo-tui are started
in turn with this one, so that a change of the machine's load meets all alike; each on a session
that it wrote itself. Processor seconds (user and system) vary less with the load than seconds do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ui_bandwidth import BYTECODE, Terminal, row
from benchmarks.ui_load import ROOT

ATTACH = """
import atexit, sys
sys.path.insert(0, {root!r})
atexit.register(lambda: open({modules!r}, "w").write(str(len(sys.modules))))
sys.argv = ["avo", "attach", "--no-start", {folder!r}]
from avo_tui.cli import main
main()
"""
WEEK = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from benchmarks.ui_load import week
week(Path({folder!r}), 48)
"""
SIZES = ((120, 40), (80, 24))


@dataclass
class Tree:
    """A checkout of avo-tui, a session that it can read, and what its starts took."""

    root: Path
    session: Path
    seconds: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    processor: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    modules: int = 0

    def start(self, size: tuple[int, int], keep: bool) -> None:
        """Start the app once, up to its first picture; `keep` what it took."""
        with tempfile.NamedTemporaryFile("r") as modules:
            code = ATTACH.format(
                root=str(self.root), folder=str(self.session), modules=modules.name
            )
            terminal = Terminal([sys.executable, "-c", code], size)
            seconds = terminal.until("versions")
            times = psutil.Process(terminal.pid).cpu_times()
            terminal.end()
            self.modules = int(modules.read() or 0)
        if keep:
            self.seconds.setdefault(size, []).append(seconds)
            self.processor.setdefault(size, []).append(times.user + times.system)


def week_of(root: Path, folder: Path) -> Path:
    """A session of 48 attempts, written by the checkout in `root`."""
    code = WEEK.format(root=str(root), folder=str(folder))
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
    return folder


def main() -> None:
    """Measure all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="a session, instead of an invented one")
    parser.add_argument("--against", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    os.environ.update(BYTECODE)
    with tempfile.TemporaryDirectory() as scratch:
        trees = []
        for number, root in enumerate([ROOT, *(p.resolve() for p in given.against)]):
            session = given.folder or week_of(root, Path(scratch) / str(number) / "study")
            trees.append(Tree(root, session.resolve()))
        for turn in range(given.starts + 1):
            for size in SIZES:
                for tree in trees:
                    tree.start(size, keep=turn > 0)  # the first start writes the bytecode
    row("checkout", "size", "seconds", "processor s", "least processor s", "modules at the end")
    row("---", "---", "---:", "---:", "---:", "---:")
    for size in SIZES:
        for tree in trees:
            processor = tree.processor[size]
            median = statistics.median
            row(
                tree.root.name,
                f"{size[0]}×{size[1]}",
                median(tree.seconds[size]),
                median(processor),
                min(processor),
                tree.modules,
            )


if __name__ == "__main__":
    main()
