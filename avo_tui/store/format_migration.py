"""Converts a session folder of an older format to the current one, and keeps a copy.

A migration says how one event of format n reads in format n+1. The tables are then built again from
the converted journal.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from avo_tui.domain.records import FORMAT
from avo_tui.store.database import Database, read_tables
from avo_tui.store.errors import DamagedSession, OlderFormat, clear_errors
from avo_tui.store.files import TEMPORARY, replace_file, sync_folder
from avo_tui.store.layout import Layout
from avo_tui.store.loading import fold_journal
from avo_tui.store.packed_parts import first_line, packed_path, read_part
from avo_tui.store.pages import Extent, PagesFile
from avo_tui.store.projection import LATER_FORMATS, Projection, check_format

MAX_LINE = 64 << 20
"""Most bytes of the first event that are looked at for the format."""

RawEvent = dict[str, Any]
FormatMigration = Callable[[RawEvent], RawEvent]
"""Converts one event of format n, parsed from JSON, to format n+1 with the same number."""

MIGRATIONS: dict[int, FormatMigration] = {}
"""Format n → how its events read in format n+1. Format 1 is the first there is."""


def folder_format(layout: Layout) -> object:
    """The format that a folder says it has; None where it says nothing."""
    for path in (layout.database, layout.previous):
        try:
            rows = list(read_tables(path).get("session", {}).values())
        except DamagedSession:
            continue
        if rows and "format" in rows[0]:
            number = rows[0]["format"]
            return FORMAT if number in LATER_FORMATS else number
    for part in layout.parts()[:1]:
        try:
            return json.loads(first_line(layout.part(part), MAX_LINE))["session"]["format"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
    return None


def migrate(
    layout: Layout, migrations: Mapping[int, FormatMigration] | None = None, target: int = FORMAT
) -> list[str]:
    """Migrate where it is needed, under the engine's lock. Returns what was done.

    May be cut off at any instant and begun again: it always starts from the copy, and session.json,
    which says the format, comes last. Raises NewerFormat, OlderFormat, DamagedSession, NoSpace.
    """
    version = folder_format(layout)
    if version is None or version == target:
        return []
    if not isinstance(version, int) or version > target:
        check_format(version)
        return []
    known = MIGRATIONS if migrations is None else migrations
    missing = [n for n in range(version, target) if n not in known]
    if missing:
        raise OlderFormat(
            f"the session has format {version}, which this avo-tui cannot migrate: "
            "open it with an older avo-tui"
        )
    copy = _keep_copy(layout, version)
    for number in Layout(copy).parts():
        lines = [
            _migrated(line, [known[n] for n in range(version, target)], target)
            for line in read_part(Layout(copy).part(number)).splitlines(keepends=True)
        ]
        with clear_errors(layout.part(number), "write"):
            replace_file(layout.part(number), b"".join(lines))
            packed_path(layout.part(number)).unlink(missing_ok=True)
    _rebuild(layout)
    return [f"migrated from format {version} to {target}; the copy from before is in {copy.name}"]


def _migrated(line: bytes, steps: list[FormatMigration], target: int) -> bytes:
    try:
        event = json.loads(line)
    except ValueError:
        return line
    for step in steps:
        event = step(event)
    if event.get("kind") == "session_created":
        event["session"]["format"] = target
    number = {"seq": event.pop("seq")}
    return json.dumps(number | event, separators=(",", ":")).encode() + b"\n"


def _keep_copy(layout: Layout, number: int) -> Path:
    """Copy journal and tables; an interrupted copy is never taken for a whole one."""
    copy = layout.backup(number)
    if copy.exists():
        return copy
    fresh = layout.folder / f"{TEMPORARY}{os.getpid()}-backup"
    with clear_errors(copy, "write"):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        shutil.copytree(layout.journal, fresh / "journal")
        for path in (layout.database, layout.previous, layout.pages, layout.attempts):
            if path.exists():
                shutil.copy2(path, fresh / path.name)
        for path in (*fresh.iterdir(), *(fresh / "journal").iterdir()):
            if path.is_file():
                _sync(path)
        sync_folder(fresh / "journal")
        sync_folder(fresh)
        fresh.rename(copy)
        sync_folder(layout.folder)
    return copy


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rebuild(layout: Layout) -> None:
    """Build session.json and records.pages again from the journal alone."""
    state = fold_journal(layout)
    layout.previous.unlink(missing_ok=True)
    pages = PagesFile(layout.pages, Extent())
    try:
        projection = Projection(Database.empty(layout.database, layout.previous), pages)
        projection.write(projection.snapshot(state))
    finally:
        pages.close()
    # session.json.previous is in the older format, and the copy has it
    layout.previous.unlink(missing_ok=True)
