"""One library's index: a SQLite file with FTS5, sections as rows.

Columns and weights: a section's heading path counts most, then the document's title, the names
split out of mixed-case identifiers, then the text.
"""

import sqlite3
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from avo_tui.knowledge.model import Document, Kind, KnowledgeError, Parsed
from avo_tui.knowledge.query import camel_parts

#: Raised when what is stored for a file changes; an index of another format is built anew.
FORMAT = 1

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE root (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE file (
  path TEXT PRIMARY KEY, root TEXT NOT NULL, mtime INTEGER, size INTEGER, hash BLOB,
  reason TEXT, document INTEGER
) WITHOUT ROWID;
CREATE INDEX file_root ON file(root);
CREATE TABLE document (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, title TEXT, source TEXT, kind TEXT,
  text BLOB, characters INTEGER
);
CREATE TABLE section (
  id INTEGER PRIMARY KEY, document INTEGER NOT NULL, slug TEXT, path TEXT, start INTEGER,
  stop INTEGER, line INTEGER, title TEXT, heading TEXT, names TEXT, body TEXT
);
CREATE INDEX section_document ON section(document, slug);
CREATE VIRTUAL TABLE words USING fts5(
  title, heading, names, body, content='section', content_rowid='id',
  tokenize="porter unicode61 remove_diacritics 2"
);
"""
#: bm25 weights of title, heading, names, body.
WEIGHTS = (2.0, 6.0, 1.0, 1.0)
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Row:
    """A section as the search sees it."""

    id: int
    document: str
    title: str
    path: tuple[str, ...]
    slug: str
    kind: Kind
    source: str
    line: int
    body: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the index remembers of a file."""

    mtime: int
    size: int
    hash: bytes
    reason: str | None
    document: int | None


class Index:
    """Reads and writes one library. Safe to use from several threads, one at a time."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the index; None keeps it in memory. Raises KnowledgeError."""
        self.path = path
        self._lock = threading.RLock()
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path or ":memory:", timeout=30, check_same_thread=False, isolation_level=None
            )
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise KnowledgeError(
                f"the knowledge index {path} cannot be used ({error}); "
                "move it away and add the documents again"
            ) from error

    def _prepare(self) -> None:
        # The index can be built again from the files, so it is not synced at every write.
        self._db.execute("PRAGMA synchronous=OFF" if self.path is None else "PRAGMA synchronous=1")
        # Readers take no write lock, because another process may be adding documents.
        if not self._has_schema():
            with self.writing():
                if not self._has_schema():
                    for statement in _SCHEMA.split(";\n"):
                        if statement.strip():
                            self._db.execute(statement)
                    self._db.execute("INSERT INTO meta VALUES ('format', ?)", (str(FORMAT),))
        row = self._db.execute("SELECT value FROM meta WHERE key='format'").fetchone()
        if row is None or row[0] != str(FORMAT):
            raise KnowledgeError(
                f"the knowledge index {self.path} is of another version of this program; "
                "move it away and add the documents again"
            )

    def _has_schema(self) -> bool:
        row = self._db.execute("SELECT 1 FROM sqlite_master WHERE name='meta'").fetchone()
        return row is not None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction; nothing of it stays when the block raises."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # What has been read -----------------------------------------------------------------------

    def add_root(self, root: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO root VALUES (?)", (root,))

    def roots(self) -> list[str]:
        with self._lock:
            return [row[0] for row in self._db.execute("SELECT path FROM root ORDER BY path")]

    def seen(self, root: str) -> dict[str, Seen]:
        """Every known file under a root, by its path."""
        with self._lock:
            rows = self._db.execute(
                "SELECT path, mtime, size, hash, reason, document FROM file WHERE root=?", (root,)
            )
            return {row[0]: Seen(*row[1:]) for row in rows}

    def touch(self, path: str, mtime: int, size: int) -> None:
        """Record a file's new modification time where its content did not change."""
        self._db.execute("UPDATE file SET mtime=?, size=? WHERE path=?", (mtime, size, path))

    def put(self, root: str, path: str, name: str, seen: Seen, parsed: Parsed | None) -> None:
        """Store a file: its document and sections, or only the reason it was skipped."""
        self.drop(path)
        document = None
        if parsed is not None:
            document = self._put_document(path, name, parsed)
        self._db.execute(
            "INSERT INTO file VALUES (?,?,?,?,?,?,?)",
            (path, root, seen.mtime, seen.size, seen.hash, seen.reason, document),
        )

    def _put_document(self, path: str, name: str, parsed: Parsed) -> int:
        cursor = self._db.execute(
            "INSERT INTO document(name, title, source, kind, text, characters) "
            "VALUES (?,?,?,?,?,?)",
            (
                self._free_name(name),
                parsed.title,
                path,
                parsed.kind,
                zlib.compress(parsed.text.encode(), 1),
                len(parsed.text),
            ),
        )
        document = cursor.lastrowid
        assert document is not None
        slugs: dict[str, int] = {}
        line, counted = 1, 0
        for section in parsed.sections:
            slug = _slug(section.path)
            slugs[slug] = slugs.get(slug, 0) + 1
            if slugs[slug] > 1:
                slug = f"{slug}-{slugs[slug]}"
            line += parsed.text.count("\n", counted, section.start)
            counted = section.start
            body = parsed.text[section.start : section.end]
            words = " ".join((*section.path, section.symbol))
            values = (parsed.title, words, camel_parts(f"{words} {body}"), body)
            columns = (_SEPARATOR.join(section.path), section.start, section.end, line)
            cursor = self._db.execute(
                "INSERT INTO section(document, slug, path, start, stop, line, title, heading, "
                "names, body) VALUES (?,?,?,?,?,?,?,?,?,?)",
                (document, slug, *columns, *values),
            )
            self._db.execute(
                "INSERT INTO words(rowid, title, heading, names, body) VALUES (?,?,?,?,?)",
                (cursor.lastrowid, *values),
            )
        return document

    def _free_name(self, name: str) -> str:
        """The name, with a number when another path already has it."""
        free, number = name, 1
        while self._db.execute("SELECT 1 FROM document WHERE name=?", (free,)).fetchone():
            number += 1
            free = f"{name}~{number}"
        return free

    def drop(self, path: str) -> None:
        """Forget a file and everything read from it."""
        row = self._db.execute("SELECT document FROM file WHERE path=?", (path,)).fetchone()
        if row and row[0] is not None:
            self._db.execute(
                "INSERT INTO words(words, rowid, title, heading, names, body) "
                "SELECT 'delete', id, title, heading, names, body FROM section WHERE document=?",
                (row[0],),
            )
            self._db.execute("DELETE FROM section WHERE document=?", (row[0],))
            self._db.execute("DELETE FROM document WHERE id=?", (row[0],))
        self._db.execute("DELETE FROM file WHERE path=?", (path,))

    # What is asked ----------------------------------------------------------------------------

    def search(self, expression: str, limit: int) -> list[Row]:
        """The best sections for an FTS5 expression, without snippets, best first."""
        with self._lock:
            # Rank by itself first: a join in the same query would fetch every matching text.
            best = self._db.execute(
                "SELECT rowid FROM words WHERE words MATCH ? "
                "ORDER BY bm25(words, ?, ?, ?, ?) LIMIT ?",
                (expression, *WEIGHTS, limit),
            ).fetchall()
            rows = [
                self._db.execute(
                    "SELECT s.id, d.name, d.title, s.path, s.slug, d.kind, d.source, s.line, "
                    "s.body FROM section s JOIN document d ON d.id = s.document WHERE s.id=?",
                    hit,
                ).fetchone()
                for hit in best
            ]
        columns = ([*row[:3], _path(row[3]), *row[4:]] for row in rows if row is not None)
        return [Row(*values) for values in columns]

    def snippet(self, expression: str, section: int) -> str:
        """The part of a section's text that matches best; words are between \\x02 and \\x03."""
        with self._lock:
            row = self._db.execute(
                "SELECT snippet(words, 3, char(2), char(3), '…', 48) FROM words "
                "WHERE words MATCH ? AND rowid=?",
                (expression, section),
            ).fetchone()
        return str(row[0]) if row else ""

    def count(self, expression: str) -> int:
        """Number of sections that match in heading, names or body; document titles are ignored."""
        query = f"{{heading names body}} : ({expression})"
        with self._lock:
            row = self._db.execute("SELECT count(*) FROM words WHERE words MATCH ?", (query,))
            return int(row.fetchone()[0])

    def sections(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM section").fetchone()[0])

    def text(self, name: str) -> tuple[str, str] | None:
        """(title, whole text) of a document, or None."""
        with self._lock:
            row = self._db.execute(
                "SELECT title, text FROM document WHERE name=?", (name,)
            ).fetchone()
        return (row[0], zlib.decompress(row[1]).decode()) if row else None

    def section_text(self, name: str, slug: str) -> tuple[str, str] | None:
        """(title with the heading path, text) of a section and what lies below it, or None."""
        with self._lock:
            row = self._db.execute(
                "SELECT s.document, s.path, s.start, d.title FROM section s "
                "JOIN document d ON d.id = s.document WHERE d.name=? AND s.slug=?",
                (name, slug),
            ).fetchone()
            if row is None:
                return None
            document, path, start, title = row
            later = self._db.execute(
                "SELECT path, start, stop FROM section WHERE document=? AND start>=? "
                "ORDER BY start",
                (document, start),
            ).fetchall()
        stop = later[0][2]
        for other, _, end in later[1:]:
            if not (path and other.startswith(path + _SEPARATOR)):
                break
            stop = end
        whole = self.text(name)
        assert whole is not None
        return " › ".join((title, *_path(path))), whole[1][start:stop]

    def documents(self) -> list[Document]:
        with self._lock:
            rows = self._db.execute(
                "SELECT d.name, d.title, d.source, d.kind, d.characters, count(s.id) "
                "FROM document d LEFT JOIN section s ON s.document = d.id "
                "GROUP BY d.id ORDER BY d.name"
            ).fetchall()
        return [Document(row[0], row[1], "", row[2], row[3], row[5], row[4]) for row in rows]

    def outline(self, name: str) -> list[tuple[str, tuple[str, ...]]]:
        """(slug, heading path) of each section of a document, in order."""
        with self._lock:
            rows = self._db.execute(
                "SELECT s.slug, s.path FROM section s JOIN document d ON d.id = s.document "
                "WHERE d.name=? ORDER BY s.start",
                (name,),
            ).fetchall()
        return [(row[0], _path(row[1])) for row in rows]


def _path(stored: str) -> tuple[str, ...]:
    return tuple(stored.split(_SEPARATOR)) if stored else ()


def _slug(path: tuple[str, ...]) -> str:
    """A readable id of a section, made from the last two headings of its path."""
    words = " ".join(path[-2:]).lower()
    slug = "".join(character if character.isalnum() else " " for character in words)
    return "-".join(slug.split())[:80] or "top"
