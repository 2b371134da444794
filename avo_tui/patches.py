"""Unified diffs, applied to a candidate with errors that say which hunk failed and why."""

from __future__ import annotations

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchedFile, PatchSet

from avo_tui.domain.candidate import Candidate, check_file_name

FUZZ = 200
"""Number of lines before and after the stated position in which a hunk is searched for."""


class ChangeError(ValueError):
    """What was given cannot be a candidate; the text is one sentence."""


def apply_patch(candidate: Candidate, text: str) -> tuple[Candidate, str]:
    """(new candidate, one line about what changed).

    Context must match exactly; the line numbers may be off. Nothing is applied if any hunk fails.
    Raises ChangeError.
    """
    files = dict(candidate.files)
    changed = [_apply(files, file) for file in parsed(text)]
    try:
        return Candidate(files=files), "Applied the diff to " + ", ".join(changed)
    except ValueError as error:
        raise ChangeError(f"The result is not a valid candidate: {error}") from None


def parsed(text: str) -> PatchSet:
    """The files of a patch. Raises ChangeError."""
    if "\nGIT binary patch" in text or "\nBinary files " in f"\n{text}":
        raise ChangeError("The diff changes a binary file; a candidate's files are text.")
    try:
        patch = PatchSet(text if text.endswith("\n") else text + "\n")
    except UnidiffParseError as error:
        raise ChangeError(
            f"This is not a well-formed unified diff: {error}. Count the lines of each hunk against"
            " its @@ header, or use replace_text."
        ) from None
    if len(patch) == 0:
        raise ChangeError(
            "No file header was found. A unified diff begins with '--- a/NAME' and '+++ b/NAME'."
        )
    return patch


def _apply(files: dict[str, str], file: PatchedFile) -> str:
    """Apply the part of a patch that is about one file; one phrase about it."""
    name = file.path
    if file.is_removed_file:
        _require(files, name)
        del files[name]
        return f"{name} removed"
    if file.is_added_file:
        if name in files:
            raise ChangeError(f"{name} exists already; diff against it instead of /dev/null.")
        check_name(name)
        files[name] = "".join(line.value for hunk in file for line in hunk if line.is_added)
        return f"{name} added"
    source = file.source_file.removeprefix("a/")
    if file.is_rename and source != name:
        _require(files, source)
        check_name(name)
        files[name] = patched(source, files.pop(source), list(file))
        return f"{source} renamed to {name}"
    _require(files, name)
    files[name] = patched(name, files[name], list(file))
    return f"{name}: {len(file)} hunk{'s' if len(file) != 1 else ''}"


def check_name(name: str) -> None:
    """Raises ChangeError for a name that no file of a candidate may have."""
    try:
        check_file_name(name)
    except ValueError as error:
        raise ChangeError(f"{error}.") from None


def _require(files: dict[str, str], name: str) -> None:
    if name not in files:
        some = ", ".join(list(files)[:40])
        raise ChangeError(f"The candidate has no file {name!r}; it has {some}.")


def patched(name: str, text: str, hunks: list[Hunk]) -> str:
    """A text with hunks applied. Raises ChangeError for one that does not match."""
    ends = "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"
    lines = text.removesuffix("\n").split("\n") if text else []
    if ends == "\r\n":
        lines = [_bare(line) for line in lines]
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
            raise ChangeError(
                f"Hunk {number} of {name} does not match: its context and removed lines are not in"
                f" the file near line {expected + 1}. Nothing was applied. The file reads there:\n"
                f"{around}"
            )
        lines[start : start + len(old)] = new
        shift += len(new) - len(old)
    return ends.join(lines) + (ends if text.endswith("\n") or not text else "")


def _bare(value: str) -> str:
    return value.rstrip("\r\n")


def _find(lines: list[str], old: list[str], expected: int) -> int | None:
    last = len(lines) - len(old)
    for distance in range(FUZZ + 1):
        for line in {expected - distance, expected + distance}:
            if 0 <= line <= last and lines[line : line + len(old)] == old:
                return line
    return None


def numbered(text: str, first: int = 1, last: int | None = None) -> str:
    """Lines `first` to `last` of a text (1-based, inclusive), each with its number."""
    lines = text.splitlines()
    stop = len(lines) if last is None else min(last, len(lines))
    width = len(str(stop))
    return "\n".join(f"{i:>{width}}│{lines[i - 1]}" for i in range(max(1, first), stop + 1))
