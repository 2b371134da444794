"""What the hidden cases of a session are drawn by, on whichever worker.

It follows from a key in the user's state folder, and so stands neither in the session nor in the
folder of its task: whoever reads these, such as an agent, cannot tell the hidden sizes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

import platformdirs

from avo_tui.domain.records import SessionRecord
from avo_tui.store.files import make_private_folder

_BYTES = 32


def secret_of(session: SessionRecord) -> str:
    """The same each time for one session and one user. Empty where no key can be kept: then each
    worker draws by a secret of its own."""
    key = _key(platformdirs.user_state_path("avo-tui") / "drawn-cases" / "key")
    whose = f"{session.name} {session.created.isoformat()}"
    return hmac.new(key, whose.encode(), hashlib.sha256).hexdigest() if key else ""


def _key(path: Path) -> bytes:
    try:
        make_private_folder(path.parent, parents=True)
        try:
            with path.open("xb") as file:
                path.chmod(0o600)
                file.write(secrets.token_bytes(_BYTES))
        except FileExistsError:
            pass  # made by an engine before
        key = path.read_bytes()
    except OSError:
        return b""
    return key if len(key) == _BYTES else b""
