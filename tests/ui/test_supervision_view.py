"""The supervisor's numbers, what versions owe to notes, and the mark of a recording."""

from dataclasses import replace

import pytest

from avo_tui.domain.records import Note
from avo_tui.ui.panes.plan import version_story
from avo_tui.ui.screens.supervisor import stall_lines
from avo_tui.ui.session.feed import Feed, Snapshot
from avo_tui.ui.status import Keys, status_line
from tests.ui.make_session import MemorySource


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    feed = Feed(MemorySource())
    feed.prime()
    assert feed.latest is not None
    return feed.latest


def with_settings(snapshot: Snapshot, **update: object) -> Snapshot:
    settings = snapshot.session.settings.model_copy(update=update)
    return replace(snapshot, session=snapshot.session.model_copy(update={"settings": settings}))


def test_each_number_stands_beside_its_limit_and_the_next_rung_is_marked(
    snapshot: Snapshot,
) -> None:
    text = "\n".join(row.plain for row in stall_lines(snapshot))
    assert "2 of 8  ━━────────  attempts without a commit" in text
    assert "▸nudge → redirect → stop step" in text
    assert "switched off: usd" in text
    tight = with_settings(snapshot, options={"supervisor.attempts": 2, "supervisor.usd": 0.5})
    rows = stall_lines(tight)
    full = next(row for row in rows if "attempts without" in row.plain)
    assert "2 of 2  ━━━━━━━━━━" in full.plain and ("━" * 10, "bad") in full.spans
    assert "of $0.50" in "\n".join(row.plain for row in rows)


def test_the_tuner_has_its_own_ladder_and_what_waits_has_numbers_alone(snapshot: Snapshot) -> None:
    tuner = "\n".join(row.plain for row in stall_lines(with_settings(snapshot, operator="tuner")))
    assert "▸nudge → restart" in tuner and "of 16" in tuner
    outside = "\n".join(r.plain for r in stall_lines(with_settings(snapshot, operator="external")))
    assert "2  attempts without a commit" in outside
    assert " of " not in outside and "ladder" not in outside


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_recording_is_marked_in_every_width(snapshot: Snapshot, width: int) -> None:
    now = snapshot.session.last_event_at
    assert now is not None
    played = with_settings(snapshot, operator="recorded")
    row = status_line(played, width, now, Keys())
    assert "mha-study recording" in row.plain and row.width <= width
    assert "recording" not in status_line(snapshot, width, now, Keys()).plain


def test_a_version_shows_the_notes_that_it_was_built_on(snapshot: Snapshot) -> None:
    note = Note(
        id="n", category="failed", text="tile 7 \x1b[31mspills", at=snapshot.session.created
    )
    version = snapshot.versions[3].model_copy(update={"built_on": (note,)})
    text = "\n".join(row.plain for row in version_story(version, 60))
    assert "built on notes of the memory" in text and "✕ tile 7 ␛[31mspills" in text
    assert "built on" not in "\n".join(row.plain for row in version_story(snapshot.versions[3], 60))
