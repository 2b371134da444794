"""Texts read by offsets: every row once, whatever the chunks; hits where they are; bounded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.store import DamagedSession
from avo_tui.store.objects import ObjectStore
from avo_tui.ui.widgets import long
from avo_tui.ui.widgets.long import ROW, LongText

texts = st.text(alphabet="ab\n\r é€x\x1b", max_size=400)


def filled(data: bytes, chunk: int) -> LongText:
    text = LongText()
    text.fill(data[at : at + chunk] for at in range(0, len(data), chunk))
    return text


def found(text: LongText, needle: str) -> list[int]:
    return [row for _, rows in text.search(needle, lambda: False) for row in rows]


@settings(max_examples=150, deadline=None)
@given(texts, st.integers(1, 90), st.sampled_from(["ab", "é", "a b", "AB"]))
def test_rows_are_the_lines_whatever_the_chunks(written: str, chunk: int, needle: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long, "STRIDE", 4)
        patch.setattr(long, "SEARCHED", 8)
        patch.setattr(long, "ROW", 16)
        data = written.encode()
        text = filled(data, chunk)
        rows = [text.row(i) for i in range(text.rows)]
        lines = [line.removesuffix("\r") for line in written.removesuffix("\n").split("\n")]
        again = "".join(row.text if row.continued else f"\n{row.text}" for row in rows)
        if written:
            assert again == "".join(f"\n{line}" for line in lines)
        hits = found(text, needle)
        whole = [i for i, row in enumerate(rows) if needle.casefold() in row.text.casefold()]
        assert set(whole) <= set(hits)
        assert hits == sorted(set(hits))
        text.close()


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, max_size=6), st.sampled_from(["ab", "é", "AB"]))
def test_what_grows_is_shown_as_far_as_it_is_there(parts: list[str], needle: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long, "STRIDE", 4)
        patch.setattr(long, "SEARCHED", 8)
        patch.setattr(long, "ROW", 16)
        patch.setattr(long, "POLL_SECONDS", 0.0)
        text, so_far, rows = LongText(), b"", 0

        def chunks() -> Iterator[bytes]:
            nonlocal so_far, rows
            for part in parts:
                so_far += part.encode()
                yield part.encode()
                yield b""
                whole = filled(so_far, 1 << 20)
                assert text.caught_up and text.rows == whole.rows >= rows
                rows = text.rows
                assert [text.row(i).text for i in range(rows)] == [
                    whole.row(i).text for i in range(rows)
                ]
                assert found(text, needle) == found(whole, needle)
                whole.close()

        text.fill(chunks())
        assert not text.problem and text.done
        text.close()


def test_a_line_of_megabytes_is_rows_and_is_found_across_them() -> None:
    data = b"x" * (ROW - 6) + b"needle" + b"y" * 3_000_000 + b"\nlast\n"
    text = filled(data, 1 << 20)
    assert found(text, "NEEDLE") == [0]
    assert not text.row(0).continued and text.row(1).continued
    assert text.row(text.rows - 1).text == "last"
    assert text.widest <= ROW


def test_little_is_held_of_a_long_text() -> None:
    lines = (f"line {n:07} of a long log, with some words in it\n".encode() for n in range(200_000))
    text = LongText()
    text.fill(lines)
    assert text.rows == 200_000 and text.size > 8_000_000
    assert text.row(123_456).text.startswith("line 0123456 ")
    for at in range(0, text.rows, 1000):
        text.row(at)
    assert len(text._read[-1]) <= long.STRIDE
    assert len(text._starts) == 200_000 / long.STRIDE
    text.close()
    assert text._file is None


def test_a_text_that_breaks_off_shows_what_was_read_and_why() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"first\nsecond\n"
        raise DamagedSession("object 3f9a was altered")

    text = LongText()
    text.fill(chunks())
    assert text.done and text.rows == 2
    assert text.problem == "object 3f9a was altered"


def test_an_object_comes_piece_by_piece(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    data = b"".join(b"row %d\n" % n for n in range(400_000))
    identity = store.put(data)
    pieces = list(store.chunks(identity))
    assert b"".join(pieces) == data
    assert len(pieces) > 1
    with pytest.raises(KeyError):
        list(store.chunks("0" * 64))
    store.path(identity).write_bytes(store.path(store.put(b"another")).read_bytes())
    with pytest.raises(DamagedSession, match="altered"):
        list(store.chunks(identity))
