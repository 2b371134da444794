"""Tools that read the knowledge base K."""

from __future__ import annotations

from pydantic import Field

from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.tool import tool
from avo_tui.operators.toolbox.workspace import Workspace


@tool("knowledge")
async def search_knowledge(
    space: Workspace,
    query: str = Field(min_length=1, max_length=500, description="A few technical words."),
    limit: int = Field(default=8, ge=1, le=30, description="How many sections at most."),
) -> str:
    """Search the knowledge base (architecture notes, programming guides, kernels, papers). Answers
    with sections, best first, each with an id for read_knowledge."""
    hits = space.bench.knowledge.search(query, limit)
    if not hits:
        return "Nothing found. Try other words; list_knowledge shows the documents."
    return "\n\n".join(f"[{h.id}] {h.document} › {h.section}\n{h.snippet}" for h in hits)


@tool("knowledge")
async def read_knowledge(
    space: Workspace,
    id: str = Field(description="Identifier from search_knowledge or list_knowledge."),
    offset: int = Field(default=0, ge=0, description="Character to begin at."),
    limit: int = Field(default=12_000, ge=200, le=14_000, description="Characters to read."),
) -> str:
    """Read a document or section of the knowledge base, from an offset."""
    try:
        text = space.bench.knowledge.read(id, offset, limit)
    except KeyError:
        raise ToolError(
            f"There is no document or section {id!r}; search_knowledge and"
            " list_knowledge give the identifiers."
        ) from None
    if not text:
        return f"(nothing at offset {offset}: the end was reached)"
    more = ""
    if len(text) >= limit:
        more = f"\n(go on with offset {offset + len(text)})"
    return text + more


@tool("knowledge")
async def list_knowledge(space: Workspace) -> str:
    """List the documents of the knowledge base."""
    documents = space.bench.knowledge.documents()
    if not documents:
        return "The knowledge base is empty."
    return "\n".join(f"[{identifier}] {title}" for identifier, title in documents)
