"""Tools that read and change the working candidate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import Field

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.difference import unified
from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.placeholder import is_placeholder
from avo_tui.operators.toolbox.tool import tool
from avo_tui.operators.toolbox.workspace import Workspace, load_candidate
from avo_tui.patches import ChangeError, apply_patch, check_name, numbered


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with a change is told to the agent."""
    try:
        yield
    except ChangeError as error:
        raise ToolError(str(error)) from None


_FILE = Field(default=None, description="File of the candidate; needed if it has several.")


@tool("candidate")
async def read_candidate(
    space: Workspace,
    file: str | None = _FILE,
    first_line: int = Field(default=1, ge=1, description="First line to read, from 1."),
    last_line: int | None = Field(default=None, ge=1, description="Last line; the end without it."),
    raw: bool = Field(
        default=False, description="The text exactly as it is, without heading and line numbers."
    ),
) -> str:
    """Read the working candidate with line numbers (the numbers and the bar are not part of the
    text), whole or a window of lines."""
    files = space.working.files
    if file is None and len(files) > 1 and not raw:
        listing = ", ".join(f"{n} ({len(t.splitlines())} lines)" for n, t in files.items())
        body = "\n".join(f"=== {n}\n{numbered(t)}" for n, t in files.items())
        return f"{listing}\n{body}"
    name, text = space.file(file)
    total = len(text.splitlines())
    if first_line > max(total, 1):
        raise ToolError(f"{name} has {total} lines.")
    if raw:
        kept = text.splitlines(keepends=True)[first_line - 1 : last_line]
        return "".join(kept)
    body = numbered(text, first_line, last_line)
    return f"=== {name}, {total} lines\n{body}"


@tool("candidate")
async def replace_text(
    space: Workspace,
    file: str | None = _FILE,
    old: str = Field(min_length=1, description="Exact text to replace, white space included."),
    new: str = Field(description="Text to put in its place; empty to delete."),
    all: bool = Field(default=False, description="Replace every occurrence, not the only one."),
) -> str:
    """Replace an exact piece of text in a file of the working candidate. The best way to make a
    small change."""
    name, text = space.file(file)
    count = text.count(old)
    if count == 0:
        raise ToolError(f"The text to replace is not in {name}. {_nearest(text, old)}")
    if count > 1 and not all:
        raise ToolError(
            f"The text to replace is in {name} {count} times. Give more of its surroundings, or set"
            " all."
        )
    if old == new:
        raise ToolError("Old and new text are the same.")
    changed = _candidate({**space.working.files, name: text.replace(old, new)})
    what = f"Replaced {count} occurrences" if count > 1 else "Replaced the text"
    return space.change(changed, f"{what} in {name}")


@tool("candidate")
async def write_file(
    space: Workspace,
    file: str | None = _FILE,
    text: str = Field(description="The whole new content of the file."),
) -> str:
    """Write a whole file of the working candidate, replacing it or adding it."""
    name = file
    if name is None:
        name, _ = space.file(None)
    with _told():
        check_name(name)
    if is_placeholder(text):
        raise ToolError(
            "That text is the pointer that stands for a file cleared from the conversation, not a"
            " source. read_candidate shows the file as it is; write the whole new text."
        )
    verb = "Rewrote" if name in space.working.files else "Added"
    text = text if text.endswith("\n") else text + "\n"
    changed = _candidate({**space.working.files, name: text})
    return space.change(changed, f"{verb} {name}, {len(text.splitlines())} lines")


@tool("candidate")
async def delete_file(
    space: Workspace,
    file: str = Field(description="File to delete from the candidate."),
) -> str:
    """Delete a file from the working candidate."""
    name, _ = space.file(file)
    rest = {n: t for n, t in space.working.files.items() if n != name}
    if not rest:
        raise ToolError(f"{name} is the only file; a candidate has at least one.")
    return space.change(_candidate(rest), f"Deleted {name}")


@tool("candidate")
async def apply_diff(
    space: Workspace,
    diff: str = Field(
        min_length=1,
        description="Unified diff against the working candidate, with ---/+++ headers.",
    ),
) -> str:
    """Apply a unified diff to the working candidate. Context must match exactly, line numbers may
    be off; all hunks apply or none."""
    with _told():
        changed, what = apply_patch(space.working, diff)
    return space.change(changed, what)


@tool("candidate")
async def show_diff(
    space: Workspace,
    version: int | None = Field(
        default=None, description="Version to compare with; this step's parent without it."
    ),
) -> str:
    """Show the working candidate's unified diff to this step's parent, or to another version."""
    if version is None:
        number, other = space.bench.reading.head.number, space.parent
    else:
        chosen = space.version(version)
        number, other = chosen.number, space.bench.reading.candidate(chosen.candidate)
    diff = unified(other, space.working).text
    return diff or f"The working candidate is the same as v{number}."


@tool("candidate")
async def reset_candidate(
    space: Workspace,
    version: int | None = Field(
        default=None, description="Version whose source to take; this step's parent without it."
    ),
    attempt: str | None = Field(
        default=None,
        pattern=r"^\d+\.\d+$",
        description="Attempt whose source to take, committed or not, such as 12.3.",
    ),
) -> str:
    """Throw the changes away: take the source of this step's parent, of another version, or of any
    earlier attempt, also one that was wrong or rejected, to go on from there."""
    if version is not None and attempt is not None:
        raise ToolError("Give a version or an attempt, not both.")
    if attempt is not None:
        source = load_candidate(space.bench, space.attempt(attempt).candidate)
        return space.change(source, f"Took the source of attempt {attempt}")
    if version is None:
        return space.change(space.parent, f"Reset to v{space.bench.reading.head.number}")
    source = space.bench.reading.candidate(space.version(version).candidate)
    return space.change(source, f"Took the source of v{version}")


def _candidate(files: dict[str, str]) -> Candidate:
    try:
        return Candidate(files=files)
    except ValueError as error:
        raise ToolError(f"The result is not a valid candidate: {error}") from None


def _nearest(text: str, wanted: str) -> str:
    """Where the first line of `wanted` occurs if white space is ignored, as a hint."""
    first = next((line.strip() for line in wanted.splitlines() if line.strip()), "")
    lines = text.splitlines()
    places = [i for i, line in enumerate(lines, start=1) if first and line.strip() == first]
    if not places:
        return "Read the file again: it may have changed since you saw it."
    shown = numbered(text, places[0], places[0] + max(2, len(wanted.splitlines())))
    return (
        f"Its first line is at line {places[0]}, but what follows or the white space differs. The"
        f" file reads there:\n{shown}"
    )
