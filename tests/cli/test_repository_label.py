"""What shows scores of a repository says that its own benchmark measured them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.records import Version
from avo_tui.domain.repository import MEASURED_BY
from avo_tui.store import SessionWriter
from tests.cli.command_line import Result
from tests.session_life import AT, gate, score, session_record


@pytest.fixture
def session(own_places: Path) -> str:
    record = session_record("one", 1)
    task = record.task.replaced(measured_by=MEASURED_BY)
    with SessionWriter.create(own_places / "one", record.replaced(task=task)) as writer:
        for number in range(2):
            candidate = Candidate(files={"src/a.c": f"int a = {number};\n"})
            version = Version(
                number=number, parent=number - 1 if number else None, step=number,
                candidate=writer.put(candidate.canonical()), score=score(1 + number),
                gate=gate().replaced(interval=(0.01, 0.03), replicates=8), created=AT,
                author="seat" if number else "seed", device=f"a CPU · {MEASURED_BY}",
            )  # fmt: skip
            writer.record(ev.VersionCommitted(version=version))
    return "one"


@pytest.mark.parametrize(
    "command", [["status"], ["lineage"], ["show", "v1"], ["show", "v1", "--json"],
                ["lineage", "--json"]],
)  # fmt: skip
def test_a_command_that_shows_scores_has_the_label(
    session: str, avo: Callable[..., Result], command: list[str]
) -> None:
    first, *more = command
    done = avo(first, session, *more)
    assert done.code == 0 and MEASURED_BY in done.out, done.out + done.err


@pytest.mark.parametrize("form", ["html", "git"])
def test_an_export_has_the_label(
    session: str, avo: Callable[..., Result], tmp_path: Path, form: str
) -> None:
    to = tmp_path / "out"
    done = avo("export", session, "--as", form, "--to", str(to))
    assert done.code == 0, done.err
    if form == "html":
        assert MEASURED_BY in unescape((to / "index.html").read_text())
        return
    notes = subprocess.run(["git", "-C", to, "log", "--all"], capture_output=True, check=True)
    assert MEASURED_BY in notes.stdout.decode()
