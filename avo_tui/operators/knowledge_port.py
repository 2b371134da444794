"""The interface between operators and K, the knowledge base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from avo_tui.domain.base import Value


class KnowledgeHit(Value):
    """A section of the knowledge base that matches a query."""

    id: str
    document: str
    section: str
    snippet: str
    score: float


class Knowledge(Protocol):
    """The knowledge base (K), as an operator sees it."""

    def search(self, query: str, limit: int = 8) -> Sequence[KnowledgeHit]:
        """Sections that match the query, best first. Never raises, whatever the query."""
        ...

    def read(self, identifier: str, offset: int = 0, limit: int = 12_000) -> str:
        """Text of a document or section. Raises KeyError for one that is not there."""
        ...

    def documents(self) -> Sequence[tuple[str, str]]:
        """(identifier, title) of every document."""
        ...
