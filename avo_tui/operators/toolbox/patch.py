"""Apply a unified diff to a candidate, with errors that say which hunk failed and why."""

from __future__ import annotations

from avo_tui import worktree
from avo_tui.domain.candidate import Candidate, check_file_name
from avo_tui.operators.toolbox.errors import ToolError


def apply_patch(candidate: Candidate, text: str) -> tuple[Candidate, str]:
    """(new candidate, one line about what changed). Raises ToolError; see `worktree`."""
    try:
        return worktree.apply_patch(candidate, text)
    except worktree.ChangeError as error:
        raise ToolError(str(error)) from None


def check(name: str) -> None:
    """Raise ToolError for a name that is not allowed for a candidate's file."""
    try:
        check_file_name(name)
    except ValueError as error:
        raise ToolError(f"{error}.") from None
