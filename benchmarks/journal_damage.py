"""Damages copies of shipped sessions at random, repairs them, and counts events that can be read.

    python benchmarks/journal_damage.py            # 200 damages
    python benchmarks/journal_damage.py --list     # each of them

An event counts where a reader of the journal gets it as it was recorded. The journal is tried in
three forms: as it ships (lines without checksums), with checksums, and with checksums and
compressed. Repair must never leave fewer events than the damage did.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from avo_tui.domain.events import Event
from avo_tui.store.doctor import diagnose
from avo_tui.store.journal import read_events
from avo_tui.store.journal_lines import with_checksum
from avo_tui.store.layout import Layout
from avo_tui.store.packed_parts import pack, packed_path, part_file

SESSIONS = Path(__file__).parent.parent / "sessions"

Damage = Callable[[random.Random, list[Path]], None]


def _flip(rng: random.Random, parts: list[Path]) -> None:
    path = _by_size(rng, parts)
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _number(rng: random.Random, parts: list[Path]) -> None:
    """One flipped bit in the number of an event."""
    path = _by_size(rng, parts)
    lines = path.read_bytes().split(b"\n")
    row = rng.randrange(max(1, len(lines) - 1))
    line = bytearray(lines[row])
    line[rng.randrange(7, max(8, line.find(b",")))] ^= 1 << rng.randrange(4)
    lines[row] = bytes(line)
    path.write_bytes(b"\n".join(lines))


def _overwrite(rng: random.Random, parts: list[Path]) -> None:
    path = _by_size(rng, parts)
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    data[at : at + 64] = rng.randbytes(len(data[at : at + 64]))
    path.write_bytes(data)


def _zeros(rng: random.Random, parts: list[Path]) -> None:
    """A block of the disk that was never written."""
    path = _by_size(rng, parts)
    data = bytearray(path.read_bytes())
    at = rng.randrange(0, len(data), 4096)
    data[at : at + 4096] = bytes(len(data[at : at + 4096]))
    path.write_bytes(data)


def _gone(rng: random.Random, parts: list[Path]) -> None:
    path = _by_size(rng, parts)
    data = path.read_bytes()
    at = rng.randrange(len(data))
    path.write_bytes(data[:at] + data[at + rng.randrange(1, 5000) :])


def _cut(rng: random.Random, parts: list[Path]) -> None:
    path = _by_size(rng, parts)
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))])


def _doubled(rng: random.Random, parts: list[Path]) -> None:
    path = _by_size(rng, parts)
    lines = path.read_bytes().splitlines(keepends=True)
    at = rng.randrange(len(lines))
    path.write_bytes(b"".join(lines + lines[at:]))


def _swapped(rng: random.Random, parts: list[Path]) -> None:
    if len(parts) < 2:
        return _flip(rng, parts)
    one, other = rng.sample(parts, 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    return None


DAMAGES: dict[str, Damage] = {
    "a bit of any byte": _flip,
    "a bit of a number": _number,
    "64 random bytes": _overwrite,
    "4 KiB of zeros": _zeros,
    "a stretch is gone": _gone,
    "the end is gone": _cut,
    "lines are doubled": _doubled,
    "two parts are swapped": _swapped,
}

FORMS = ("as shipped", "checksums", "compressed")


def _by_size(rng: random.Random, parts: list[Path]) -> Path:
    return rng.choices(parts, [path.stat().st_size for path in parts])[0]


def events(folder: Path) -> dict[int, Event]:
    """The events that a reader gets, the first of each number."""
    found: dict[int, Event] = {}
    for event in read_events(Layout(folder)):
        found.setdefault(event.seq, event)
    return found


def sound(folder: Path, whole: dict[int, Event]) -> int:
    """How many events are read as they were recorded."""
    return sum(whole.get(number) == event for number, event in events(folder).items())


def prepare(folder: Path, form: str) -> None:
    """Give the journal of a copy one of the forms."""
    layout = Layout(folder)
    for part in layout.parts() if form != "as shipped" else ():
        path = layout.part(part)
        data = b"".join(with_checksum(line) + b"\n" for line in path.read_bytes().splitlines())
        path.write_bytes(data)
        if form == "compressed" and part != layout.parts()[-1]:
            packed_path(path).write_bytes(pack(data))
            path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--damages", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="print each damage")
    options = parser.parse_args()
    names = sorted(path.parent.name for path in SESSIONS.glob("*/journal"))
    rows: dict[tuple[str, str], list[tuple[int, int, int]]] = defaultdict(list)
    worse = 0
    for number in range(options.damages):
        rng = random.Random(f"{options.seed} {number}")
        kind, form, name = (
            list(DAMAGES)[number % len(DAMAGES)],
            rng.choice(FORMS),
            rng.choice(names),
        )
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / name
            shutil.copytree(SESSIONS / name, folder, ignore=shutil.ignore_patterns("objects"))
            prepare(folder, form)
            whole = events(folder)
            if rng.random() < 0.5:
                (folder / "session.json").unlink()
            layout = Layout(folder)
            DAMAGES[kind](rng, [part_file(layout.part(part)) for part in layout.parts()])
            after = sound(folder, whole)
            diagnose(folder, repair=True)
            repaired = sound(folder, whole)
        rows[kind, form].append((len(whole), after, repaired))
        worse += repaired < after
        if options.list or repaired < after:
            print(f"{number:4} {kind:22} {form:11} {name:20} {len(whole)} {after} {repaired}")
    print(f"{'damage':22} {'journal':11} {'times':>5} {'before':>7} {'lost':>6} {'repaired':>9}")
    for kind in DAMAGES:
        for form in FORMS:
            if tried := rows[kind, form]:
                before, after, repaired = map(sum, zip(*tried, strict=True))
                print(
                    f"{kind:22} {form:11} {len(tried):5} {before:7} {before - after:6} "
                    f"{repaired - after:9}"
                )
    every = [row for tried in rows.values() for row in tried]
    before, after, repaired = map(sum, zip(*every, strict=True))
    print(
        f"events readable: {before} before, {after} after the damage, {repaired} after the repair"
    )
    print(f"repairs that left fewer events: {worse} of {options.damages}")


if __name__ == "__main__":
    main()
