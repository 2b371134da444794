"""The diff pane: differences between candidates, as rows, and the painter that shows them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchedFile, PatchSet

from avo_tui.domain.candidate import Candidate
from avo_tui.ui.loader import Failed, Loader
from avo_tui.ui.panes.base import PanePainter, Selection, teach
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot, Source
from avo_tui.ui.syntax import Highlighted, overlay
from avo_tui.ui.text import BLANK, Line, Span, clean, crop, fit, line, one_line, width_of
from avo_tui.ui.widgets.lines import LinesView

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
        return sum(f.added for f in self.files)

    @property
    def removed(self) -> int:
        return sum(f.removed for f in self.files)


def compare(old: Candidate | None, new: Candidate) -> DiffDoc:
    """The difference between two candidates; everything is added where `old` is None."""
    before = old.files if old is not None else {}
    files: list[DiffFile] = []
    for name in sorted(set(before) | set(new.files)):
        a, b = before.get(name, ""), new.files.get(name, "")
        if a == b:
            continue
        text = "\n".join(
            difflib.unified_diff(
                _lines(a), _lines(b), f"a/{name}", f"b/{name}", lineterm="", n=CONTEXT
            )
        )
        files += [replace(file, name=name) for file in parse(text).files]
    return DiffDoc(tuple(files), old, new)


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


SIDE_BY_SIDE = 104
"""Smallest width in cells for showing a diff side by side."""
Highlight = Callable[[str, str], Highlighted]
_HEADING = "heading"
"""What the row above each of several files is known by."""


def diff_lines(
    doc: DiffDoc, width: int, highlight: Highlight, sides: bool | None = None
) -> list[Line]:
    """The whole document. `sides` None decides by width."""
    beside = width >= SIDE_BY_SIDE if sides is None else sides and width >= 60
    several = len(doc.files) > 1
    out = [_heading(file, "  ") for file in doc.files] if several else []
    for file in doc.files:
        old = doc.old.files.get(file.name) if doc.old is not None else None
        new = doc.new.files.get(file.name) if doc.new is not None else None
        source = _Source(
            highlight(old, file.name) if old is not None else None,
            highlight(new, file.name) if new is not None else None,
            file.name,
            highlight,
        )
        if several:
            out += [BLANK, _heading(file)._replace(meta=_HEADING)]
        out += _beside(file, source, width) if beside else _unified(file, source, width)
    if doc.problem:
        out.append(line(("the recorded difference was cut: only its start is shown", "warn")))
    return out


def next_heading(rows: Sequence[Line], top: int, end: int) -> int | None:
    """The row of the next file below the row `top`; 0 from the last one on, or where `end`, the
    last row to scroll to, is reached; None where there are not several files."""
    headings = [i for i, row in enumerate(rows) if row.meta == _HEADING]
    below = (row for row in headings if row > top and top < end)
    return next(below, 0) if headings else None


def _heading(file: DiffFile, lead: str = "") -> Line:
    """A file's name and how much of it changed."""
    changed = ((f"  +{file.added}", "add-mark"), (f" −{file.removed}", "del-mark"))
    return line(lead, (one_line(file.name), "file"), *changed)


class _Source:
    """Highlighted text of a row: from the whole file where there is one, else by itself."""

    def __init__(
        self, old: Highlighted | None, new: Highlighted | None, name: str, highlight: Highlight
    ) -> None:
        self.old, self.new, self.name, self.highlight = old, new, name, highlight

    def spans(self, row: DiffRow) -> tuple[Span, ...]:
        whole, number = (self.old, row.old) if row.kind == "del" else (self.new, row.new)
        if whole is not None and number is not None and 0 < number <= len(whole):
            spans = whole[number - 1]
        else:
            spans = self.highlight(row.text, self.name)[0] if row.text else ()
        if row.words and clean(row.text) == row.text:
            role = "del-word" if row.kind == "del" else "add-word"
            return overlay(spans, row.words, role)
        return tuple(spans)


def _number_width(file: DiffFile) -> int:
    top = max((max(r.old or 0, r.new or 0) for r in file.rows), default=1)
    return max(3, len(str(top)))


_FILL = {"add": "add", "del": "del", "same": ""}


def _unified(file: DiffFile, source: _Source, width: int) -> list[Line]:
    digits = _number_width(file)
    gutter = digits + 3
    out = []
    for row in file.rows:
        if row.kind == "hunk":
            out.append(line((fit(one_line(row.text), width), "hunk"), gutter=width))
            continue
        number = row.old if row.kind == "del" else row.new
        mark, role = {"add": ("+", "add-mark"), "del": ("−", "del-mark"), "same": (" ", "")}[
            row.kind
        ]
        label = f"{number or '':>{digits}} "
        out.append(
            line(
                (label, "gutter"),
                (f"{mark} ", role),
                *source.spans(row),
                gutter=gutter,
                fill=_FILL[row.kind],
            )
        )
    return out


def _beside(file: DiffFile, source: _Source, width: int) -> list[Line]:
    digits = _number_width(file)
    half = (width - 1) // 2
    out: list[Line] = []
    removed: list[DiffRow] = []
    added: list[DiffRow] = []

    def flush() -> None:
        for i in range(max(len(removed), len(added))):
            a = removed[i] if i < len(removed) else None
            b = added[i] if i < len(added) else None
            left = _half(a, a.old if a else None, source, digits, half, "del")
            right = _half(b, b.new if b else None, source, digits, width - half - 1, "add")
            out.append(line(*left, ("│", "axis"), *right, gutter=digits + 1))
        removed.clear()
        added.clear()

    for row in file.rows:
        if row.kind == "del":
            if added:
                flush()
            removed.append(row)
        elif row.kind == "add":
            added.append(row)
        else:
            flush()
            if row.kind == "hunk":
                out.append(line((fit(one_line(row.text), width), "hunk"), gutter=width))
                continue
            left = _half(row, row.old, source, digits, half, "")
            right = _half(row, row.new, source, digits, width - half - 1, "")
            out.append(line(*left, ("│", "axis"), *right, gutter=digits + 1))
    flush()
    return out


def _half(
    row: DiffRow | None, number: int | None, source: _Source, digits: int, width: int, role: str
) -> Sequence[Span]:
    if row is None:
        return [(" " * width, "off-bar")]
    label = f"{number or '':>{digits}} "
    room = width - digits - 1
    body = crop(_from_change(source.spans(row), row.words, room), room)
    rest = width - digits - 1 - width_of(body)
    spans: list[Span] = [(label, f"{role} gutter".strip())]
    spans += [(text, f"{role} {r}".strip()) for text, r in body]
    spans.append((" " * max(rest, 0), role))
    return spans


def _from_change(spans: Sequence[Span], words: Sequence[Range], room: int) -> Sequence[Span]:
    """The spans, without so much of their start that the first changed word can be seen."""
    if not words or min(words[0][1], words[0][0] + 8) < room:
        return spans
    skip, out = words[0][0] - room // 3, [("…", "dim")]
    for text, role in spans:
        out.append((text[skip:], role))
        skip = max(0, skip - len(text))
    return [span for span in out if span[0]]


Found = tuple[DiffDoc | Failed | None, str]
"""The difference, if it is there yet, and between what it is."""


class DiffPainter(PanePainter):
    NAME = "diff"
    HEAD_AT_REST = True

    def __init__(self, screen: AvoScreen, loader: Loader) -> None:
        super().__init__(screen, loader)
        self.view = screen.query_one("#diff-view", LinesView)
        self._sides: bool | None = None
        """Side by side, unified, or None to decide by the width."""

    def toggle_sides(self) -> None:
        beside = self.view.size.width >= SIDE_BY_SIDE if self._sides is None else self._sides
        self._sides = not beside

    def next_file(self) -> bool:
        """To the next of several files, and from the end to the list of them; False for one."""
        row = next_heading(self.view.lines, self.view.scroll_offset.y, self.view.max_scroll_y)
        if row is not None:
            self.view.scroll_to(y=row, animate=False)
        return row is not None

    def paint(self, snapshot: Snapshot, subject: Selection, changed: bool) -> None:
        doc, name = self._find(snapshot, subject)
        if isinstance(doc, DiffDoc):
            self.pane.set_info(edit_info(doc.added, doc.removed, name))
        else:
            self.pane.set_info([(name, "dim")] if name else [])
        known = id(doc) if isinstance(doc, DiffDoc) else doc
        if not self.differs((known, name, self._sides, subject.name)):
            return
        if isinstance(doc, Failed):
            explanation = teach("The difference cannot be shown.", doc.reason)
        elif doc is None:
            explanation = self._nothing(subject, name)
        elif not doc.files:
            explanation = teach("The sources are the same.")
        else:
            sides, highlight = self._sides, self.host.highlighter
            self.view.show(lambda width: diff_lines(doc, width, highlight, sides), reset=changed)
            return
        self.view.show(lambda width: explanation, reset=changed or doc is not None)

    @staticmethod
    def _nothing(subject: Selection, name: str) -> Sequence[Line]:
        if subject.live and not name:
            return teach(
                "The working candidate is the same as its parent.",
                "What the operator changes appears here, as it edits.",
                "e opens the kernel in your editor.",
            )
        return teach("reading the sources …")

    def _find(self, snapshot: Snapshot, subject: Selection) -> Found:
        source = self.host.session.source
        if source is None:
            return None, ""
        if subject.live:
            return self._working(snapshot, source)
        record = subject.version or subject.attempt
        assert record is not None
        if subject.parent is None:
            seed = record.candidate
            doc = self.loader.get(
                ("diff", None, seed), lambda: compare(None, source.candidate(seed))
            )
            return doc, "the seed"
        name = f"v{subject.parent} → {subject.name}"
        return self._load(snapshot, source, subject.parent, record.candidate, ""), name

    def _working(self, snapshot: Snapshot, source: Source) -> Found:
        edit, attempt = snapshot.live.edit, snapshot.live.attempt
        if edit is not None:
            identity, parent, text = edit.candidate, edit.parent, edit.diff
        elif attempt is not None:
            identity, parent, text = attempt.attempt.candidate, attempt.attempt.parent, ""
        else:
            return None, ""
        doc = self._load(snapshot, source, parent, identity, text)
        return doc, f"v{parent} → working copy" if parent in snapshot.versions else "the seed"

    def _load(
        self, snapshot: Snapshot, source: Source, parent: int, identity: str, text: str
    ) -> DiffDoc | Failed | None:
        """The difference of stored sources; of `text` where they are not stored yet."""
        base, highlight = snapshot.versions.get(parent), self.host.highlighter

        def compute() -> DiffDoc:
            try:
                old = source.candidate(base.candidate) if base is not None else None
                new = source.candidate(identity)
            except KeyError:
                if text:
                    return parse(text)
                raise ValueError("the source is not stored any more") from None
            warm(old, new, highlight)
            return compare(old, new)

        return self.loader.get(("diff", parent, identity), compute)


def warm(old: Candidate | None, new: Candidate, highlight: Callable[[str, str], object]) -> None:
    """Highlight the files that differ; called in a thread, so that painting finds them cached."""
    before = old.files if old is not None else {}
    for name, text in new.files.items():
        if before.get(name) != text:
            highlight(text, name)
            if name in before:
                highlight(before[name], name)


def edit_info(added: int, removed: int, name: str) -> list[Span]:
    """The heading of the diff pane."""
    return [(f"{name}  ", "dim"), (f"+{added}", "add-mark"), (f" −{removed}", "del-mark")]
