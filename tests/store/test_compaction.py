"""Compressed parts of the journal read as the lines did; a damaged one loses only itself."""

from __future__ import annotations

import errno
import json
import random
import re
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.domain import events as ev
from avo_tui.store import SessionReader, SessionWriter, compaction, diagnose, packed_parts
from avo_tui.store.errors import StoreError
from avo_tui.store.journal import read_event, read_events
from avo_tui.store.journal_lines import read_lines
from avo_tui.store.layout import Layout
from avo_tui.store.packed_parts import (
    LostBlock,
    first_line,
    pack,
    packed_path,
    part_chunks,
    part_status,
    read_part,
    unpack,
)


@pytest.fixture(autouse=True)
def at_once(lived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts are compressed too, and their lines removed at the next step; not before the
    session is made, whose writer may be slow enough to begin with it."""
    monkeypatch.setattr(compaction, "SMALLEST", 1)
    monkeypatch.setattr(compaction, "KEEP_SECONDS", 0.0)
    monkeypatch.setattr(packed_parts, "BLOCK", 500)


def compress(folder: Path) -> None:
    """Compress all closed parts, as an engine does in time."""
    with SessionWriter.open(folder) as writer:
        writer._background_writer.stop()
        for _ in range(2 * len(Layout(folder).parts()) + 3):
            writer.record(ev.AgentText(block="b", text="prose"))
            writer.flush()
            writer._compaction.step()


def plain(folder: Path) -> list[str]:
    """Names of the parts that are there as lines."""
    return sorted(path.name for path in (folder / "journal").glob("*.jsonl"))


def problems(folder: Path) -> list[str]:
    """What is damaged, apart from the objects, which the made-up session never had."""
    return [f.sentence for f in diagnose(folder) if f.level == "fail" and f.what != "objects"]


def frames_of(content: bytes) -> list[bytes]:
    """The frames of a compressed part."""
    begins = [m.start() for m in re.finditer(re.escape(zstandard.FRAME_HEADER), content)]
    return [content[a:b] for a, b in zip(begins, [*begins[1:], len(content)], strict=True)]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=3000), st.data())
def test_any_bytes_come_back_from_any_offset(data: bytes, draw: st.DataObject) -> None:
    content = pack(data)
    assert unpack(content) == data
    offset = draw.draw(st.integers(0, len(data) + 1))
    chunks = list(packed_parts._from(offset, packed_parts._blocks(content)))
    assert b"".join(c for c in chunks if isinstance(c, bytes)) == data[offset:]
    assert zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read() == (
        data
    )


def test_every_way_of_reading_gives_the_same(lived: Path) -> None:
    layout, reader = Layout(lived), SessionReader.open(lived)
    events, state = list(reader.events()), reader.state
    part = layout.part(1)
    whole = list(read_lines(part))
    middle = whole[len(whole) // 2].end
    later = list(read_lines(part, middle, 0, 1))
    compress(lived)
    assert plain(lived) == ["000003.jsonl"]
    assert layout.parts() == [0, 1, 2, 3]
    assert list(read_lines(part)) == whole
    assert list(read_lines(part, middle, 0, 1)) == later
    again = SessionReader.open(lived)
    assert list(again.events())[: len(events)] == events
    assert list(again.events(step=1)) == [e for e in events if e.step == 1]
    assert list(read_events(layout, after=events[7].seq))[: len(events) - 8] == events[8:]
    assert all(read_event(layout, e.seq, e.step) == e for e in events)
    assert again.state.attempts == state.attempts and again.state.versions == state.versions
    assert problems(lived) == []
    (lived / "session.json").unlink()
    (lived / "session.json.previous").unlink()
    assert SessionReader.open(lived).state.versions == state.versions


def test_a_reader_goes_on_while_parts_are_compressed(lived: Path) -> None:
    reader = SessionReader.open(lived)
    before = reader.state.session.applied
    compress(lived)
    seen = [event.seq for event in reader.poll(10_000)]
    assert seen[0] == before + 1 and seen == list(range(before + 1, before + 1 + len(seen)))
    assert reader.reloads == 0 and reader.problems == []


@pytest.mark.parametrize("block", range(3))
def test_a_damaged_block_loses_its_own_events_only(lived: Path, block: int) -> None:
    events = list(SessionReader.open(lived).events())
    compress(lived)
    layout = Layout(lived)
    path = packed_path(layout.part(1))
    data = bytearray(path.read_bytes())
    frames = frames_of(bytes(data))
    data[sum(map(len, frames[:block])) + len(frames[block]) // 2] ^= 0x55
    held = zstandard.frame_content_size(frames[block])
    path.write_bytes(bytes(data))
    lost = [chunk for chunk in part_chunks(layout.part(1)) if isinstance(chunk, LostBlock)]
    assert [chunk.size for chunk in lost] == [held]
    first = next(event for event in events if event.step == 1)
    assert (f'"seq":{first.seq},'.encode() in first_line(layout.part(1), 1 << 20)) is (block > 0)
    reader = SessionReader.open(lived)
    left = {event.seq for event in reader.events()}
    missing = [event for event in events if event.seq not in left]
    assert missing and all(event.step == 1 for event in missing)
    assert sum(event.step == 1 for event in events) > len(missing)
    assert any("000001.jsonl.zst" in sentence for sentence in problems(lived))
    versions = reader.state.versions
    diagnose(lived, repair=True)
    assert "000001.jsonl" in plain(lived)
    assert (lived / "journal" / "000001.jsonl.zst.damaged").exists()
    after = SessionReader.open(lived)
    assert {event.seq for event in after.events()} == left
    assert after.state.versions == versions
    with SessionWriter.open(lived) as writer:
        writer.record(ev.TroubleNoted(where="test", message="goes on"))


@pytest.mark.parametrize(
    "damage", ["older", "older, damaged index", "no frame", "empty", "garbage"]
)
def test_what_stands_before_the_blocks(lived: Path, damage: str) -> None:
    """An older avo-tui wrote an index of the blocks there, which is passed over."""
    compress(lived)
    layout = Layout(lived)
    whole, path = read_part(layout.part(1)), packed_path(layout.part(1))
    data = path.read_bytes()
    index = b"0123abcd " + json.dumps({"blocks": [[1, 2]]}).encode()
    head = (0x184D2A5E).to_bytes(4, "little") + len(index).to_bytes(4, "little") + index
    changed = {
        "older": head + data,
        "older, damaged index": head[:4] + bytes(4) + head[8:] + data,
        "no frame": b"?" * 12 + data,
        "empty": b"",
        "garbage": random.Random(1).randbytes(5000),
    }
    path.write_bytes(changed[damage])
    sound = damage not in {"empty", "garbage"}
    assert read_part(layout.part(1)) == (whole if sound else b"")
    named = any("000001.jsonl.zst" in sentence for sentence in problems(lived))
    assert named == (not damage.startswith("older"))
    versions = SessionReader.open(lived).state.versions
    diagnose(lived, repair=True)
    assert read_part(layout.part(1)) == (whole if sound else b"")
    assert SessionReader.open(lived).state.versions == versions
    assert not sound or problems(lived) == []


def test_a_promise_of_a_huge_block_is_not_believed(tmp_path: Path) -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(packed_parts.LARGEST_PACKED + 1))
    packed_path(tmp_path / "000000.jsonl").write_bytes(bomb)
    assert list(part_chunks(tmp_path / "000000.jsonl")) == [LostBlock(0)]


def test_the_newest_part_is_unpacked_before_it_is_written(lived: Path) -> None:
    """A copy that lacks the newest part, which is never compressed itself."""
    compress(lived)
    Layout(lived).part(3).unlink()
    before = list(SessionReader.open(lived).events())
    with SessionWriter.open(lived) as writer:
        assert any("unpacked 000002.jsonl.zst" in note for note in writer.recovered)
    assert list(SessionReader.open(lived).events())[: len(before)] == before


@pytest.mark.parametrize("call", ["replace_file", "sync_folder", "read_regular"])
def test_a_disk_that_fails_puts_it_off(
    lived: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = list(SessionReader.open(lived).events())
    real = getattr(compaction, call)
    failures = iter([True] * 4)

    def failing(*arguments: object) -> object:
        if next(failures, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(compaction, call, failing)
    put_off = 0
    with SessionWriter.open(lived) as writer:
        writer._background_writer.stop()
        for _ in range(30):
            writer.record(ev.AgentText(block="b", text="prose"))
            writer.flush()
            try:
                writer._compaction.step()
            except StoreError:
                put_off += 1
    assert put_off >= 3
    assert plain(lived) == ["000003.jsonl"]
    assert list(SessionReader.open(lived).events())[: len(events)] == events


def test_lines_that_differ_from_the_compressed_form_stay(lived: Path) -> None:
    part = Layout(lived).part(0)
    whole = part.read_bytes()
    with SessionWriter.open(lived) as writer:
        writer._background_writer.stop()
        deadline = time.monotonic() + 60
        while not packed_path(part).exists():
            assert time.monotonic() < deadline
            writer.record(ev.AgentText(block="b", text="prose"))
            writer.flush()
            writer._compaction.step()
        packed_path(part).write_bytes(pack(whole[:-10]))
        writer._compaction.step()
    assert part.read_bytes() == read_part(part) == whole
    diagnose(lived, repair=True)
    assert part.read_bytes() == whole
    assert not packed_path(part).exists() and part.with_name("000000.jsonl.zst.damaged").exists()


SPOILED_PLAIN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "an older copy": lambda whole: whole[: whole.find(b"\n", len(whole) // 2) + 1],
    "cut in a line": lambda whole: whole[: len(whole) // 2],
    "junk": lambda whole: b"junk\n" * 100,
    "longer junk": lambda whole: b"junk\n" * len(whole),
    "one byte": lambda whole: b"?" + whole[1:],
}


@pytest.mark.parametrize(
    ("mend", "spoiled"),
    [
        *(("doctor", spoiled) for spoiled in SPOILED_PLAIN),
        *(("engine", spoiled) for spoiled in ("an older copy", "longer junk")),
        *(("engine of the newest part", spoiled) for spoiled in ("cut in a line", "one byte")),
    ],
)
def test_lines_that_were_spoiled_do_not_replace_the_compressed_form(
    lived: Path, spoiled: str, mend: str
) -> None:
    """A copy over an older copy has both forms, of which the plain one ends early."""
    compress(lived)
    events = list(SessionReader.open(lived).events())
    layout = Layout(lived)
    if mend == "engine of the newest part":
        layout.part(3).unlink()
        events = [event for event in events if event.step < 3]
    part = layout.part(2)
    part.write_bytes(SPOILED_PLAIN[spoiled](read_part(part)))
    if spoiled in {"empty", "an older copy", "cut in a line"}:
        assert list(SessionReader.open(lived).events()) == events
    if mend != "doctor":
        compress(lived)
    if mend != "engine of the newest part":
        assert any("000002.jsonl and 000002.jsonl.zst differ" in s for s in problems(lived))
    diagnose(lived, repair=True)
    assert problems(lived) == [] or mend == "engine of the newest part"
    assert list(SessionReader.open(lived).events())[: len(events)] == events
    assert list((lived / "journal").glob("000002.jsonl*.damaged*"))


def test_a_folder_in_place_of_the_lines_hides_nothing(lived: Path) -> None:
    compress(lived)
    events = list(SessionReader.open(lived).events())
    Layout(lived).part(1).mkdir()
    assert list(SessionReader.open(lived).events()) == events


def test_parts_of_others_stay(lived: Path, tmp_path: Path) -> None:
    """A link, and lines that do not end: neither is what an engine wrote."""
    layout = Layout(lived)
    moved = tmp_path / "elsewhere"
    layout.part(0).rename(moved)
    layout.part(0).symlink_to(moved)
    with layout.part(1).open("ab") as file:
        file.write(b"half a line")
    compress(lived)
    assert plain(lived) == ["000000.jsonl", "000001.jsonl", "000003.jsonl"]


def test_the_program_zstd_reads_it(lived: Path) -> None:
    whole = Layout(lived).part(1).read_bytes()
    compress(lived)
    command = ["zstd", "-dc", str(packed_path(Layout(lived).part(1)))]
    try:
        assert subprocess.run(command, capture_output=True, check=True).stdout == whole
    except FileNotFoundError:
        pytest.skip("there is no zstd here")


def test_which_parts_are_compressed_and_when_their_lines_go(
    lived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither small nor huge ones, nor the one that is written; both forms stay for a while."""
    layout, now = Layout(lived), [1000.0]
    sizes = {part: layout.part(part).stat().st_size for part in (0, 1, 2)}
    chosen = sorted(sizes, key=lambda part: sizes[part])[1]
    monkeypatch.setattr(compaction, "SMALLEST", sizes[chosen])
    monkeypatch.setattr(compaction, "LARGEST_PACKED", sizes[chosen])
    monkeypatch.setattr(compaction, "KEEP_SECONDS", 600.0)
    monkeypatch.setattr(compaction, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with SessionWriter.open(lived) as writer:
        writer._background_writer.stop()

        def step() -> tuple[int, list[str]]:
            for _ in range(2 * len(layout.parts())):
                writer._compaction.step()
            packed = [path.name for path in (lived / "journal").glob("*.zst")]
            assert packed == [packed_path(layout.part(chosen)).name]
            return len(plain(lived)), packed

        last = writer.record(ev.AgentText(block="b", text="the last"))
        writer.flush()
        assert step()[0] == 4
        now[0] += 599.9
        assert step()[0] == 4
        now[0] += 0.1
        assert step()[0] == 3 and not layout.part(chosen).exists()
    assert list(SessionReader.open(lived).events())[-1] == last


def test_a_compressed_part_has_the_size_of_its_lines_and_its_errors_are_told(
    lived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Layout(lived).part(1)
    before = part_status(part)
    assert before.size == part.stat().st_size
    compress(lived)
    assert not part.exists() and part_status(part).size == before.size
    assert part_status(part).changed_ns == packed_path(part).stat().st_mtime_ns

    def refused(path: Path) -> BinaryIO:
        raise PermissionError(errno.EACCES, "no", str(path))

    monkeypatch.setattr(packed_parts, "open_regular", refused)
    with pytest.raises(PermissionError):
        part_status(part)


def test_the_part_that_is_written_stays_lines(lived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compressed once another is written, and asked whether the folder is ours before."""
    with SessionWriter.open(lived) as writer:
        writer._background_writer.stop()
        for _ in range(9):
            writer.record(ev.AgentText(block="b", text="prose"))
            writer.flush()
            writer._compaction.step()
        assert plain(lived) == ["000003.jsonl"] and not list(lived.glob("journal/*3.jsonl.zst"))
        asked: list[bool] = []
        monkeypatch.setattr(writer._compaction, "_check_ours", lambda: asked.append(True))
        writer.record(ev.StepStarted(step=4, parent=0))
        writer.flush()
        for _ in range(3):
            writer._compaction.step()
    assert asked and plain(lived) == ["000004.jsonl"]
    monkeypatch.setattr(compaction, "SMALLEST", 1)
    with SessionWriter.open(lived) as writer:  # the next engine, in the middle of the part
        writer._background_writer.stop()
        for _ in range(3):
            writer._compaction.step()
        assert not packed_path(Layout(lived).part(4)).exists()


def test_a_part_that_zstd_wrote_through_a_pipe_is_read(lived: Path) -> None:
    compress(lived)
    path = packed_path(Layout(lived).part(1))
    whole = read_part(Layout(lived).part(1))
    piped = zstandard.ZstdCompressor().compressobj()  # does not know the size beforehand
    path.write_bytes(piped.compress(whole) + piped.flush())
    assert read_part(Layout(lived).part(1)) == whole
    assert problems(lived) == []


@pytest.mark.slow
def test_a_part_that_promises_more_than_any_holds_costs_little(
    lived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_parts, "LARGEST_PACKED", 1 << 20)
    events = len(list(SessionReader.open(lived).events()))
    compress(lived)
    path = packed_path(Layout(lived).part(1))
    bomb = zstandard.ZstdCompressor().compressobj()
    frame = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(64)) + bomb.flush()
    path.write_bytes(frame * 200)
    tracemalloc.start()
    assert sum(len(c) for c in part_chunks(Layout(lived).part(1)) if isinstance(c, bytes)) == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
    (lived / "session.json").unlink()
    (lived / "session.json.previous").unlink()
    assert 0 < len(list(SessionReader.open(lived).events())) < events
