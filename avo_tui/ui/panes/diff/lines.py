"""Formats a difference: unified, or side by side if there is room."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from avo_tui.ui.panes.diff.differences import DiffDoc, DiffFile, DiffRow
from avo_tui.ui.syntax import Highlighted, overlay
from avo_tui.ui.text import BLANK, Line, Span, clean, crop, fit, line, one_line, width_of

SIDE_BY_SIDE = 104
"""Smallest width in cells for showing a diff side by side."""
Highlight = Callable[[str, str], Highlighted]


def diff_lines(
    doc: DiffDoc, width: int, highlight: Highlight, sides: bool | None = None
) -> list[Line]:
    """The whole document. `sides` None decides by width."""
    beside = width >= SIDE_BY_SIDE if sides is None else sides and width >= 60
    out: list[Line] = []
    for file in doc.files:
        old = doc.old.files.get(file.name) if doc.old is not None else None
        new = doc.new.files.get(file.name) if doc.new is not None else None
        source = _Source(
            highlight(old, file.name) if old is not None else None,
            highlight(new, file.name) if new is not None else None,
            file.name,
            highlight,
        )
        if len(doc.files) > 1 or (out and file is not doc.files[0]):
            if out:
                out.append(BLANK)
            out.append(
                line(
                    (one_line(file.name), "file"),
                    (f"  +{file.added}", "add-mark"),
                    (f" −{file.removed}", "del-mark"),
                )
            )
        out += _beside(file, source, width) if beside else _unified(file, source, width)
    if doc.problem:
        out.append(line(("the recorded difference was cut: only its start is shown", "warn")))
    return out


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
    body = crop(source.spans(row), width - digits - 1)
    rest = width - digits - 1 - width_of(body)
    spans: list[Span] = [(label, f"{role} gutter".strip())]
    spans += [(text, f"{role} {r}".strip()) for text, r in body]
    spans.append((" " * max(rest, 0), role))
    return spans
