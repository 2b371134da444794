"""Exports of a session: as a git repository, a report page or a kernel.

An export reads the session folder and writes a new one; the session itself is never changed.
"""

from avo_tui.export.folder import Exported, ExportError, new_folder, require_new, write
from avo_tui.export.git import as_git
from avo_tui.export.kernel import as_source
from avo_tui.export.page import as_page

__all__ = [
    "ExportError",
    "Exported",
    "as_git",
    "as_page",
    "as_source",
    "new_folder",
    "require_new",
    "write",
]
