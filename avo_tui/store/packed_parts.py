"""Parts of the journal that are closed, compressed, and how any part is read.

A part is a file of lines, `000123.jsonl`, or, once nothing is appended to it any more, the same
bytes compressed, `000123.jsonl.zst`. Where there are both, the one with more bytes of lines counts,
and the plain one where they have as many: the compressed file is complete before the other is
removed, but a folder that was copied over an older copy of itself may have a plain part that ends
early. `zstd -dc` gives back the lines.

The compressed file consists of blocks of whole lines, each a Zstandard frame with a checksum. In
front of them is an index, in a frame that Zstandard skips: the compressed and the plain size of
each block. So a damaged block costs its own events only, and reading from an offset starts at the
block that it is in. Offsets are always those of the lines, whatever file they come from.
"""

from __future__ import annotations

import errno
import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import zstandard
from pydantic_core import from_json, to_json

from avo_tui.store.files import open_regular

CHUNK: Final = 1 << 20
"""Bytes of a plain part that are read from the disk at a time."""

BLOCK: Final = 128 << 10
"""Bytes of lines from which on a block ends."""

LEVEL: Final = 6
"""How hard Zstandard compresses."""

LARGEST_PACKED: Final = 64 << 20
"""Most bytes of lines that a compressed part may hold; we compress no larger one, and a file from
outside could promise any number."""

LARGEST_PLAIN: Final = 4 << 30
"""Most bytes that are read of a part of lines; a file with a hole could promise any number."""

PIECE: Final = 1 << 10
"""Compressed bytes that are unpacked at a time where nothing says how much they become; a
kilobyte of nothing but zeros becomes some thirty megabytes."""

MOST_FAILURES: Final = 1000
"""How many beginnings of frames that are none are tried in a part whose index is damaged."""

_INDEX_MAGIC: Final = (0x184D2A5E).to_bytes(4, "little")
"""Begin of a frame that every reader of Zstandard skips."""

SUFFIX: Final = ".zst"


@dataclass(frozen=True)
class LostBlock:
    """A block of a compressed part that cannot be unpacked."""

    size: int
    """Bytes of lines that it held; 0 where that is not known."""


@dataclass(frozen=True)
class PartStatus:
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
    sizes: list[tuple[int, int]] = []
    frames: list[bytes] = []
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin + BLOCK) + 1 or len(data)
        frames.append(packer.compress(data[begin:end]))
        sizes.append((len(frames[-1]), end - begin))
        begin = end
    index = to_json({"blocks": sizes})
    index = b"%08x " % zlib.crc32(index) + index
    return b"".join((_INDEX_MAGIC, len(index).to_bytes(4, "little"), index, *frames))


def unpack(content: bytes) -> bytes:
    """The lines that the content of a compressed part holds; those of damaged blocks are
    missing."""
    return b"".join(c for c in _unpacked(io.BytesIO(content), 0) if isinstance(c, bytes))


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


def read_lines_of(path: Path) -> bytes:
    """The lines in a file that was once a part, in whatever form; of what is no part at most as
    many bytes as a compressed part may hold. Raises OSError."""
    with open_regular(path) as file:
        if file.read(4) in {_INDEX_MAGIC, zstandard.FRAME_HEADER}:
            return b"".join(c for c in _unpacked(file, 0) if isinstance(c, bytes))
        file.seek(0)
        return file.read(LARGEST_PACKED)


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
            yield from _unpacked(file, offset)
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
    """Bytes of lines that the file of a compressed part holds. Leaves it at any position."""
    return sum(size for _, size in _blocks(packed).sizes)


@dataclass(frozen=True)
class _Blocks:
    """The blocks of a compressed part."""

    sizes: list[tuple[int, int]]
    """(compressed size, size) of each, bytes; of what is no block, the size is 0."""
    damaged: bool = False
    """Whether the file is neither what we write nor frames alone, so that there may have been more
    blocks."""


def _blocks(file: BinaryIO) -> _Blocks:
    """The blocks of a compressed part; leaves the file at the first of them."""
    file.seek(0)
    head = file.read(8)
    length = int.from_bytes(head[4:8], "little")
    if head[:4] == _INDEX_MAGIC and length <= LARGEST_PACKED:
        sizes = _index(file.read(length))
        if sizes is not None:
            return _Blocks(sizes)
    file.seek(0)
    blocks = _searched(file.read(LARGEST_PACKED))
    file.seek(0)
    return blocks


def _index(text: bytes) -> list[tuple[int, int]] | None:
    """What an index says; None where it is not one that we wrote."""
    checksum, _, data = text.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(data):
            return None
        sizes = [(packed, size) for packed, size in from_json(data)["blocks"]]
    except (ValueError, KeyError, TypeError):
        return None
    whole = all(type(n) is int and n > 0 for pair in sizes for n in pair)
    return sizes if whole and sum(size for _, size in sizes) <= LARGEST_PACKED else None


def _searched(content: bytes) -> _Blocks:
    """The blocks that can be unpacked, found by how a frame begins: of a part whose index is
    damaged, or that somebody compressed anew, as with `zstd`."""
    sizes: list[tuple[int, int]] = []
    end, begin, failures, total = 0, content.find(zstandard.FRAME_HEADER), 0, 0
    while begin >= 0 and failures < MOST_FAILURES:
        size, packed = _frame(content, begin, LARGEST_PACKED - total)
        if packed:
            if begin > end:
                sizes.append((begin - end, 0))
            sizes.append((packed, size))
            end = begin + packed
            total += size
        else:
            failures += 1
        begin = content.find(zstandard.FRAME_HEADER, end if packed else begin + 1)
    whole = bool(sizes) and end == len(content) and all(size for _, size in sizes)
    return _Blocks(sizes, damaged=not whole)


def _frame(content: bytes, begin: int, most: int) -> tuple[int, int]:
    """(size, compressed size) of the frame at `begin`, bytes; (0, 0) where it is not whole, or
    holds more than `most`."""
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    size, position = 0, begin
    try:
        while position < len(content) and not unpacker.eof and size <= most:
            size += len(unpacker.decompress(content[position : position + PIECE]))
            position += PIECE
    except zstandard.ZstdError:
        return 0, 0
    if not unpacker.eof or size > most:
        return 0, 0
    return size, min(position, len(content)) - begin - len(unpacker.unused_data)


def _unpacked(file: BinaryIO, offset: int) -> Iterator[bytes | LostBlock]:
    blocks = _blocks(file)
    for packed, size in blocks.sizes:
        frame = file.read(packed)
        if offset >= size:
            offset -= size
            continue
        data = _data(frame, size)
        yield data[offset:] if len(data) == size else LostBlock(size - offset)
        offset = 0
    if blocks.damaged:
        yield LostBlock(0)


def _data(frame: bytes, size: int) -> bytes:
    """What a frame of `size` bytes holds; something shorter where it is not sound."""
    try:
        if zstandard.frame_content_size(frame) not in {size, -1}:  # before there is room for it
            return b""
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except zstandard.ZstdError:
        return b""
