"""Exports of a session: as a git repository, a report page or a kernel.

An export reads the session folder and writes a new one; the session itself is never changed.
"""

from avo_tui.export.folder import Exported, ExportError, new_folder, write
from avo_tui.export.git import as_git
from avo_tui.export.kernel import as_kernel
from avo_tui.export.page import as_page

__all__ = ["ExportError", "Exported", "as_git", "as_kernel", "as_page", "new_folder", "write"]
