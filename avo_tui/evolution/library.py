"""K behind the port that operators see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.operators.ports import KnowledgeHit

if TYPE_CHECKING:
    from avo_tui.knowledge import KnowledgeBase


class SessionKnowledge:
    """The built-in documents, the person's and the session's own; read when first asked."""

    def __init__(self, session: Path | None) -> None:
        """`session` is a session's folder; without one its library is left out."""
        self._session = session
        self._base: KnowledgeBase | None = None

    @property
    def _open(self) -> KnowledgeBase:
        if self._base is None:
            from avo_tui.knowledge import KnowledgeBase

            self._base = KnowledgeBase.open(session=self._session)
        return self._base

    def search(self, query: str, limit: int = 8) -> Sequence[KnowledgeHit]:
        """Sections that answer the query, best first."""
        return [
            KnowledgeHit(
                id=hit.id,
                document=hit.title,
                section=" › ".join(hit.section),
                snippet=hit.snippet,
                score=hit.score,
            )
            for hit in self._open.search(query, limit)
        ]

    def read(self, identifier: str, offset: int = 0, limit: int = 12_000) -> str:
        """Text of a document or section. Raises KeyError for one that is not there."""
        from avo_tui.knowledge import KnowledgeError

        try:
            return self._open.read(identifier, offset, limit).text
        except KnowledgeError as error:
            raise KeyError(str(error)) from error

    def documents(self) -> Sequence[tuple[str, str]]:
        """(identifier, title) of every document."""
        return [(d.id, d.title) for d in self._open.documents()]

    def close(self) -> None:
        """Closes the indexes."""
        if self._base is not None:
            self._base.close()
            self._base = None
