"""The knowledge base (K), as the variation operators access it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.domain.task import TaskInfo
from avo_tui.operators.knowledge_port import KnowledgeHit

if TYPE_CHECKING:
    from avo_tui.knowledge import KnowledgeBase


class SessionKnowledge:
    """The built-in documents and those of the person, the session and its task; loaded on first
    use."""

    def __init__(self, session: Path | None, task: TaskInfo | None = None) -> None:
        """`session` is a session's folder; if None, the session's own documents are left out.

        The text of `task` can be searched as well, as the library `task`.
        """
        self._session = session
        self._task = task
        self._base: KnowledgeBase | None = None

    @property
    def _open(self) -> KnowledgeBase:
        if self._base is None:
            from avo_tui.knowledge import KnowledgeBase

            self._base = KnowledgeBase.open(session=self._session, texts=self._texts())
        return self._base

    def _texts(self) -> dict[str, dict[str, str]]:
        if self._task is None:
            return {}
        from avo_tui.operators.agent.prompts.opening import task_text

        text = f"# The task {self._task.name}\n\n{task_text(self._task, None)}"
        return {"task": {f"{self._task.name}.md": text}}

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
