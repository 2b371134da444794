"""Rows of a log: errors and warnings told apart, and logs of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from avo_tui.ui.text import BLANK, Line, clean, line
from avo_tui.ui.widgets.long_text import LongText

LONG = 200_000
"""Characters from which a log is read by offsets."""
MARK = "↪ "


def log_line(row: str) -> Line:
    """A line of a compiler's log, with errors and warnings told apart."""
    low = row[:400].lower()
    if "error" in low:
        return line(("✕ ", "bad"), row, gutter=2) if "error:" in low else line((row, "bad"))
    if "warning" in low:
        return line(("! ", "warn"), row, gutter=2) if "warning:" in low else line((row, "warn"))
    return line((row, "dim"))


class LongRows(Sequence[Line]):
    """Some lines, and below them a text that may still be read in."""

    def __init__(self, head: Sequence[Line], text: LongText) -> None:
        self.head, self.text = list(head), text

    @property
    def widest(self) -> int:
        """About the cells of the widest row."""
        return max(max((row.width for row in self.head), default=0), self.text.widest + 2)

    def __len__(self) -> int:
        return len(self.head) + self.text.rows + bool(self.text.problem)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...
    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < len(self.head):
            return self.head[index]
        row_index = index - len(self.head)
        if row_index >= self.text.rows:
            return line((self.text.problem, "bad")) if self.text.problem else BLANK
        row = self.text.row(row_index)
        if row.continued:
            return line((MARK, "faint"), (clean(row.text), "dim"), gutter=2)
        return log_line(clean(row.text))
