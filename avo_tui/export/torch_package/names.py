"""Names of the package and of its parts."""

from __future__ import annotations

import keyword
import re


def package_name(session: str) -> str:
    """A name that Python can import, such as `mha_hopper` for the session `mha-hopper`."""
    name = re.sub(r"[^a-z0-9]+", "_", session.lower()).strip("_") or "kernel"
    if name[0].isdigit() or keyword.iskeyword(name):
        name = f"kernel_{name}"
    return name
