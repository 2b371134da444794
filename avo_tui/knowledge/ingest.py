"""Reads files and folders into an index; files that did not change are not read again."""

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from avo_tui.knowledge.code import C_FAMILY, PYTHON, parse_code
from avo_tui.knowledge.html import parse_html
from avo_tui.knowledge.index import Index, Seen
from avo_tui.knowledge.markdown import parse_markdown
from avo_tui.knowledge.model import (
    AddReport,
    KnowledgeError,
    Parsed,
    Progress,
    ProgressCallback,
)
from avo_tui.knowledge.pdf import parse_pdf
from avo_tui.knowledge.text import decode, looks_binary, plain_sections
from avo_tui.user_paths import from_home, without_links

#: Larger text files are taken for data and skipped (bytes).
MOST_TEXT = 4 << 20
MOST_PDF = 128 << 20
MOST_DATA = 256 << 10
#: Files stored in one transaction. A small number keeps readers from waiting long, and an
#: interruption loses only the last transaction.
BATCH = 100
#: Most files that one `add` reads, so that a whole disk added by mistake ends with a message.
MOST_FILES = 200_000

_MARKDOWN = frozenset({".md", ".markdown", ".mdx", ".mkd"})
_HTML = frozenset({".html", ".htm", ".xhtml"})
_PROSE = frozenset({".txt", ".rst", ".adoc", ".tex", ".org", ""})
_OTHER_CODE = """
    .ptx .sass .rs .go .java .js .ts .jl .lua .f90 .f .s .asm .sh .bash .zig .td .mlir .ll .glsl
    .hlsl .wgsl .metal .cmake .mk .pyx .pxd .proto .cfg .ini .bat
"""
_CODE = PYTHON | C_FAMILY | frozenset(_OTHER_CODE.split())
_DATA = frozenset({".json", ".jsonl", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".toml", ".ipynb"})
_PASS_OVER = frozenset({"__pycache__", "node_modules", "venv"})


def _files(root: Path, report: AddReport) -> Iterator[Path]:
    """Every regular file below a root, in order. Links are named, never followed."""
    if root.is_file():
        yield root
        return

    def unreadable(error: OSError) -> None:
        report.skip(str(error.filename), f"cannot be read: {error.strerror}")

    count = 0
    for folder, folders, names in os.walk(root, onerror=unreadable, followlinks=False):
        here = Path(folder)
        for name in sorted(folders):
            if (here / name).is_symlink():
                report.skip(str(here / name), "symbolic link: add what it points to by name")
        folders[:] = sorted(
            name
            for name in folders
            if not (name.startswith(".") or name in _PASS_OVER or (here / name).is_symlink())
        )
        for name in sorted(names):
            if name.startswith("."):
                continue
            count += 1
            if count > MOST_FILES:
                raise KnowledgeError(
                    f"{root} holds more than {MOST_FILES:,} files; add a folder below it"
                )
            yield here / name


def add(
    index: Index,
    library: str,
    root: Path,
    progress: ProgressCallback | None = None,
    *,
    prefix: str | None = None,
) -> AddReport:
    """Index a file or folder. Unchanged files are not read; vanished ones are forgotten.

    Documents are named by their path below the root, after `prefix` (default: the root's name).

    Raises KnowledgeError when the path does not exist. Files that cannot be read are in the
    report with the reason, and do not stop the others.
    """
    began = time.monotonic()
    root = without_links(from_home(root))
    report = AddReport(library)
    known = index.seen(str(root))
    if not root.exists():
        raise KnowledgeError(f"{root} does not exist; give a file or folder")
    files = list(_files(root, report))
    if prefix is None:
        prefix = "" if root.is_file() else f"{root.name}/"
    total = len(files)
    done = 0
    while True:
        with index.writing():
            if done == 0:
                index.add_root(str(root))
            for path in files[done : done + BATCH]:
                if progress:
                    progress(Progress(done, total, str(path)))
                _one(index, root, prefix, path, known, report)
                known.pop(str(path), None)
                done += 1
            if done >= total:
                for gone in known:
                    index.drop(gone)
                    report.removed += 1
        if done >= total:
            break
    if progress:
        progress(Progress(total, total, ""))
    report.seconds = time.monotonic() - began
    return report


def add_text(index: Index, name: str, text: str) -> None:
    """Index a text in Markdown that is not a file, as the document `name`."""
    data = text.encode()
    seen = Seen(0, len(data), hashlib.blake2b(data, digest_size=16).digest(), None, None)
    with index.writing():
        index.put("", name, name, seen, parse_markdown(text, name))


def _one(
    index: Index,
    root: Path,
    prefix: str,
    path: Path,
    known: dict[str, Seen],
    report: AddReport,
) -> None:
    """Bring the index up to date for one file."""
    before = known.get(str(path))
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            report.skip(str(path), "symbolic link: add what it points to by name")
            return
        if not stat.S_ISREG(status.st_mode):
            report.skip(str(path), "not a regular file")
            return
        mtime, size = status.st_mtime_ns, status.st_size
        if before and (before.mtime, before.size) == (mtime, size):
            _same(before, path, report)
            return
        reason, data = _read(path, size)
    except OSError as error:
        report.skip(str(path), f"cannot be read: {error.strerror}")
        index.drop(str(path))
        return
    digest = hashlib.blake2b(data, digest_size=16).digest() if data else b""
    if before and data and before.hash == digest:
        index.touch(str(path), mtime, size)
        _same(before, path, report)
        return
    parsed = None
    if reason is None:
        try:
            parsed = parse(path, data)
        except KnowledgeError as error:
            reason = str(error)
    if reason is not None:
        report.skip(str(path), reason)
    elif parsed is not None:
        report.indexed += 1
        report.sections += len(parsed.sections)
        report.characters += len(parsed.text)
    below = path.name if path == root else path.relative_to(root).as_posix()
    index.put(str(root), str(path), prefix + below, Seen(mtime, size, digest, reason, None), parsed)


def _same(before: Seen, path: Path, report: AddReport) -> None:
    report.unchanged += 1
    if before.reason is not None:
        report.skip(str(path), before.reason)


def _read(path: Path, size: int) -> tuple[str | None, bytes]:
    """(reason to skip the file or None, its content)."""
    suffix = path.suffix.lower()
    limit = MOST_PDF if suffix == ".pdf" else MOST_DATA if suffix in _DATA else MOST_TEXT
    if size == 0:
        return "empty", b""
    if size > limit:
        return f"too large: {size / (1 << 20):.1f} MiB, the limit is {limit / (1 << 20):g}", b""
    with path.open("rb") as file:
        head = file.read(8192)
        if suffix != ".pdf" and looks_binary(head):
            return "binary", b""
        return None, head + file.read(limit)


def parse(path: Path, data: bytes) -> Parsed:
    """Read one document by its suffix. Raises KnowledgeError when it is broken."""
    suffix = path.suffix.lower()
    if suffix == ".pdf" or data.startswith(b"%PDF-"):
        return parse_pdf(data, path.name)
    text = decode(data)
    if not text.strip():
        raise KnowledgeError("empty")
    if suffix in _MARKDOWN:
        return parse_markdown(text, path.name)
    if suffix in _HTML or text.lstrip()[:15].lower().startswith(("<!doctype html", "<html")):
        parsed = parse_html(text, path.name)
        if not parsed.sections:
            raise KnowledgeError("no text in the page")
        return parsed
    if suffix in _CODE:
        return parse_code(text, path.name, suffix)
    sections = plain_sections(text)
    return Parsed(path.name, "prose" if suffix in _PROSE else "data", text, sections)
