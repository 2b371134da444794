"""Names of new sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo_name(base: str) -> tuple[Path | None, str]:
    """(folder of a demo that runs, a free name for a new one)."""
    import re

    from avo_tui.store import engine_status, session_folders, sessions_roots

    taken = set()
    live = None
    for folder in session_folders():
        if re.fullmatch(rf"{base}(-\d+)?", folder.name):
            if engine_status(folder / "engine.lock").alive:
                live = live or folder
            taken.add(folder.name)
    root = sessions_roots()[0]
    number = 1
    while True:
        name = base if number == 1 else f"{base}-{number}"
        if name not in taken and not (root / name).exists():
            return live, name
        number += 1


def free_name(task: str) -> str:
    """A name for a new session of a task: the task's, with a number where that is taken."""
    from avo_tui.store import sessions_roots

    plain = task.replace("@", "-")  # of a task in a further language
    root, number = sessions_roots()[0], 1
    while True:
        name = plain if number == 1 else f"{plain}-{number}"
        if not (root / name).exists():
            return name
        number += 1


def evaluator_url(text: str) -> str:
    """What `--evaluator` is given. An unset variable of a script must not mean this machine."""
    if not text.strip():
        raise typer.BadParameter("name a place to measure, such as ssh://HOST, or leave it out")
    return text


Evaluators = Annotated[
    list[str] | None,
    typer.Option(
        "--evaluator",
        metavar="URL",
        parser=evaluator_url,
        help="Where to measure: local, ssh://HOST; may be given several times.",
    ),
]
