"""Opens a candidate in the person's editor. The saved text is a draft until it is submitted."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from textual.app import App

from avo_tui.domain.candidate import Candidate


class EditorError(ValueError):
    """The editor ended with an error; `saved` is what it had saved by then."""

    def __init__(self, status: int, saved: Candidate) -> None:
        super().__init__(f"the editor ended with status {status}: nothing is submitted")
        self.saved = saved


def edit_candidate(candidate: Candidate, app: App[None], name: str) -> Candidate:
    """Open the candidate's files in $VISUAL or $EDITOR, with the app suspended.

    Raises ValueError, with a sentence, if there is no editor or the result is not a candidate, and
    EditorError if the editor ended with an error.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise ValueError("no editor is known: set $EDITOR, for example EDITOR=vim")
    with tempfile.TemporaryDirectory(prefix=f"avo-{name}-") as folder:
        paths: list[Path] = []
        for file, text in candidate.files.items():
            path = Path(folder) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            paths.append(path)
        with app.suspend():
            try:
                status = subprocess.call([*shlex.split(editor), *map(str, paths)])
            except OSError as error:
                raise ValueError(
                    f"the editor {editor!r} cannot be started: {error.strerror}"
                ) from error
        saved = Candidate(
            files={file: (Path(folder) / file).read_text() for file in candidate.files}
        )
    if status != 0:
        raise EditorError(status, saved)
    return saved
