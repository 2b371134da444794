"""Draw the pictures of docs/first-kernel.md: its commands, run for real, and the run they lead to.

    python docs/make_first_kernel_pictures.py [NAME ...]

Runs the page's commands in an empty folder and writes what they print to
docs/pictures/first-kernel-*.svg, then a short run of the tuner on the page's C++ task and its run
screen. Takes some minutes; needs a C++ compiler, and a quiet machine for times that mean something.
With names, only those pictures are written. Look at them before committing.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from docs.make_pictures import PICTURES, of_session, shot, without_web_fonts  # noqa: E402

_FILE = re.compile(r"```\w+ file=(\S+)\n(.*?)```", re.DOTALL)
WIDTH = 110
SHOWN: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "first-kernel-task",
        ("avo task from model.py --name scaled_softmax", "avo task check scaled_softmax"),
    ),
    ("first-kernel-evaluate", ("avo evaluate scaled_softmax softmax.cpp",)),
)
"""Name of a picture, and the commands whose text it shows."""
RUN_PICTURE = "first-kernel-run"
RUN = (
    "avo task new my_norm",
    "avo run my_norm --operator tuner --budget-evaluations 6 --headless --name my_norm",
)


def run(command: str, folder: Path) -> str:
    """What a command prints in that folder, with tasks at their usual place.

    Raises CalledProcessError where it fails.
    """
    environment = {
        **os.environ,
        "XDG_DATA_HOME": str(folder / "data"),
        "AVO_SESSIONS": str(folder / "sessions"),
        "COLUMNS": str(WIDTH),
    }
    words = command.split()[1:]
    done = subprocess.run(
        [sys.executable, "-m", "avo_tui.cli", *words],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout.replace(str(folder / "data"), "~/.local/share")


def as_svg(title: str, parts: list[tuple[str, str]]) -> str:
    """Commands with what they printed, as a terminal shows them."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    for command, printed in parts:
        console.print(Text(f"$ {command}", style="bold"))
        console.print(Text(printed.rstrip()), soft_wrap=False)
    return without_web_fonts(console.export_svg(title=title))


def main() -> None:
    """Draw them all."""
    wanted = set(sys.argv[1:]) or {*(picture for picture, _ in SHOWN), RUN_PICTURE}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in _FILE.findall((DOCS / "first-kernel.md").read_text(encoding="utf-8")):
            (folder / file).write_text(text, encoding="utf-8")
        for picture, commands in SHOWN:
            if picture not in wanted:
                continue
            svg = as_svg("avo", [(command, run(command, folder)) for command in commands])
            (PICTURES / f"{picture}.svg").write_text(svg, encoding="utf-8")
            print(f"docs/pictures/{picture}.svg", flush=True)
        if RUN_PICTURE not in wanted:
            return
        for command in RUN:
            run(command, folder)
        app = of_session(folder / "sessions" / "my_norm", "avo-dark")
        svg = asyncio.run(shot(app, (120, 40), ("B",)))
        (PICTURES / f"{RUN_PICTURE}.svg").write_text(svg, encoding="utf-8")
        print(f"docs/pictures/{RUN_PICTURE}.svg", flush=True)


if __name__ == "__main__":
    main()
