"""The inbox: a folder into which each command of a person is written as one file."""

from __future__ import annotations

import getpass
import logging
import os
import secrets
import time
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from avo_tui.domain.base import now
from avo_tui.domain.commands import Command, parse_command
from avo_tui.domain.secrets import without_secrets
from avo_tui.store.errors import DiskTrouble, SessionNotFound, StoreError, clear_errors, passes
from avo_tui.store.files import make_private_folder, open_own, replace_file
from avo_tui.store.layout import Layout

log = logging.getLogger(__name__)

MAX_BYTES = 64 << 20
"""Largest command that is read; a submitted candidate has at most 8 MiB before escaping."""

REFUSED = ".refused"


@dataclass(frozen=True)
class BadCommand:
    """A file in the inbox that is not a command, and why."""

    id: str
    reason: str


def send_command(folder: Path, command: Command, identity: str | None = None) -> str:
    """Put a command into a session's inbox, durable on return. Returns its id.

    With an `identity` of its own a command can be sent again after a crash: the engine carries out
    each id once. Keys in its texts are not written.
    Raises SessionNotFound, DiskTrouble or StoreError.
    """
    layout = Layout(folder)
    if not layout.is_session():
        raise SessionNotFound(f"{folder} is gone or no session: nothing was sent")
    identity = identity or f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    named = {"id": identity, "at": now(), "by": command.by or _person()}
    sent = without_secrets(command).model_copy(update=named)
    try:
        text = sent.model_dump_json()
    except ValueError as error:
        raise StoreError(f"the command cannot be written as JSON: {error}") from error
    with clear_errors(layout.inbox, "write into"):
        make_private_folder(layout.inbox)
        replace_file(layout.inbox / f"{identity}.json", text.encode())
    return identity


def waiting_commands(folder: Path) -> list[str]:
    """Ids of the commands in a session's inbox that its engine has not answered yet."""
    try:
        return sorted(path.stem for path in Layout(folder).inbox.glob("[!.]*.json"))
    except OSError:
        return []


def queued_commands(folder: Path) -> list[Command]:
    """The commands in a session's inbox that its engine has not answered yet, oldest first.

    What is no command is left out: the engine refuses it.
    """
    waiting = Inbox(Layout(folder).inbox).pending()
    return [item for item in waiting if not isinstance(item, BadCommand)]


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this uid
        return f"uid {os.getuid()}"


class Inbox:
    """The engine's side of the inbox: reads the commands and removes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths: dict[str, Path] = {}
        self._stuck: set[str] = set()

    def pending(
        self, most: int | None = None, skip: Container[str] = ()
    ) -> list[Command | BadCommand]:
        """Waiting commands, oldest first: at most `most`, without those to `skip`, by id.

        A file that is no command is given as a BadCommand, not raised.
        """
        try:
            names = sorted(path.name for path in self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:  # the disk may be away: tried again at the next call
            log.debug("the inbox cannot be read: %s", error)
            return []
        commands: list[Command | BadCommand] = []
        for name in names:
            if name.startswith("."):
                continue
            identity = name.removesuffix(".json").encode("utf-8", "backslashreplace").decode()
            if identity in self._stuck or identity in skip:
                continue
            if len(commands) == most:
                break
            self._paths[identity] = self.folder / name
            try:
                item = _read(self.folder / name, identity)
            except DiskTrouble as error:
                # what was sent later must not be carried out before it
                log.debug("a command waits for the disk: %s", error)
                break
            if item is not None:
                commands.append(item)
        return commands

    def done(self, identity: str) -> None:
        """Remove a command after it was carried out. It may be gone already."""
        path = self._paths.pop(identity, self.folder / f"{identity}.json")
        if path.parent != self.folder:
            return
        try:
            path.unlink(missing_ok=True)
        except OSError:
            self._set_aside(path, identity)

    def _set_aside(self, path: Path, identity: str) -> None:
        """Rename what cannot be removed, such as a folder, so that it is not read again."""
        aside = self.folder / REFUSED
        try:
            make_private_folder(aside)
            path.rename(aside / f"{path.name}-{secrets.token_hex(3)}")
        except OSError:
            self._stuck.add(identity)


def _read(path: Path, identity: str) -> Command | BadCommand | None:
    if path.suffix != ".json":
        return BadCommand(identity, "not a command: its name does not end in .json")
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        if passes(error):
            raise DiskTrouble(f"inbox/{identity} cannot be read: {error.strerror}") from error
        return BadCommand(identity, f"cannot be read: {error.strerror}")
    if len(data) > MAX_BYTES:
        return BadCommand(identity, f"larger than {MAX_BYTES >> 20} MiB")
    try:
        # its sender may not have known the keys of this process
        return without_secrets(parse_command(data)).model_copy(update={"id": identity})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        where = f"{where}: " if where else ""
        return BadCommand(identity, f"not a valid command: {where}{first['msg']}")
