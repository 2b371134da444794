"""Repairs what a crash left in a session folder, before a writer goes on in it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from avo_tui.store.attempts import AttemptsFile, rewrite_attempts
from avo_tui.store.database import Database
from avo_tui.store.errors import StoreError, clear_errors
from avo_tui.store.files import leftovers, make_private_folder, remove
from avo_tui.store.journal_repair import cut_torn_tail
from avo_tui.store.layout import Layout
from avo_tui.store.loading import Loaded
from avo_tui.store.projection import Projection


def remove_leftovers(layout: Layout) -> list[str]:
    """Repair what a crash leaves: half-written lines and temporary files."""
    done = []
    with clear_errors(layout.folder, "mend"):
        for folder in (layout.journal, layout.objects, layout.inbox):
            make_private_folder(folder)
        for junk in (*leftovers(layout.folder), *leftovers(layout.journal), layout.live):
            remove(junk)
        parts = layout.parts()
        if parts and (cut := cut_torn_tail(layout.part(parts[-1]))):
            done.append(cut)
    return done


def open_tables(layout: Layout, loaded: Loaded) -> tuple[Projection, AttemptsFile]:
    """Continue with the files as they are, or build them again where they are not usable."""
    kept = loaded.kept
    if kept is None:
        # all but the newest attempt, which is a row of session.json
        kept = dict(list(loaded.state.attempts.items())[:-1])
    if loaded.kept is None or _needs_rewrite(layout.attempts, len(kept)):
        rewrite_attempts(layout.attempts, kept.values())
    attempts = AttemptsFile(layout.attempts)
    if loaded.stored is not None and loaded.database is not None:
        projection = Projection(loaded.database, attempts)
        projection.adopt(loaded.stored, kept)
    else:
        # a damaged file must not become session.json.previous
        with clear_errors(layout.database, "move aside"), contextlib.suppress(FileNotFoundError):
            layout.database.replace(layout.folder / "session.json.damaged")
        empty = Database.empty(layout.database, layout.previous)
        projection = Projection(empty, attempts)
        projection.begin(kept)
    return projection, attempts


def _needs_rewrite(path: Path, attempts: int) -> bool:
    """True if attempts.jsonl ends in a half-written line, or has many more lines than attempts."""
    try:
        with clear_errors(path, "read"):
            data = path.read_bytes()
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return False
        raise
    return (data != b"" and not data.endswith(b"\n")) or data.count(b"\n") > 2 * attempts + 1000
