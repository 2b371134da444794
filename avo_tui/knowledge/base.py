"""The knowledge base K: several libraries searched as one."""

from __future__ import annotations

import dataclasses
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from avo_tui.knowledge import ingest
from avo_tui.knowledge.index import Index, Row
from avo_tui.knowledge.model import (
    AddReport,
    Document,
    Hit,
    KnowledgeError,
    Passage,
    ProgressCallback,
)
from avo_tui.knowledge.query import names_code, terms
from avo_tui.knowledge.ranking import rank, rarity

#: Bounds of what one call returns: hits, and characters.
MOST_HITS = 50
MOST_READ = 40_000
#: Sections that the index of each library proposes; `ranking` then puts them in order.
_CANDIDATES = 80


def builtin_documents() -> Path | None:
    """The folder of the documents that come with the program, or None when it is missing.

    The current directory's `knowledge/` wins over the checkout's, and that over package data.
    """
    package = Path(__file__).resolve().parents[1]
    data = package / "data"
    for folder in (above / "knowledge" for above in (Path.cwd(), package.parent, data)):
        if (folder / "README.md").is_file():
            return folder
    return None


def documentation() -> Path | None:
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "data" / "docs", package.parent / "docs"):
        if (folder / "architecture.md").is_file():
            return folder
    return None


def user_index() -> Path:
    return Path(platformdirs.user_data_dir("avo-tui", appauthor=False)) / "knowledge.sqlite"


def session_index(session: Path) -> Path:
    """Where the library of a session is kept, inside the session's folder."""
    return session / "knowledge.sqlite"


@contextmanager
def _clearly() -> Iterator[None]:
    """Turn errors of SQLite into a KnowledgeError with one sentence."""
    try:
        yield
    except sqlite3.Error as error:
        raise KnowledgeError(f"a knowledge index cannot be used: {error}") from error


class KnowledgeBase:
    """Libraries by name, in the order they were given. All methods are synchronous."""

    def __init__(self, libraries: dict[str, Index], files: dict[str, Path]) -> None:
        """`libraries` are open indexes; `files` the index files of those that can be added to."""
        self._libraries = libraries
        self._files = files

    @classmethod
    def open(
        cls,
        *,
        documents: Path | None = None,
        user: Path | None = None,
        session: Path | None = None,
        texts: Mapping[str, Mapping[str, str]] | None = None,
    ) -> KnowledgeBase:
        """Open the built-in documents, the documentation, the person's library and a session's.

        `documents` is the built-in folder (default: the program's own, and beside it the library
        `docs` of its documentation), indexed in memory at each opening since it is small and may
        have changed. `user` is the person's index file (default:
        the platform's place for user data). `session` is a session's folder; without it there is
        no session library. An index file appears with the first `add`. `texts` are further
        libraries, each by the name of a document and its Markdown, indexed in memory.
        """
        libraries: dict[str, Index] = {}
        folder = documents or builtin_documents()
        if folder is not None:
            libraries["builtin"] = Index(None)
            ingest.add(libraries["builtin"], "builtin", folder, prefix="")
        pages = documentation() if documents is None else None
        if pages is not None:
            libraries["docs"] = Index(None)
            for page in sorted(pages.glob("*.md")):
                ingest.add(libraries["docs"], "docs", page, prefix="")
        for library, pages_of_it in (texts or {}).items():
            libraries[library] = Index(None)
            for name, text in pages_of_it.items():
                ingest.add_text(libraries[library], name, text)
        files = {"user": user or user_index()}
        if session is not None:
            files["session"] = session_index(session)
        base = cls(libraries, files)
        base._look_for_new()
        return base

    def _look_for_new(self) -> None:
        """Open libraries whose index file another process has created since."""
        for name, path in self._files.items():
            if name not in self._libraries and path.exists():
                self._libraries[name] = Index(path)

    def close(self) -> None:
        for index in self._libraries.values():
            index.close()

    def __enter__(self) -> KnowledgeBase:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @_clearly()
    def add(
        self, path: Path | str, *, library: str = "user", progress: ProgressCallback | None = None
    ) -> AddReport:
        """Index a file or folder into the `user` or `session` library; see `ingest.add`."""
        return ingest.add(self._writable(library), library, Path(path), progress)

    @_clearly()
    def refresh(
        self, *, library: str = "user", progress: ProgressCallback | None = None
    ) -> list[AddReport]:
        """Read again those files that changed, of everything that was ever added to a library."""
        index = self._writable(library)
        return [ingest.add(index, library, Path(root), progress) for root in index.roots()]

    def _writable(self, library: str) -> Index:
        if library not in self._files:
            names = " or ".join(self._files) or "none"
            raise KnowledgeError(f"there is no library {library!r} to add to; there is {names}")
        if library not in self._libraries:
            self._libraries[library] = Index(self._files[library])
        return self._libraries[library]

    @_clearly()
    def search(self, query: str, limit: int = 8) -> list[Hit]:
        """The best sections for a question or identifiers, best first; never fails on input."""
        asked = terms(query)
        if not asked:
            return []
        self._look_for_new()
        limit = max(1, min(limit, MOST_HITS))
        expression = " OR ".join(term.expression for term in asked)
        names: list[str] = []
        rows: list[Row] = []
        for name, index in self._libraries.items():
            hits = index.search(expression, _CANDIDATES)
            names += [name] * len(hits)
            rows += hits
        # A term's rarity is taken over all libraries together, so that a large one is not favoured.
        total = sum(index.sections() for index in self._libraries.values())
        weights = [
            rarity(total, sum(index.count(term.expression) for index in self._libraries.values()))
            for term in asked
        ]
        scores = rank(rows, asked, weights, names_code(query))
        best = sorted(
            zip(scores, names, rows, strict=True),
            key=lambda item: (-item[0], item[1], item[2].document, item[2].line),
        )
        return [
            _hit(score, name, row, self._libraries[name].snippet(expression, row.id))
            for score, name, row in best[:limit]
        ]

    @_clearly()
    def read(self, id: str, offset: int = 0, limit: int = 16_000) -> Passage:
        """A document or section by its id, as text, from `offset` at most `limit` characters.

        Raises KnowledgeError for an id that is not there, with the nearest known ones.
        """
        self._look_for_new()
        library, _, rest = id.partition(":")
        name, _, slug = rest.partition("#")
        index = self._libraries.get(library)
        document = None
        if index is not None:
            document = index.section_text(name, slug) if slug else index.text(name)
        if document is None:
            raise KnowledgeError(self._unknown(id))
        title, text = document
        offset = max(0, offset)
        limit = max(1, min(limit, MOST_READ))
        end = min(len(text), offset + limit)
        return Passage(
            id, title, text[offset:end], offset, len(text), end if end < len(text) else None
        )

    def _unknown(self, id: str) -> str:
        words = set(re.findall(r"\w+", id.lower()))
        near = sorted(
            self.documents(), key=lambda item: -len(words & set(re.findall(r"\w+", item.id)))
        )[:3]
        names = ", ".join(item.id for item in near) or "none"
        return f"there is no document or section {id!r}; near it: {names}; search gives exact ids"

    @_clearly()
    def documents(self) -> list[Document]:
        self._look_for_new()
        return [
            dataclasses.replace(item, id=f"{name}:{item.id}", library=name)
            for name, index in self._libraries.items()
            for item in index.documents()
        ]

    @_clearly()
    def outline(self, document: str) -> list[tuple[str, tuple[str, ...]]]:
        """(section id, heading path) of each section of a document, in order."""
        library, _, name = document.partition(":")
        index = self._libraries.get(library)
        sections = index.outline(name) if index else []
        return [(f"{document}#{slug}", path) for slug, path in sections]


def _hit(score: float, library: str, row: Row, snippet: str) -> Hit:
    plain: list[str] = []
    marks: list[tuple[int, int]] = []
    size = opened = 0
    for piece in re.split("([\x02\x03])", re.sub(r"<!--.*?(?:-->|$)|\s+", " ", snippet).strip()):
        if piece == "\x02":
            opened = size
        elif piece == "\x03":
            marks.append((opened, size))
        else:
            plain.append(piece)
            size += len(piece)
    document = f"{library}:{row.document}"
    return Hit(
        id=f"{document}#{row.slug}",
        document=document,
        title=row.title,
        section=row.path,
        snippet="".join(plain),
        highlights=tuple(marks),
        score=round(score, 4),
        library=library,
        source=row.source,
        line=row.line,
    )
