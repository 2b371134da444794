"""Reads candidates from files and folders."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from avo_tui.domain.candidate import MAX_FILE_BYTES, Candidate
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.user_paths import without_links


def read_candidate(path: Path) -> Candidate:
    """A file, or every file below a folder; raises EvaluatorError with one sentence."""
    if path.is_file():
        paths = {path.name: path}
    elif path.is_dir():
        paths = files_below(path)
    else:
        raise EvaluatorError(f"{path} is neither a file nor a folder")
    try:
        return Candidate(files={name: read_file(p) for name, p in paths.items()})
    except UnicodeDecodeError as error:
        raise EvaluatorError(f"{path} holds a file that is not UTF-8 text") from error
    except OSError as error:
        raise EvaluatorError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise EvaluatorError(f"{path}: {error.errors()[0]['msg']}") from error


def files_below(folder: Path) -> dict[str, Path]:
    """Name → path of each file below a folder, without hidden ones.

    Raises EvaluatorError for a link to a file elsewhere: a folder from somebody else could name a
    file of the person's, which would go into the session's record and to models.
    """
    real, files = without_links(folder), {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if _hidden(name) or not path.is_file():
            continue
        target = without_links(path)
        if not target.is_relative_to(real):
            raise EvaluatorError(
                f"{path} is a link to {target}, outside the folder: copy the file if it "
                "belongs to the candidate"
            )
        files[name] = path
    return files


def read_file(path: Path) -> str:
    """A candidate's file. Raises EvaluatorError if it is too long, OSError, UnicodeDecodeError."""
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise EvaluatorError(f"{path} is longer than {MAX_FILE_BYTES} bytes")
    return data.decode("utf-8")


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in name.split("/"))
