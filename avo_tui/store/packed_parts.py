"""Parts of the journal that are closed, compressed, and how any part is read.

A part is a file of lines, `000123.jsonl`, or, once nothing is appended to it any more, the same
bytes compressed, `000123.jsonl.zst`. Where there are both, the one with more bytes of lines counts,
and the plain one where they have as many: the compressed file is complete before the other is
removed, but a folder that was copied over an older copy of itself may have a plain part that ends
early. `zstd -dc` gives back the lines.

The compressed file consists of blocks of whole lines, each a Zstandard frame with a checksum; an
older avo-tui wrote a frame that is to be skipped in front of them. A damaged block costs its own
events only. Offsets are always those of the lines, whatever file they come from.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import zstandard

from avo_tui.store.files import open_regular, read_regular

CHUNK: Final = 1 << 20
"""Bytes of a plain part that are read from the disk at a time."""

BLOCK: Final = 128 << 10
"""Bytes of lines from which on a block ends."""

LEVEL: Final = 6
"""How hard Zstandard compresses."""

LARGEST_PACKED: Final = 64 << 20
"""Most bytes of lines that a compressed part may hold; we compress no larger one, and a file from
outside could promise any number."""

LARGEST_PLAIN: Final = 1 << 30
"""Most bytes that are read of a part of lines; a file with a hole could promise any number."""

PIECE: Final = 1 << 10
"""Compressed bytes that are unpacked at a time: nothing says how much they become, and a kilobyte
of nothing but zeros becomes some thirty megabytes."""

MOST_FAILURES: Final = 1000
"""How many beginnings of frames that are none are tried in a damaged part."""

_SKIPPED: Final = (0x184D2A5E).to_bytes(4, "little")
"""Begin of a frame that every reader of Zstandard skips."""

SUFFIX: Final = ".zst"


class LostBlock(NamedTuple):
    """A block of a compressed part that cannot be unpacked."""

    size: int
    """Bytes of lines that it held; 0 where that is not known."""


class PartStatus(NamedTuple):
    """What changes when something is appended to a part."""

    size: int
    """Bytes of its lines."""
    changed_ns: int
    """When its file was last changed, by the file system's clock."""


def packed_path(path: Path) -> Path:
    """The compressed form of the part whose lines are, or were, at `path`."""
    return path.with_name(path.name + SUFFIX)


def pack(data: bytes) -> bytes:
    """The content of a compressed part that holds these lines."""
    packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    frames: list[bytes] = []
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin + BLOCK) + 1 or len(data)
        frames.append(packer.compress(data[begin:end]))
        begin = end
    return b"".join(frames)


def unpack(content: bytes) -> bytes:
    """The lines that the content of a compressed part holds; those of damaged blocks are
    missing."""
    return b"".join(block for block in _blocks(content) if isinstance(block, bytes))


def part_status(path: Path) -> PartStatus:
    """Size and time of the part whose lines are, or were, at `path`. Raises OSError."""
    file, packed = _open(path)
    with file:
        status = os.fstat(file.fileno())
        if not packed:
            return PartStatus(status.st_size, status.st_mtime_ns)
        return PartStatus(_lines_size(file), status.st_mtime_ns)


def part_file(path: Path) -> Path:
    """The file that counts: `path`, or its compressed form."""
    try:
        file, packed = _open(path)
    except OSError:
        return path if os.path.lexists(path) else packed_path(path)
    file.close()
    return packed_path(path) if packed else path


def read_part(path: Path) -> bytes:
    """All lines of a part; those of damaged blocks are missing. Raises OSError."""
    return b"".join(chunk for chunk in part_chunks(path) if isinstance(chunk, bytes))


def is_damaged(path: Path) -> bool:
    """Whether some of a part cannot be read. Raises OSError."""
    return any(isinstance(chunk, LostBlock) for chunk in part_chunks(path))


def forms_differ(path: Path) -> bool:
    """Whether a part is there as lines and compressed, and the two differ. Raises OSError."""
    packed = packed_path(path)
    if not (path.is_file() and packed.is_file()):
        return False
    try:
        # the compressed form of a larger one holds less
        large = path.stat().st_size > LARGEST_PACKED
        return large or read_regular(path) != unpack(read_regular(packed))
    except FileNotFoundError:  # removed just now
        return False


def read_lines_of(path: Path) -> bytes:
    """The lines in a file that was once a part, in whatever form; of what is no part at most as
    many bytes as a compressed part may hold. Raises OSError."""
    with open_regular(path) as file:
        content = file.read(LARGEST_PACKED)
    return unpack(content) if content[:4] in {_SKIPPED, zstandard.FRAME_HEADER} else content


def first_line(path: Path, most: int) -> bytes:
    """The first line of a part, at most so many bytes of it; empty where it is damaged. Raises
    OSError."""
    line = b""
    for chunk in part_chunks(path):
        if isinstance(chunk, LostBlock):
            return b""
        line += chunk
        if b"\n" in chunk or len(line) >= most:
            break
    return line[: line.find(b"\n") + 1 or len(line)][:most]


def part_chunks(path: Path, offset: int = 0) -> Iterator[bytes | LostBlock]:
    """The bytes of a part from `offset` on, in pieces. Raises OSError where it cannot be read."""
    file, packed = _open(path)
    with file:
        if packed:
            for block in _from(offset, _blocks(file.read(LARGEST_PACKED))):
                if isinstance(block, LostBlock):
                    yield block
                else:  # one from elsewhere may be millions of lines
                    yield from (block[n : n + CHUNK] for n in range(0, len(block), CHUNK))
            return
        left = LARGEST_PLAIN - offset
        file.seek(offset)
        while left > 0 and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
        if (beyond := os.fstat(file.fileno()).st_size - LARGEST_PLAIN) > 0:
            yield LostBlock(beyond)


def _open(path: Path) -> tuple[BinaryIO, bool]:
    """(the file of a part that counts, whether it is compressed). Raises OSError, of the plain file
    where there is neither."""
    try:
        plain = open_regular(path)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.EINVAL}:  # EINVAL: no regular file
            raise
        try:
            return open_regular(packed_path(path)), True
        except OSError as other:
            if isinstance(error, FileNotFoundError) and not isinstance(other, FileNotFoundError):
                raise
            return open_regular(path), False  # unpacked between the two
    try:
        packed = open_regular(packed_path(path))
    except OSError:
        return plain, False
    try:
        longer = _lines_size(packed) > os.fstat(plain.fileno()).st_size
    except OSError:
        longer = False
    (plain if longer else packed).close()
    return (packed, True) if longer else (plain, False)


def _lines_size(packed: BinaryIO) -> int:
    """Bytes of lines that the file of a compressed part holds. Leaves it at its begin."""
    blocks = _blocks(packed.read(LARGEST_PACKED))
    packed.seek(0)
    return sum(len(block) if isinstance(block, bytes) else block.size for block in blocks)


def _from(offset: int, blocks: Iterator[bytes | LostBlock]) -> Iterator[bytes | LostBlock]:
    """The blocks without the first `offset` bytes of lines."""
    for block in blocks:
        size = len(block) if isinstance(block, bytes) else block.size
        if offset < size:
            yield block[offset:] if isinstance(block, bytes) else LostBlock(size - offset)
        elif not size:
            yield block
        offset = max(0, offset - size)


def _blocks(content: bytes) -> Iterator[bytes | LostBlock]:
    """The lines in each frame of a compressed part, found by how a frame begins, and a LostBlock
    for what lies between and is none."""
    begin, end = content.find(zstandard.FRAME_HEADER), 0
    if content.startswith(_SKIPPED):
        end = max(0, begin)
    left, failures = LARGEST_PACKED, 0
    while begin >= 0 and failures < MOST_FAILURES:
        lines, packed = _frame(content, begin, left)
        if packed:
            if begin > end:
                yield LostBlock(_promised(content[end:begin]))
            yield lines
            left -= len(lines)
            end = begin + packed
        else:
            failures += 1
        begin = content.find(zstandard.FRAME_HEADER, end if packed else begin + 1)
    if end < len(content) or not content:
        yield LostBlock(_promised(content[end:]))


def _frame(content: bytes, begin: int, most: int) -> tuple[bytes, int]:
    """(what the frame at `begin` holds, its compressed size); (b"", 0) where it is not whole, or
    holds more than `most` bytes."""
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    pieces: list[bytes] = []
    size, position = 0, begin
    try:
        while position < len(content) and not unpacker.eof and size <= most:
            pieces.append(unpacker.decompress(content[position : position + PIECE]))
            size += len(pieces[-1])
            position += PIECE
    except zstandard.ZstdError:
        return b"", 0
    if not unpacker.eof or size > most:
        return b"", 0
    return b"".join(pieces), min(position, len(content)) - begin - len(unpacker.unused_data)


def _promised(block: bytes) -> int:
    """The bytes that a block which cannot be unpacked says to hold; 0 where it says none."""
    try:
        size = zstandard.frame_content_size(block[:18])
    except zstandard.ZstdError:
        return 0
    return size if 0 < size <= LARGEST_PACKED else 0
