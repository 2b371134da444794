"""The folder of a campaign: its record, the orders that wait for it, and the lock of its process.

    .campaign-NAME/campaign.json            the record, replaced as a whole
                   campaign.json.previous   the generation before
                   orders/                  what the person wants of it, one file each
                   engine.lock              held by the process that conducts it
                   engine.log               what that process has to say

It lies beside the sessions of the campaign's lines, which hold everything else.
"""

from __future__ import annotations

import difflib
import logging
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from avo_tui.domain.base import DEFERRED, now
from avo_tui.domain.campaigns import Campaign, Line, Order
from avo_tui.store.engine_presence import EngineStatus, engine_status
from avo_tui.store.errors import (
    DamagedSession,
    SessionExists,
    SessionNotFound,
    StoreError,
    clear_errors,
)
from avo_tui.store.files import (
    make_private_folder,
    read_regular,
    replace_file,
    sync_folder,
)
from avo_tui.store.lock import EngineLock
from avo_tui.store.places import check_name, sessions_roots

log = logging.getLogger(__name__)

PREFIX = ".campaign-"
_ORDERS: TypeAdapter[Order] = TypeAdapter(Order, config=DEFERRED)


class CampaignFolder:
    """A campaign on disk, for reading and for sending orders. Any number at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = path / "campaign.json"
        self.previous = path / "campaign.json.previous"
        self.orders = path / "orders"
        self.lock = path / "engine.lock"
        self.log = path / "engine.log"

    @property
    def name(self) -> str:
        return self.path.name.removeprefix(PREFIX)

    @property
    def root(self) -> Path:
        return self.path.parent

    def session(self, line: Line) -> Path:
        return self.root / line.session

    def read(self) -> Campaign:
        """The record. Raises SessionNotFound, DamagedSession or StoreError."""
        missing = True
        for path in (self.record, self.previous):
            try:
                return Campaign.model_validate_json(read_regular(path))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(f"{path} cannot be read: {error.strerror}") from error
            except ValidationError as error:
                missing = False
                log.warning("%s is damaged: %s", path, error)
        if missing:
            raise SessionNotFound(f"{self.path} is not the folder of a campaign")
        raise DamagedSession(
            f"the record of campaign {self.name} is damaged, and so is its previous generation: "
            f"{self.record}",
            f"put it back from a copy, or move {self.path} away and go on with its lines, which "
            "are whole sessions, by `avo run --resume LINE`",
        )

    def conductor(self) -> EngineStatus:
        return engine_status(self.lock)

    def send(self, order: Order) -> str:
        """Leave an order for the process that conducts the campaign, durable on return.

        Returns the order's id. Raises DiskTrouble or StoreError.
        """
        identity = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        sent = order.model_copy(update={"id": identity, "at": now()})
        with clear_errors(self.orders, "write into"):
            make_private_folder(self.orders)
            replace_file(self.orders / f"{identity}.json", sent.model_dump_json().encode())
        return identity

    def waiting_orders(self) -> list[Order]:
        """Orders that wait, oldest first; a file that is none is removed."""
        try:
            paths = sorted(self.orders.glob("[0-9]*.json"))
        except OSError:
            return []
        orders: list[Order] = []
        for path in paths:
            try:
                order = _ORDERS.validate_json(read_regular(path))
            except ValidationError as error:
                log.warning("%s is no order: %s", path, error)
                self.order_done(path.stem)
            except OSError as error:
                log.warning("%s cannot be read: %s", path, error)
            else:
                orders.append(order.model_copy(update={"id": path.stem}))
        return orders

    def order_done(self, identity: str) -> None:
        (self.orders / f"{identity}.json").unlink(missing_ok=True)


class CampaignWriter(CampaignFolder):
    """The one process that may change the record; holds the lock."""

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises SessionLocked, SessionNotFound, DamagedSession or StoreError."""
        super().__init__(path)
        self.campaign = self.read()
        self._lock = EngineLock(self.lock)
        try:
            self.campaign = self.read()
        except BaseException:
            self.close()
            raise

    def write(self, campaign: Campaign) -> None:
        """Replace the record, durable on return. Raises DiskTrouble or StoreError."""
        with clear_errors(self.record, "write"):
            replace_file(self.record, _json(campaign), keep=self.previous)
        self.campaign = campaign

    def heartbeat(self) -> None:
        """Tell others that this process lives. Raises FolderLost if the folder was replaced."""
        self._lock.heartbeat()

    def close(self) -> None:
        self._lock.release()


def _json(campaign: Campaign) -> bytes:
    return campaign.model_dump_json(indent=1).encode()


def create_campaign(campaign: Campaign) -> CampaignFolder:
    """Write the record of a new campaign; its lines have no sessions yet.

    Raises BadName; SessionExists where a campaign or a session has one of its names; StoreError.
    """
    root = sessions_roots()[0]
    check_name(campaign.name)
    folder = CampaignFolder(root / f"{PREFIX}{campaign.name}")
    if folder.record.exists() or folder.previous.exists():  # else its creation was cut short
        raise SessionExists(
            f"there is a campaign {campaign.name} already; choose another name, or go on with it: "
            f"avo campaign resume {campaign.name}"
        )
    for line in campaign.lines:
        check_name(line.session)
        if folder.session(line).exists():
            raise SessionExists(
                f"there is a session {line.session} already at {folder.session(line)}; choose "
                "another name for the campaign"
            )
    with clear_errors(folder.path, "create"):
        root.mkdir(parents=True, exist_ok=True)
        make_private_folder(folder.path)
        make_private_folder(folder.orders)
        replace_file(folder.record, _json(campaign))
        sync_folder(root)
    return folder


def campaign_folders(roots: Sequence[Path] | None = None) -> list[CampaignFolder]:
    folders: dict[str, CampaignFolder] = {}
    for root in sessions_roots() if roots is None else roots:
        try:
            paths = sorted(root.glob(f"{PREFIX}*"))
        except OSError:
            continue
        for path in paths:
            folder = CampaignFolder(path)
            if folder.record.is_file() or folder.previous.is_file():
                folders.setdefault(folder.name, folder)
    return [folders[name] for name in sorted(folders)]


def find_campaign(name: str, roots: Sequence[Path] | None = None) -> CampaignFolder:
    """The campaign of that name. Raises SessionNotFound, with near names."""
    folders = {folder.name: folder for folder in campaign_folders(roots)}
    if name in folders:
        return folders[name]
    near = difflib.get_close_matches(name, folders, n=3, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif folders:
        hint = f"there is {', '.join(folders)}"
    else:
        hint = "there is none yet; `avo campaign run TASK` begins one"
    raise SessionNotFound(f"there is no campaign {name[:80]!r}: {hint}")


def campaign_of(session: Path) -> CampaignFolder | None:
    """The campaign that a session is a line of; None if it is of none."""
    name = session.name
    while "." in name:
        name = name.rpartition(".")[0]
        folder = CampaignFolder(session.parent / f"{PREFIX}{name}")
        if not (folder.record.is_file() or folder.previous.is_file()):
            continue
        try:
            lines = folder.read().lines
        except StoreError:
            return None
        return folder if any(line.session == session.name for line in lines) else None
    return None
