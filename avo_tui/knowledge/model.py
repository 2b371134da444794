"""The values the knowledge base hands out: documents, sections, hits, reports."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["prose", "source", "data"]

#: Skipped files that a report names; further ones are only counted.
NAMED_SKIPS = 1000


class KnowledgeError(Exception):
    """An error that the person or agent can correct; the message is one sentence for them."""


@dataclass(frozen=True, slots=True)
class Section:
    """One unit of search: the text under one heading, or one symbol of a source file.

    `path` is the heading path below the document's title, outermost first. `start` and `end` are
    offsets in characters into the document's text; they nest never and together cover it.
    """

    path: tuple[str, ...]
    start: int
    end: int
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document after reading: clean text and the sections that cover it."""

    title: str
    kind: Kind
    text: str
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result. `highlights` are (start, end) spans into `snippet`."""

    id: str
    document: str
    title: str
    section: tuple[str, ...]
    snippet: str
    highlights: tuple[tuple[int, int], ...]
    score: float
    library: str
    source: str
    line: int

    @property
    def heading(self) -> str:
        """The section path as one line, the document's title first."""
        return " › ".join((self.title, *self.section))


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document or section. `next_offset` is None at the end."""

    id: str
    title: str
    text: str
    offset: int
    total: int
    next_offset: int | None


@dataclass(frozen=True, slots=True)
class Document:
    """One indexed document. `source` is the path it was read from, for the person's eyes."""

    id: str
    title: str
    library: str
    source: str
    kind: Kind
    sections: int
    characters: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of an indexing run: files read, files in all, and the file being read."""

    done: int
    total: int
    path: str


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not indexed, and why, in one sentence."""

    path: str
    reason: str


@dataclass(slots=True)
class AddReport:
    """What one `add` did. Counts are files; `characters` is indexed text; `seconds` wall clock."""

    library: str
    indexed: int = 0
    unchanged: int = 0
    removed: int = 0
    sections: int = 0
    characters: int = 0
    seconds: float = 0.0
    skipped: list[Skipped] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)

    def skip(self, path: str, reason: str) -> None:
        """Record one skipped file. After the first ones only the count for each reason grows."""
        kind = reason.split(":")[0]
        self.reasons[kind] = self.reasons.get(kind, 0) + 1
        if len(self.skipped) < NAMED_SKIPS:
            self.skipped.append(Skipped(path, reason))
