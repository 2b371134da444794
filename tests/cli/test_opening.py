from pathlib import Path

import pytest

from avo_tui.cli.app import services
from avo_tui.knowledge import KnowledgeBase
from avo_tui.knowledge import base as base_module


def test_the_knowledge_screen_reads_the_library_of_the_session_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_module, "user_index", lambda: tmp_path / "user.sqlite")
    session = tmp_path / "session"
    session.mkdir()
    (tmp_path / "mine.md").write_text("# Mine\n\n## Echidna\n\nspines\n")
    base = KnowledgeBase.open(session=session)
    base.add(tmp_path / "mine.md", library="session")
    base.close()
    shown: list[Path] = []
    asked = services(lambda: shown[0] if shown else None)
    assert asked.documents and asked.search_knowledge and asked.read_knowledge
    built_in = {identity for identity, _ in asked.documents()}
    assert built_in and not any(i.startswith("session:") for i in built_in)
    shown.append(session)
    assert {i for i, _ in asked.documents()} - built_in == {"session:mine.md"}
    assert asked.search_knowledge("echidna spines")[0].id.startswith("session:mine.md")
    assert "spines" in asked.read_knowledge("session:mine.md")
