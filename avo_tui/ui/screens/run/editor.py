"""A candidate in the person's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from textual.app import App

from avo_tui.domain.candidate import Candidate


def edit_candidate(candidate: Candidate, app: App[None], name: str) -> Candidate | None:
    """Open the candidate's files in $VISUAL or $EDITOR, with the app out of the way.

    Raises ValueError with a sentence where there is no editor, or it failed, or the result is no
    candidate.
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
                code = subprocess.call([*shlex.split(editor), *map(str, paths)])
            except OSError as error:
                raise ValueError(
                    f"the editor {editor!r} cannot be started: {error.strerror}"
                ) from error
        if code != 0:
            raise ValueError(f"the editor ended with status {code}: nothing is submitted")
        return Candidate(
            files={file: (Path(folder) / file).read_text() for file in candidate.files}
        )
