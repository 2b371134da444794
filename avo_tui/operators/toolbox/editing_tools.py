"""Tools that read and change the working candidate."""

from __future__ import annotations

from pydantic import Field

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.difference import unified
from avo_tui.operators.toolbox import patch
from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.placeholder import is_placeholder
from avo_tui.operators.toolbox.tool import Arguments, Tool, ToolAnswer
from avo_tui.operators.toolbox.workspace import Workspace, load_candidate
from avo_tui.worktree import numbered

_FILE = Field(default=None, description="File of the candidate; needed if it has several.")


class ReadCandidate(Arguments):
    """A range of lines of a file."""

    file: str | None = _FILE
    first_line: int = Field(default=1, ge=1, description="First line to read, from 1.")
    last_line: int | None = Field(default=None, ge=1, description="Last line; the end without it.")
    raw: bool = Field(
        default=False, description="The text exactly as it is, without heading and line numbers."
    )


class ReplaceText(Arguments):
    """An exact replacement."""

    file: str | None = _FILE
    old: str = Field(min_length=1, description="Exact text to replace, white space included.")
    new: str = Field(description="Text to put in its place; empty to delete.")
    all: bool = Field(default=False, description="Replace every occurrence, not the only one.")


class WriteFile(Arguments):
    """A whole file."""

    file: str | None = _FILE
    text: str = Field(description="The whole new content of the file.")


class DeleteFile(Arguments):
    """A file to delete."""

    file: str = Field(description="File to delete from the candidate.")


class ApplyDiff(Arguments):
    """A unified diff."""

    diff: str = Field(
        min_length=1,
        description="Unified diff against the working candidate, with ---/+++ headers.",
    )


class ShowDiff(Arguments):
    """The version to compare with."""

    version: int | None = Field(
        default=None, description="Version to compare with; this step's parent without it."
    )


class ResetCandidate(Arguments):
    """The source to go back to."""

    version: int | None = Field(
        default=None, description="Version whose source to take; this step's parent without it."
    )
    attempt: str | None = Field(
        default=None,
        pattern=r"^\d+\.\d+$",
        description="Attempt whose source to take, committed or not, such as 12.3.",
    )


async def _read_candidate(space: Workspace, arguments: ReadCandidate) -> ToolAnswer:
    files = space.working.files
    if arguments.file is None and len(files) > 1 and not arguments.raw:
        listing = ", ".join(f"{n} ({len(t.splitlines())} lines)" for n, t in files.items())
        body = "\n".join(f"=== {n}\n{numbered(t)}" for n, t in files.items())
        return ToolAnswer(f"{listing}\n{body}")
    name, text = space.file(arguments.file)
    total = len(text.splitlines())
    if arguments.first_line > max(total, 1):
        raise ToolError(f"{name} has {total} lines.")
    if arguments.raw:
        kept = text.splitlines(keepends=True)[arguments.first_line - 1 : arguments.last_line]
        return ToolAnswer("".join(kept))
    body = numbered(text, arguments.first_line, arguments.last_line)
    return ToolAnswer(f"=== {name}, {total} lines\n{body}")


async def _replace_text(space: Workspace, arguments: ReplaceText) -> ToolAnswer:
    name, text = space.file(arguments.file)
    count = text.count(arguments.old)
    if count == 0:
        raise ToolError(f"The text to replace is not in {name}. {_nearest(text, arguments.old)}")
    if count > 1 and not arguments.all:
        raise ToolError(
            f"The text to replace is in {name} {count} times. Give more of its surroundings, or set"
            " all."
        )
    if arguments.old == arguments.new:
        raise ToolError("Old and new text are the same.")
    changed = _candidate({**space.working.files, name: text.replace(arguments.old, arguments.new)})
    what = f"Replaced {count} occurrences" if count > 1 else "Replaced the text"
    return ToolAnswer(space.change(changed, f"{what} in {name}"))


async def _write_file(space: Workspace, arguments: WriteFile) -> ToolAnswer:
    name = arguments.file
    if name is None:
        name, _ = space.file(None)
    patch.check(name)
    if is_placeholder(arguments.text):
        raise ToolError(
            "That text is the pointer that stands for a file cleared from the conversation, not a"
            " source. read_candidate shows the file as it is; write the whole new text."
        )
    verb = "Rewrote" if name in space.working.files else "Added"
    text = arguments.text if arguments.text.endswith("\n") else arguments.text + "\n"
    changed = _candidate({**space.working.files, name: text})
    return ToolAnswer(space.change(changed, f"{verb} {name}, {len(text.splitlines())} lines"))


async def _delete_file(space: Workspace, arguments: DeleteFile) -> ToolAnswer:
    name, _ = space.file(arguments.file)
    rest = {n: t for n, t in space.working.files.items() if n != name}
    if not rest:
        raise ToolError(f"{name} is the only file; a candidate has at least one.")
    return ToolAnswer(space.change(_candidate(rest), f"Deleted {name}"))


async def _apply_diff(space: Workspace, arguments: ApplyDiff) -> ToolAnswer:
    changed, what = patch.apply_patch(space.working, arguments.diff)
    return ToolAnswer(space.change(changed, what))


async def _show_diff(space: Workspace, arguments: ShowDiff) -> ToolAnswer:
    if arguments.version is None:
        number, other = space.bench.reading.head.number, space.parent
    else:
        version = space.version(arguments.version)
        number, other = version.number, space.bench.reading.candidate(version.candidate)
    diff = unified(other, space.working).text
    return ToolAnswer(diff or f"The working candidate is the same as v{number}.")


async def _reset_candidate(space: Workspace, arguments: ResetCandidate) -> ToolAnswer:
    if arguments.version is not None and arguments.attempt is not None:
        raise ToolError("Give a version or an attempt, not both.")
    if arguments.attempt is not None:
        attempt = space.attempt(arguments.attempt)
        source = load_candidate(space.bench, attempt.candidate)
        return ToolAnswer(space.change(source, f"Took the source of attempt {arguments.attempt}"))
    if arguments.version is None:
        return ToolAnswer(
            space.change(space.parent, f"Reset to v{space.bench.reading.head.number}")
        )
    version = space.version(arguments.version)
    source = space.bench.reading.candidate(version.candidate)
    return ToolAnswer(space.change(source, f"Took the source of v{version.number}"))


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


TOOLS = (
    Tool(
        "read_candidate",
        "candidate",
        "Read the working candidate with line numbers (the numbers and the bar are not part of "
        "the text), whole or a window of lines.",
        ReadCandidate,
        _read_candidate,
    ),
    Tool(
        "replace_text",
        "candidate",
        "Replace an exact piece of text in a file of the working candidate. The best way to make "
        "a small change.",
        ReplaceText,
        _replace_text,
    ),
    Tool(
        "write_file",
        "candidate",
        "Write a whole file of the working candidate, replacing it or adding it.",
        WriteFile,
        _write_file,
    ),
    Tool(
        "delete_file",
        "candidate",
        "Delete a file from the working candidate.",
        DeleteFile,
        _delete_file,
    ),
    Tool(
        "apply_diff",
        "candidate",
        "Apply a unified diff to the working candidate. Context must match exactly, line numbers "
        "may be off; all hunks apply or none.",
        ApplyDiff,
        _apply_diff,
    ),
    Tool(
        "show_diff",
        "candidate",
        "Show the working candidate's unified diff to this step's parent, or to another version.",
        ShowDiff,
        _show_diff,
    ),
    Tool(
        "reset_candidate",
        "candidate",
        "Throw the changes away: take the source of this step's parent, of another version, or of "
        "any earlier attempt, also one that was wrong or rejected, to go on from there.",
        ResetCandidate,
        _reset_candidate,
    ),
)
