"""Tools that read the knowledge base K."""

from __future__ import annotations

from pydantic import Field

from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.tool import Arguments, Tool, ToolAnswer
from avo_tui.operators.toolbox.workspace import Workspace


class SearchKnowledge(Arguments):
    """A query."""

    query: str = Field(min_length=1, max_length=500, description="A few technical words.")
    limit: int = Field(default=8, ge=1, le=30, description="How many sections at most.")


class ReadKnowledge(Arguments):
    """A document or section, from an offset."""

    id: str = Field(description="Identifier from search_knowledge or list_knowledge.")
    offset: int = Field(default=0, ge=0, description="Character to begin at.")
    limit: int = Field(default=12_000, ge=200, le=14_000, description="Characters to read.")


class ListKnowledge(Arguments):
    """No arguments."""


async def _search_knowledge(space: Workspace, arguments: SearchKnowledge) -> ToolAnswer:
    hits = space.bench.knowledge.search(arguments.query, arguments.limit)
    if not hits:
        return ToolAnswer("Nothing found. Try other words; list_knowledge shows the documents.")
    return ToolAnswer(
        "\n\n".join(f"[{h.id}] {h.document} › {h.section}\n{h.snippet}" for h in hits)
    )


async def _read_knowledge(space: Workspace, arguments: ReadKnowledge) -> ToolAnswer:
    try:
        text = space.bench.knowledge.read(arguments.id, arguments.offset, arguments.limit)
    except KeyError:
        raise ToolError(
            f"There is no document or section {arguments.id!r}; search_knowledge and"
            " list_knowledge give the identifiers."
        ) from None
    if not text:
        return ToolAnswer(f"(nothing at offset {arguments.offset}: the end was reached)")
    more = ""
    if len(text) >= arguments.limit:
        more = f"\n(go on with offset {arguments.offset + len(text)})"
    return ToolAnswer(text + more)


async def _list_knowledge(space: Workspace, arguments: ListKnowledge) -> ToolAnswer:
    documents = space.bench.knowledge.documents()
    if not documents:
        return ToolAnswer("The knowledge base is empty.")
    return ToolAnswer("\n".join(f"[{identifier}] {title}" for identifier, title in documents))


TOOLS = (
    Tool(
        "search_knowledge",
        "knowledge",
        "Search the knowledge base (architecture notes, programming guides, kernels, papers). "
        "Answers with sections, best first, each with an id for read_knowledge.",
        SearchKnowledge,
        _search_knowledge,
    ),
    Tool(
        "read_knowledge",
        "knowledge",
        "Read a document or section of the knowledge base, from an offset.",
        ReadKnowledge,
        _read_knowledge,
    ),
    Tool(
        "list_knowledge",
        "knowledge",
        "List the documents of the knowledge base.",
        ListKnowledge,
        _list_knowledge,
    ),
)
