"""A kernel in the person's own editor, in a real terminal."""

import os
from pathlib import Path

import pytest

from avo_tui.domain.commands import Submit
from avo_tui.store import SessionWriter
from tests.ui.make_session import write
from tests.ui.person import PROGRAM, Person
from tests.waiting import wait_for


def test_the_editor_has_the_terminal_and_what_it_saves_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\necho IN THE EDITOR; echo "// by hand" >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    write(tmp_path / "study", steps=2)
    session = SessionWriter.open(tmp_path / "study")
    person = Person(str(program), str(tmp_path / "study"))
    try:
        person.read_until("RUNNING")
        os.write(person.fd, b"e")
        person.read_until("\x1b[?1049l")
        person.read_until("IN THE EDITOR")
        person.seen = b""
        person.read_until("Submit")
        os.write(person.fd, b"mine")
        person.read_until("mine")
        os.write(person.fd, b"\x13")
        wait_for(lambda: person.read() == b"" and session.pending_commands(), "nothing was sent")
        command = session.pending_commands()[0]
        assert isinstance(command, Submit) and command.plan == "mine"
        assert command.candidate.files["kernel.cpp"].endswith("// by hand\n")
    finally:
        person.close()
        session.close()
