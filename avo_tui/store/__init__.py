"""The session folder: its database, journal, objects and inbox, and who may write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avo_tui import on_demand
from avo_tui.store.errors import (
    BadName,
    DamagedSession,
    DiskTrouble,
    FolderLost,
    NewerFormat,
    NoSpace,
    NotAllowed,
    SessionExists,
    SessionLocked,
    SessionNotFound,
    StoreError,
)

if TYPE_CHECKING:
    from avo_tui.store.campaign_reader import CampaignReader, CampaignView, LineView
    from avo_tui.store.campaigns import (
        CampaignFolder,
        CampaignWriter,
        campaign_folders,
        campaign_of,
        create_campaign,
        find_campaign,
    )
    from avo_tui.store.crash_repair import remove_unbegun
    from avo_tui.store.devices import DeviceLog, WorkersFile, device_history, read_workers
    from avo_tui.store.doctor import Finding, diagnose
    from avo_tui.store.engine_presence import EngineStatus, engine_status
    from avo_tui.store.inbox import BadCommand, queued_commands, send_command, waiting_commands
    from avo_tui.store.listing import SessionSummary, by_attention, summaries, summary
    from avo_tui.store.own_notes import Drafts, SeenMarks
    from avo_tui.store.places import (
        check_name,
        find_session,
        new_session_folder,
        own_root,
        session_folders,
        sessions_roots,
    )
    from avo_tui.store.reader import SessionReader
    from avo_tui.store.writer import SessionWriter

__getattr__ = on_demand.names(
    __name__,
    {
        "campaign_reader": ("CampaignReader", "CampaignView", "LineView"),
        "campaigns": (
            "CampaignFolder",
            "CampaignWriter",
            "campaign_folders",
            "campaign_of",
            "create_campaign",
            "find_campaign",
        ),
        "crash_repair": ("remove_unbegun",),
        "devices": ("DeviceLog", "WorkersFile", "device_history", "read_workers"),
        "doctor": ("Finding", "diagnose"),
        "engine_presence": ("EngineStatus", "engine_status"),
        "inbox": ("BadCommand", "queued_commands", "send_command", "waiting_commands"),
        "listing": ("SessionSummary", "by_attention", "summaries", "summary"),
        "own_notes": ("Drafts", "SeenMarks"),
        "places": (
            "check_name",
            "find_session",
            "new_session_folder",
            "own_root",
            "session_folders",
            "sessions_roots",
        ),
        "reader": ("SessionReader",),
        "writer": ("SessionWriter",),
    },
)
