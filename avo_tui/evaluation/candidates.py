"""Reads candidates from files and folders."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from avo_tui.domain.candidate import MAX_FILE_BYTES, Candidate
from avo_tui.evaluation.ports import EvaluatorError


def read_candidate(path: Path) -> Candidate:
    """A file, or every file below a folder; raises EvaluatorError with one sentence."""
    if path.is_file():
        paths = {path.name: path}
    elif path.is_dir():
        names = (p for p in sorted(path.rglob("*")) if p.is_file())
        paths = {p.relative_to(path).as_posix(): p for p in names}
        paths = {n: p for n, p in paths.items() if not _hidden(n)}
    else:
        raise EvaluatorError(f"{path} is neither a file nor a folder")
    try:
        too_long = [n for n, p in paths.items() if p.stat().st_size > MAX_FILE_BYTES]
        if too_long:
            raise EvaluatorError(f"{too_long[0]} is longer than {MAX_FILE_BYTES} bytes")
        files = {name: p.read_text(encoding="utf-8") for name, p in paths.items()}
        return Candidate(files=files)
    except UnicodeDecodeError as error:
        raise EvaluatorError(f"{path} holds a file that is not UTF-8 text") from error
    except OSError as error:
        raise EvaluatorError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise EvaluatorError(f"{path}: {error.errors()[0]['msg']}") from error


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in name.split("/"))
