"""Apply a unified diff to a candidate, with errors that say which hunk failed and why."""

from __future__ import annotations

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchSet

from avo_tui.domain.candidate import Candidate, check_file_name
from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.report_text import numbered

FUZZ = 200
"""Number of lines before and after the stated position in which a hunk is searched for."""


def apply_patch(candidate: Candidate, text: str) -> tuple[Candidate, str]:
    """(new candidate, one line about what changed).

    Context must match exactly; the line numbers may be off. Nothing is applied if any hunk fails.
    Raises ToolError.
    """
    try:
        patch = PatchSet(text if text.endswith("\n") else text + "\n")
    except UnidiffParseError as error:
        raise ToolError(
            f"This is not a well-formed unified diff: {error}. Count the lines of each hunk against"
            " its @@ header, or use replace_text."
        ) from None
    if len(patch) == 0:
        raise ToolError(
            "No file header was found. A unified diff begins with '--- a/NAME' and '+++ b/NAME'."
        )
    files = dict(candidate.files)
    changed: list[str] = []
    for file in patch:
        name = file.path
        if file.is_removed_file:
            _require(files, name)
            del files[name]
            changed.append(f"{name} removed")
            continue
        if file.is_added_file:
            if name in files:
                raise ToolError(f"{name} exists already; diff against it instead of /dev/null.")
            check(name)
            added = [line.value for hunk in file for line in hunk if line.is_added]
            files[name] = "".join(added)
            changed.append(f"{name} added")
            continue
        _require(files, name)
        files[name] = _patched(name, files[name], list(file))
        changed.append(f"{name}: {len(file)} hunk{'s' if len(file) != 1 else ''}")
    try:
        return Candidate(files=files), "Applied the diff to " + ", ".join(changed)
    except ValueError as error:
        raise ToolError(f"The result is not a valid candidate: {error}") from None


def check(name: str) -> None:
    """Raise ToolError for a name that is not allowed for a candidate's file."""
    try:
        check_file_name(name)
    except ValueError as error:
        raise ToolError(f"{error}.") from None


def _require(files: dict[str, str], name: str) -> None:
    if name not in files:
        raise ToolError(f"The working candidate has no file {name!r}; it has {', '.join(files)}.")


def _patched(name: str, text: str, hunks: list[Hunk]) -> str:
    lines = text.splitlines()
    shift = 0
    for number, hunk in enumerate(hunks, start=1):
        old = [_bare(line.value) for line in hunk if line.is_context or line.is_removed]
        new = [_bare(line.value) for line in hunk if line.is_context or line.is_added]
        expected = max(hunk.source_start - 1, 0) + shift
        if not old:
            expected = min(hunk.source_start + shift, len(lines))
        start = _find(lines, old, expected)
        if start is None:
            around = numbered("\n".join(lines), max(1, expected - 3), expected + len(old) + 3)
            raise ToolError(
                f"Hunk {number} of {name} does not match: its context and removed lines are not in"
                f" the file near line {expected + 1}. Nothing was applied. The file reads there:\n"
                f"{around}"
            )
        lines[start : start + len(old)] = new
        shift += len(new) - len(old)
    return "\n".join(lines) + ("\n" if text.endswith("\n") or not text else "")


def _bare(value: str) -> str:
    return value.rstrip("\r\n")


def _find(lines: list[str], old: list[str], expected: int) -> int | None:
    last = len(lines) - len(old)
    for distance in range(FUZZ + 1):
        for line in {expected - distance, expected + distance}:
            if 0 <= line <= last and lines[line : line + len(old)] == old:
                return line
    return None
