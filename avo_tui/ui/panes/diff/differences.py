"""Differences between candidates, computed or parsed, with the changed words. Pure functions."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchedFile, PatchSet

from avo_tui.domain.candidate import Candidate

RowKind = Literal["hunk", "same", "del", "add"]
Range = tuple[int, int]
CONTEXT = 3
_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
_MAX_WORDS = 400


@dataclass(frozen=True, slots=True)
class DiffRow:
    """One row: the heading of a hunk, or a line of one or both sides."""

    kind: RowKind
    text: str
    old: int | None = None
    new: int | None = None
    words: tuple[Range, ...] = ()
    """Character ranges that differ from the paired row."""


@dataclass(frozen=True, slots=True)
class DiffFile:
    """The changes of one file."""

    name: str
    rows: tuple[DiffRow, ...]
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class DiffDoc:
    """The changes between two candidates; `old` and `new` give whole sources for highlighting."""

    files: tuple[DiffFile, ...]
    old: Candidate | None = None
    new: Candidate | None = None
    problem: str = ""

    @property
    def added(self) -> int:
        """Added lines."""
        return sum(f.added for f in self.files)

    @property
    def removed(self) -> int:
        """Removed lines."""
        return sum(f.removed for f in self.files)


def compare(old: Candidate | None, new: Candidate) -> DiffDoc:
    """The difference between two candidates; everything is added where `old` is None."""
    before = old.files if old is not None else {}
    files = []
    for name in sorted(set(before) | set(new.files)):
        a, b = before.get(name, ""), new.files.get(name, "")
        if a == b:
            continue
        text = "\n".join(
            difflib.unified_diff(
                _lines(a), _lines(b), f"a/{name}", f"b/{name}", lineterm="", n=CONTEXT
            )
        )
        files.append(_only(parse(text), name))
    return DiffDoc(tuple(f for f in files if f is not None), old, new)


def _lines(text: str) -> list[str]:
    """Lines as the reader of the diff splits them, at newlines alone; an absent file has none."""
    return text.removesuffix("\n").split("\n") if text else []


def parse(text: str) -> DiffDoc:
    """Read a unified diff; one that cannot be read gives a document with `problem` set."""
    try:
        patch = PatchSet(text if text.endswith("\n") else text + "\n")
    except UnidiffParseError as error:
        return _cut_off(text, str(error))
    return DiffDoc(tuple(_file(f) for f in patch))


def _cut_off(text: str, problem: str) -> DiffDoc:
    """A diff that was cut when it was recorded; its lines are shown without pairing."""
    rows, added, removed = [], 0, 0
    name = "…"
    for raw in text.split("\n"):
        if raw.startswith("+++ "):
            name = raw[4:].removeprefix("b/")
        elif raw.startswith("--- "):
            continue
        elif raw.startswith("@@"):
            rows.append(DiffRow("hunk", raw))
        elif raw.startswith("+"):
            added += 1
            rows.append(DiffRow("add", raw[1:]))
        elif raw.startswith("-"):
            removed += 1
            rows.append(DiffRow("del", raw[1:]))
        else:
            rows.append(DiffRow("same", raw[1:]))
    return DiffDoc((DiffFile(name, tuple(rows), added, removed),), problem=problem)


def _only(doc: DiffDoc, name: str) -> DiffFile | None:
    if not doc.files:
        return None
    only_file = doc.files[0]
    return DiffFile(name, only_file.rows, only_file.added, only_file.removed)


def _file(patched: PatchedFile) -> DiffFile:
    rows: list[DiffRow] = []
    for hunk in patched:
        title = f"@@ −{hunk.source_start} +{hunk.target_start} @@ {hunk.section_header}".rstrip()
        rows.append(DiffRow("hunk", title, hunk.source_start, hunk.target_start))
        removed: list[DiffRow] = []
        added: list[DiffRow] = []
        for entry in hunk:
            value = str(entry.value).rstrip("\n")
            if entry.is_removed:
                if added:
                    rows += _paired(removed, added)
                    removed, added = [], []
                removed.append(DiffRow("del", value, old=entry.source_line_no))
            elif entry.is_added:
                added.append(DiffRow("add", value, new=entry.target_line_no))
            else:
                rows += _paired(removed, added)
                removed, added = [], []
                rows.append(DiffRow("same", value, entry.source_line_no, entry.target_line_no))
        rows += _paired(removed, added)
    return DiffFile(str(patched.path), tuple(rows), patched.added, patched.removed)


def _paired(removed: list[DiffRow], added: list[DiffRow]) -> list[DiffRow]:
    """Removed rows, then added ones, with their changed words where they pair up."""
    for i, (a, b) in enumerate(zip(removed, added, strict=False)):
        old_words, new_words = changed_words(a.text, b.text)
        removed[i] = DiffRow("del", a.text, a.old, None, old_words)
        added[i] = DiffRow("add", b.text, None, b.new, new_words)
    return [*removed, *added]


def changed_words(old: str, new: str) -> tuple[tuple[Range, ...], tuple[Range, ...]]:
    """Character ranges that differ; empty if the lines have little in common."""
    a, b = _TOKEN.findall(old), _TOKEN.findall(new)
    if len(a) > _MAX_WORDS or len(b) > _MAX_WORDS:
        return (), ()
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    if matcher.ratio() < 0.5:
        return (), ()
    starts_a, starts_b = _starts(a), _starts(b)
    left, right = [], []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            continue
        if i2 > i1:
            left.append((starts_a[i1], starts_a[i2]))
        if j2 > j1:
            right.append((starts_b[j1], starts_b[j2]))
    return tuple(left), tuple(right)


def _starts(tokens: list[str]) -> list[int]:
    out, offset = [0], 0
    for token in tokens:
        offset += len(token)
        out.append(offset)
    return out
