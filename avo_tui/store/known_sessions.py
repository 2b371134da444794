"""Which sessions and campaigns a person made, or agreed to go on with, on this machine.

Going on with a session runs what its settings name, with the person's rights: the command of an
agent, an ssh client or a Dask client, candidates without a sandbox, a model paid by the person's
key. A folder that somebody else made is therefore only read until the person agreed once.

The note lies in the user's state folder, never in the session, and is bound to the folder's path
and to the record that the session began with. A folder that was moved, or that another one
replaced, is asked about anew. Who can write into a folder that is known can run things as its
owner: it is protected by its permissions alone.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import platformdirs

from avo_tui.store.errors import StoreError, clear_errors
from avo_tui.store.files import make_private_folder, replace_file
from avo_tui.store.layout import Layout
from avo_tui.store.packed_parts import first_line

_FIRST_BYTES = 1 << 20
"""Most bytes of a beginning that count: enough for every record, and nothing endless is read."""
_of_this_process: set[str] = set()
"""Keys that this process vouches for, also where no note can be written."""


class NotTrusted(StoreError):  # noqa: N818 - a contract's name
    """The session was made elsewhere, and the person has not agreed to go on with it."""

    def __init__(self, folder: Path) -> None:
        from avo_tui.store.campaigns import PREFIX

        name = folder.name.removeprefix(PREFIX)
        super().__init__(
            f"{name} was not made by you on this machine, and going on runs what its settings "
            f"name, with your rights; see what that is and agree: avo session trust {folder}"
        )


def is_known(folder: Path) -> bool:
    """Whether the person made the session or campaign in `folder`, or agreed to it."""
    key = _key(folder)
    return key in _of_this_process or (_notes() / key).is_file()


def require_known(folder: Path) -> None:
    """Raises NotTrusted for a session or campaign that is not known."""
    if not is_known(folder):
        raise NotTrusted(folder)


def vouch_for(folder: Path) -> None:
    """Take the session or campaign for known in this process; nothing is written."""
    _of_this_process.add(_key(folder))


def remember(folder: Path) -> None:
    """Note that the session or campaign is known.

    Raises DiskTrouble or StoreError where no note can be written; this process knows it then, but
    no other.
    """
    vouch_for(folder)
    path = _notes() / _key(folder)
    with clear_errors(path, "write"):
        make_private_folder(path.parent, parents=True)
        replace_file(path, f"{folder.resolve()}\n".encode())


def remember_own(folder: Path) -> None:
    """As `remember`, of one that was just made. Without a place for notes, as with a home folder
    that is read-only, the run begins all the same; later the person is asked."""
    with contextlib.suppress(StoreError):
        remember(folder)


def _notes() -> Path:
    return platformdirs.user_state_path("avo-tui") / "known-sessions"


def _key(folder: Path) -> str:
    """Name of the note: a digest of the path and of the first line of the record."""
    beginning = _beginning(folder)
    return hashlib.sha256(str(folder.resolve()).encode() + b"\0" + beginning).hexdigest()[:40]


def _beginning(folder: Path) -> bytes:
    """What never changes in a record: of a session the first line of its journal, of a campaign
    when it was created. Empty where it cannot be read: then the path alone counts."""
    session = Layout(folder)
    try:
        if session.is_session():
            return first_line(session.part(min(session.parts(), default=0)), _FIRST_BYTES)
        from avo_tui.store.campaigns import CampaignFolder

        campaign = CampaignFolder(folder)
        if campaign.record.exists() or campaign.previous.exists():
            return campaign.read().created.isoformat().encode()
        return b""
    except (OSError, StoreError):
        return b""
