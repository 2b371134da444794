"""Damage to the journal costs itself alone, and repair removes nothing that can be read."""

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.events import Event
from avo_tui.store import SessionReader, SessionWriter, diagnose
from avo_tui.store.journal import read_events
from avo_tui.store.journal_lines import apart, event_line, parse_line, read_lines
from avo_tui.store.layout import Layout
from avo_tui.store.packed_parts import pack, packed_path, part_file, read_part


@pytest.fixture(params=["checksums", "none"])
def old(request: pytest.FixtureRequest, lived: Path) -> Path:
    """The session, with lines as they are written now and as an older avo-tui wrote them."""
    if request.param == "none":
        layout = Layout(lived)
        for part in layout.parts():
            lines = layout.part(part).read_bytes().splitlines()
            bare = b"".join(apart(line)[0] + b"}\n" for line in lines)
            layout.part(part).write_bytes(bare)
    return lived


def readable(folder: Path) -> dict[int, Event]:
    found: dict[int, Event] = {}
    for event in read_events(Layout(folder)):
        found.setdefault(event.seq, event)
    return found


def bodies(part: Path) -> list[bytes]:
    """The lines of a part, without their checksums."""
    return [apart(line)[0] for line in read_part(part).splitlines()]


def failures(folder: Path) -> list[str]:
    return [f.sentence for f in diagnose(folder) if f.level == "fail" and f.what != "objects"]


def renumbered(path: Path, line: int, number: int) -> None:
    lines = path.read_bytes().split(b"\n")
    lines[line] = re.sub(rb'^\{"seq":\d+', b'{"seq":%d' % number, lines[line])
    path.write_bytes(b"\n".join(lines))


@pytest.mark.parametrize("number", [10**6, 1, 40])  # the line is number 36
@pytest.mark.parametrize("tables", [True, False])
def test_a_number_that_leaps_costs_its_own_event_alone(
    old: Path, number: int, tables: bool
) -> None:
    events = readable(old)
    if not tables:
        (old / "session.json").unlink()
        (old / "session.json.previous").unlink()
    renumbered(Layout(old).part(1), 1, number)
    left = readable(old)
    assert len(left) == len(events) - 1
    assert left.items() <= events.items()
    reader = SessionReader.open(old)
    assert reader.state.session.applied == len(events)
    assert failures(old)
    diagnose(old, repair=True)
    assert readable(old) == left
    (lost,) = failures(old)
    assert lost == "missing before 000001.jsonl goes on: event 36"


def test_a_number_that_leaps_before_one_last_line_does_not_hide_it(old: Path) -> None:
    events = readable(old)
    part = Layout(old).part(1)
    renumbered(part, len(part.read_bytes().splitlines()) - 2, 10**6)
    left = readable(old)
    assert len(left) == len(events) - 1 and left.items() <= events.items()


def test_the_engine_goes_on_below_a_number_that_leaps_at_the_end(old: Path) -> None:
    events = readable(old)
    layout = Layout(old)
    part = layout.part(layout.parts()[-1])
    renumbered(part, part.read_bytes().count(b"\n") - 1, len(events) + 128)
    (old / "session.json").unlink()
    (old / "session.json.previous").unlink()
    with SessionWriter.open(old) as writer:
        assert writer.record(ev.TroubleNoted(where="test", message="goes on")).seq == len(events)
    assert failures(old) == []


@pytest.mark.parametrize("compressed", [True, False])
def test_parts_in_each_others_place_are_put_back(old: Path, compressed: bool) -> None:
    events = readable(old)
    layout = Layout(old)
    lines = {part: bodies(layout.part(part)) for part in (1, 2)}
    if compressed:
        for part in layout.parts()[:-1]:
            packed_path(layout.part(part)).write_bytes(pack(layout.part(part).read_bytes()))
            layout.part(part).unlink()
    one, other = (part_file(layout.part(part)) for part in (1, 2))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    assert failures(old)
    diagnose(old, repair=True)
    assert list(readable(old).values()) == list(events.values())
    assert {part: bodies(layout.part(part)) for part in (1, 2)} == lines
    assert failures(old) == []


def test_what_was_taken_out_is_put_back(old: Path) -> None:
    events = readable(old)
    part = Layout(old).part(1)
    lines = part.read_bytes().splitlines(keepends=True)
    part.with_suffix(".damaged").write_bytes(b"".join(lines[2:]))
    part.write_bytes(b"".join(lines[:2]))
    assert len(readable(old)) < len(events)
    diagnose(old, repair=True)
    assert readable(old) == events
    assert failures(old) == []


@pytest.mark.parametrize("member", [0, 1, 2])
def test_a_damaged_line_of_an_append_costs_itself_alone(old: Path, member: int) -> None:
    with SessionWriter.open(old) as writer:
        texts = [ev.AgentText(block="b", text=f"{n} of one append") for n in range(3)]
        writer.record_all(texts)
        writer.record(ev.AgentText(block="b", text="later"))
    layout = Layout(old)
    part = layout.part(layout.parts()[-1])
    text = b"%d of one append" % member
    assert part.read_bytes().count(text) == 1
    events = readable(old)
    part.write_bytes(part.read_bytes().replace(b'"' + text, b'"\x00' + text))
    left = readable(old)
    assert len(left) == len(events) - 1
    diagnose(old, repair=True)
    assert readable(old).items() >= left.items()


def flip(data: bytearray, rng: random.Random) -> bytes:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def overwrite(data: bytearray, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    data[at : at + 100] = rng.randbytes(100)
    return bytes(data)


def cut_out(data: bytearray, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return bytes(data[:at] + data[at + rng.randrange(1, 2000) :])


def double(data: bytearray, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join(lines + lines[rng.randrange(len(lines)) :])


def before_the_last(data: bytearray, rng: random.Random) -> bytes:
    """A line that is none explains why the number of the last one seems to leap."""
    *lines, _, last = data.splitlines(keepends=True)
    return b"".join([*lines, b"x\n", last])


@pytest.mark.parametrize("damage", [flip, overwrite, cut_out, double, before_the_last])
def test_repair_removes_nothing_that_can_be_read(
    old: Path, damage: Callable[[bytearray, random.Random], bytes]
) -> None:
    rng = random.Random(damage.__name__)
    for number in range(3):
        folder = old.with_name(f"copy-{number}")
        shutil.copytree(old, folder)
        layout = Layout(folder)
        part = layout.part(rng.choice(layout.parts()))
        part.write_bytes(damage(bytearray(part.read_bytes()), rng))
        before = readable(folder)
        diagnose(folder, repair=True)
        after = readable(folder)
        assert before.keys() <= after.keys()
        diagnose(folder, repair=True)
        assert readable(folder).keys() >= after.keys()


def test_a_line_longer_than_any_is_passed_over(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Layout(old).part(1)
    whole = part.read_bytes()
    part.write_bytes(b"x" * 50_001 + b"\n" + b"y" * 50_000 + b"\n" + whole)
    monkeypatch.setattr("avo_tui.store.journal_lines.LONGEST_LINE", 50_000)
    first, second, *others = read_lines(part)
    assert first.problem and first.text is None and first.end == 50_002
    assert second.problem and second.text == b"y" * 50_000, "no event, and kept"
    assert [line.text for line in others] == whole.splitlines()


def test_a_line_says_its_checksum_and_an_altered_one_is_no_event() -> None:
    line = event_line(ev.AgentText(seq=7, block="b", text="prose"))
    assert parse_line(line, 0, 0).checked
    assert parse_line(line.replace(b"prose", b"verse"), 0, 0).event is None
    bare = parse_line(apart(line)[0] + b"}", 0, 0)
    assert bare.event is not None and not bare.checked
