"""Where sessions are on this machine, and how they are found by name."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

import avo_tui
from avo_tui.store.errors import BadName, SessionExists, SessionNotFound, StoreError
from avo_tui.store.layout import Layout
from avo_tui.user_paths import from_home, without_links

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


@dataclass(frozen=True)
class SessionsRoot:
    """A folder that holds sessions."""

    folder: Path
    origin: str
    """Why it is this one: `$AVO_SESSIONS`, `settings`, `./sessions` or `your data folder`."""


def sessions_roots() -> list[Path]:
    """Folders that hold sessions. New sessions go into the first; others hold those that ship."""
    roots = [own_root().folder, *shipped_roots()]
    unique = {without_links(root): root for root in reversed(roots)}
    return list(reversed(unique.values()))


def shipped_roots() -> list[Path]:
    """Where the shipped sessions are: beside the package in a checkout, else inside the package."""
    package = Path(avo_tui.__file__).resolve().parent
    checkout = package.parent
    shipped = [package / "data" / "sessions"]
    if (checkout / "pyproject.toml").is_file():
        # in site-packages, a folder `sessions` beside the package belongs to something else
        shipped.insert(0, checkout / "sessions")
    return [folder for folder in shipped if folder.is_dir()]


def own_root() -> SessionsRoot:
    if chosen := os.environ.get("AVO_SESSIONS"):
        origin = os.environ.get("AVO_SESSIONS_FROM", "$AVO_SESSIONS")
        return SessionsRoot(from_home(chosen).absolute(), origin)
    here = Path.cwd() / "sessions"
    if _is_for_sessions(here):
        return SessionsRoot(here, "./sessions")
    return SessionsRoot(platformdirs.user_data_path("avo-tui") / "sessions", "your data folder")


def _is_for_sessions(folder: Path) -> bool:
    """True for a folder that is empty or holds a session: others only happen to be called so."""
    try:
        inside = [p for p in folder.iterdir() if not p.name.startswith(".")]
    except OSError:
        return False
    return not inside or any(_is_session(p, unknown=False) for p in inside)


def check_name(name: str) -> str:
    """Return `name` if a session may have it. Raises BadName."""
    if not _NAME.fullmatch(name) or name.endswith((".", ".tmp")):
        raise BadName(
            f"{name[:80]!r} is no name for a session: use up to 64 letters, digits, "
            "dots, dashes and underscores, beginning with a letter or digit"
        )
    return name


def new_session_folder(name: str) -> Path:
    """The folder to create for a new session. Raises BadName or SessionExists."""
    folder = sessions_roots()[0] / check_name(name)
    if folder.is_symlink() or folder.exists():
        raise SessionExists(f"there is a session {name} already at {folder}; choose another name")
    return folder


def session_folders(roots: Iterable[Path] | None = None) -> Iterator[Path]:
    """Every session in the roots. Where two have one name, the first root wins."""
    seen: set[str] = set()
    for root in sessions_roots() if roots is None else roots:
        try:
            folders = sorted(root.iterdir())
        except OSError:  # the folder is missing or may not be read by this user
            continue
        for folder in folders:
            if folder.name not in seen and _is_session(folder):
                seen.add(folder.name)
                yield folder


def _is_session(folder: Path, unknown: bool = True) -> bool:
    """Whether a folder is a session; `unknown` for one that cannot be looked into.

    Lists show such a folder with the reason.
    """
    try:
        return Layout(folder).is_session()
    except StoreError:
        return unknown


def find_session(name: str) -> Path:
    """The folder of a session, by name or path. Raises SessionNotFound, with near names."""
    if "/" in name or name in {".", ".."}:
        folder = from_home(name).absolute()
        if Layout(folder).is_session():
            return folder
        raise SessionNotFound(f"{name} is not a session folder")
    if _NAME.fullmatch(name):
        for root in sessions_roots():
            if Layout(root / name).is_session():
                return root / name
    names = [folder.name for folder in session_folders()]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = "`avo sessions` lists what there is"
    else:
        hint = "there are none yet; `avo run TASK` starts one"
    searched = ", ".join(str(root) for root in sessions_roots())
    raise SessionNotFound(f"there is no session {name[:80]!r}: {hint} (searched: {searched})")
