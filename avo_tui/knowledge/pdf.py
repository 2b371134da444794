"""PDF to text by pypdf: one section per page, under the bookmark that covers it."""

import io
import logging
from typing import Any

import pypdf

from avo_tui.knowledge.model import KnowledgeError, Parsed, Section
from avo_tui.knowledge.text import clean, divide, heading

#: Longer documents are cut here, and the report says so.
MOST_PAGES = 5000

# pypdf logs a warning for each oddity of a file; the report of `add` says what matters.
logging.getLogger("pypdf").setLevel(logging.ERROR)


def parse_pdf(data: bytes, name: str) -> Parsed:
    """Read a PDF. Raises KnowledgeError where it is broken, encrypted or holds no text."""
    try:
        return _parse(data, name)
    except KnowledgeError:
        raise
    except Exception as error:
        # A damaged PDF can fail anywhere inside the library, with any type of exception.
        reason = f"broken PDF: {type(error).__name__}: {heading(str(error))}"
        raise KnowledgeError(reason) from error


def _parse(data: bytes, name: str) -> Parsed:
    reader = pypdf.PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise KnowledgeError("encrypted PDF: save a copy without a password")
    bookmarks = _bookmarks(reader)
    out: list[str] = []
    sections: list[Section] = []
    size = 0
    path: tuple[str, ...] = ()
    for number, page in enumerate(reader.pages[:MOST_PAGES]):
        path = bookmarks.get(number, path)
        text = clean(page.extract_text()).strip()
        if not text:
            continue
        piece = text + "\n\n"
        sections.append(Section((*path, f"page {number + 1}"), size, size + len(piece)))
        out.append(piece)
        size += len(piece)
    if not out:
        raise KnowledgeError("no text in the PDF: it is probably scanned pages")
    title = reader.metadata.title if reader.metadata else None
    body = "".join(out)
    return Parsed(heading(clean(str(title or ""))) or name, "prose", body, divide(body, sections))


def _bookmarks(reader: pypdf.PdfReader) -> dict[int, tuple[str, ...]]:
    """Bookmark path by the page it starts on; the innermost wins."""
    paths: dict[int, tuple[str, ...]] = {}

    def walk(items: list[Any], above: tuple[str, ...]) -> None:
        last = above
        for item in items:
            if isinstance(item, list):
                if len(last) < 8:
                    walk(item, last)
                continue
            last = (*above, heading(clean(str(item.title))))
            page = reader.get_destination_page_number(item)
            if page is not None:
                paths[page] = last

    walk(reader.outline, ())
    return paths
