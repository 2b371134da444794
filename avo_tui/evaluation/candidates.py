"""Reads candidates from files and folders."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from avo_tui.domain.candidate import MAX_FILE_BYTES, MAX_FILES, Candidate
from avo_tui.domain.task import TaskInfo
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.patches import ChangeError
from avo_tui.user_paths import without_links
from avo_tui.worktree import read_change

MOST_SEEN = 10_000
"""Files and folders that are looked at below a folder, hidden ones apart from what is in them."""


def read_candidate(
    path: Path, task: TaskInfo | None = None, head: Candidate | None = None
) -> Candidate:
    """A file, or every file below a folder; of a repository a patch, a folder or a worktree.

    `head` is what a patch may be against in place of the base. Raises EvaluatorError with one
    sentence.
    """
    if task is not None and task.tree:
        try:
            return read_change(path, task, head)
        except ChangeError as error:
            raise EvaluatorError(str(error).rstrip(".")) from error
    if path.is_file():
        paths = {path.name: path}
    elif path.is_dir():
        paths = files_below(path)
    else:
        raise EvaluatorError(f"{path} is neither a file nor a folder")
    try:
        return Candidate(files={name: read_file(p) for name, p in paths.items()})
    except ValidationError as error:
        raise EvaluatorError(f"{path}: {error.errors()[0]['msg']}") from error


def files_below(folder: Path) -> dict[str, Path]:
    """Name → path of each file below a folder, without hidden ones.

    Raises EvaluatorError for more files than a candidate can have, so that a home folder named by
    mistake is not read, and for a link to a file elsewhere: a folder from somebody else could name
    a file of the person's, which would go into the session's record and to models.
    """
    real, files, seen = without_links(folder), {}, 0
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        seen += len(folders) + len(names)
        for name in sorted(name for name in names if not _hidden(name)):
            path = Path(inside, name)
            if not path.is_file():
                continue
            target = without_links(path)
            if not target.is_relative_to(real):
                raise EvaluatorError(
                    f"{path} is a link to {target}, outside the folder: copy the file if it "
                    "belongs to the candidate"
                )
            files[path.relative_to(folder).as_posix()] = path
        if len(files) > MAX_FILES or seen > MOST_SEEN:
            raise EvaluatorError(
                f"{folder} holds more than the {MAX_FILES} files that a candidate can have: name "
                "its files, or a folder that holds nothing else"
            )
    return files


def read_file(path: Path) -> str:
    """A candidate's file. Raises EvaluatorError if it is too long or cannot be read as text."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise EvaluatorError(f"{path} is longer than {MAX_FILE_BYTES} bytes")
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EvaluatorError(f"{path} is not UTF-8 text") from error
    except OSError as error:
        raise EvaluatorError(f"{path} cannot be read: {error.strerror}") from error


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"
