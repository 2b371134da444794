"""The sessions that ship: those that git keeps, whatever else lies in the folder."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def shipped_sessions() -> list[Path]:
    """Their folders, by name: .gitignore leaves out every session but these."""
    kept = re.findall(r"^!/sessions/([^/\n]+)/$", (CHECKOUT / ".gitignore").read_text(), re.M)
    return [CHECKOUT / "sessions" / name for name in sorted(kept)]
