"""K, the knowledge base: documents and source code that an agent or a person can search."""

from avo_tui.knowledge.base import KnowledgeBase, builtin_documents, session_index, user_index
from avo_tui.knowledge.model import (
    AddReport,
    Document,
    Hit,
    KnowledgeError,
    Passage,
    Progress,
    Section,
    Skipped,
)

__all__ = [
    "AddReport",
    "Document",
    "Hit",
    "KnowledgeBase",
    "KnowledgeError",
    "Passage",
    "Progress",
    "Section",
    "Skipped",
    "builtin_documents",
    "session_index",
    "user_index",
]
