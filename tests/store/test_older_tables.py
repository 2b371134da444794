"""Tables that another version of the fold made: who makes them anew, and when."""

import json
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.tables import FOLD
from avo_tui.store import SessionReader, SessionWriter
from avo_tui.store.doctor import diagnose, differences
from avo_tui.store.layout import Layout


def _outdated(layout: Layout) -> None:
    """Let the tables be those of an older fold, which knew of no rewinds."""
    tables = json.loads(layout.database.read_text())
    session = tables["session"]["1"]
    assert session.pop("fold") == FOLD
    assert session.pop("rewound_at")
    layout.database.write_text(json.dumps(tables))
    layout.previous.unlink(missing_ok=True)


@pytest.fixture
def rewound(lived: Path) -> Layout:
    with SessionWriter.open(lived) as writer:
        writer.record(ev.Rewound(origin=1, target=0))
    _outdated(Layout(lived))
    return Layout(lived)


def test_tables_of_an_older_fold_are_made_anew(rewound: Layout) -> None:
    """A reader does so in memory, a writer once on the disk."""
    size = rewound.database.stat().st_size
    reader = SessionReader.open(rewound.folder)
    assert reader.state.session.rewound_at is not None and reader.problems == []
    assert rewound.database.stat().st_size == size, "a reader changes nothing"
    assert [f for f in diagnose(rewound.folder) if f.level == "fail" and f.what != "objects"] == []
    with SessionWriter.open(rewound.folder) as writer:
        assert any("older avo-tui" in sentence for sentence in writer.recovered)
        assert not list(differences(writer.state, reader.state))
    row = json.loads(rewound.database.read_text())["session"]["1"]
    assert row["fold"] == FOLD and row["rewound_at"]
    with SessionWriter.open(rewound.folder) as writer:
        assert writer.recovered == ()
        writer.record(ev.PlanSet(title="on"))
    again = SessionReader.open(rewound.folder)
    assert again.problems == [] and again.state.attempts == reader.state.attempts
    assert not list(rewound.folder.glob("*.damaged"))


def test_tables_of_an_older_fold_stay_where_the_journal_has_a_gap(rewound: Layout) -> None:
    before = SessionReader.open(rewound.folder).state
    rewound.part(1).unlink()
    for _ in range(2):
        with SessionWriter.open(rewound.folder) as writer:
            assert writer.state.attempts == before.attempts
            assert writer.state.versions == before.versions


def test_a_kill_between_the_files_of_tables_made_anew(rewound: Layout) -> None:
    """records.pages is begun anew, session.json not yet written."""
    before = SessionReader.open(rewound.folder).state
    old = rewound.database.read_bytes()
    SessionWriter.open(rewound.folder).close()
    rewound.database.write_bytes(old)
    reader = SessionReader.open(rewound.folder)
    assert reader.state.session.rewound_at is not None
    assert (reader.state.attempts, reader.state.steps) == (before.attempts, before.steps)
    SessionWriter.open(rewound.folder).close()
    assert SessionReader.open(rewound.folder).problems == []


def test_tables_of_a_newer_fold_are_used_as_they_are(lived: Path) -> None:
    layout = Layout(lived)
    text = layout.database.read_text()
    layout.database.write_text(text.replace(f'"fold":{FOLD}', f'"fold":{FOLD + 1}'))
    assert f'"fold":{FOLD + 1}' in layout.database.read_text()
    layout.part(1).unlink()  # they are not made from the journal
    assert len(SessionReader.open(lived).state.attempts) == 12
