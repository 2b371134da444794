"""Where sessions and tasks come from: chosen in the settings, and said in words."""

import os
from pathlib import Path

from avo_tui.cli.errors import Failure
from avo_tui.config_place import config_file
from avo_tui.store import own_root

_VARIABLES = {"sessions": "AVO_SESSIONS", "kernels": "AVO_KERNELS"}
"""Setting → the environment variable that says the same."""


def take_from_settings() -> None:
    """Puts the folders of the settings file into the environment, where that does not name them.

    Engines and evaluation processes, which read no settings, get them from there. Raises Failure
    for a relative folder, and ValueError as settings do.
    """
    missing = {name: var for name, var in _VARIABLES.items() if not os.environ.get(var)}
    if not missing or not config_file().is_file():
        return
    from avo_tui.settings import settings  # which most people do not have

    chosen = {"sessions": settings().sessions, "kernels": settings().kernels}
    for name, variable in missing.items():
        folder = chosen[name]
        if folder is None:
            continue
        if not folder.is_absolute():
            raise Failure(
                f"{config_file()}: {name}: {folder} is a relative folder, which would be another "
                "one wherever avo is started; begin it with / or ~"
            )
        os.environ[variable] = str(folder)
        os.environ[f"{variable}_FROM"] = "settings"


def sessions_text() -> str:
    """Where new sessions go and why, such as `./sessions` or `~/runs (settings)`."""
    root = own_root()
    return root.origin if root.origin.startswith("./") else f"{short(root.folder)} ({root.origin})"


def tasks_text() -> str:
    """Where tasks come from, in the order in which they are looked for."""
    from avo_tui.evaluation.roots import roots  # which the first picture does not wait for

    origins = [r.origin if r.trusted else f"{r.origin} (not trusted)" for r in roots()]
    return ", ".join(dict.fromkeys(origins))


def short(folder: Path) -> str:
    """A folder, with `~` for the person's own."""
    home = Path.home()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)
