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

MAX_BLOCK: Final = 256 << 20
"""Most bytes that a block may unpack to; a file from outside could promise any number."""

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
        file.seek(offset)
        while chunk := file.read(CHUNK):
            yield chunk


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
    """Whether the index was not what we write, so that there may have been more blocks."""


def _blocks(file: BinaryIO) -> _Blocks:
    """The blocks of a compressed part; leaves the file at the first of them."""
    file.seek(0)
    head = file.read(8)
    length = int.from_bytes(head[4:8], "little")
    if head[:4] == _INDEX_MAGIC and length <= MAX_BLOCK:
        sizes = _index(file.read(length))
        if sizes is not None:
            return _Blocks(sizes)
    return _searched(file)


def _index(text: bytes) -> list[tuple[int, int]] | None:
    """What an index says; None where it is not one that we wrote."""
    checksum, _, data = text.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(data):
            return None
        sizes = [(packed, size) for packed, size in from_json(data)["blocks"]]
    except (ValueError, KeyError, TypeError):
        return None
    whole = all(type(n) is int and 0 < n <= MAX_BLOCK for pair in sizes for n in pair)
    return sizes if whole else None


def _searched(file: BinaryIO) -> _Blocks:
    """The blocks that can be unpacked, found by how a frame begins; for a part whose index is
    damaged. Leaves the file at its beginning."""
    file.seek(0)
    content = file.read()
    file.seek(0)
    sizes: list[tuple[int, int]] = []
    end, begin, failures = 0, content.find(zstandard.FRAME_HEADER), 0
    while begin >= 0 and failures < MOST_FAILURES:
        size, packed = _frame(content[begin:])
        if packed:
            if begin > end:
                sizes.append((begin - end, 0))
            sizes.append((packed, size))
            end = begin + packed
        else:
            failures += 1
        begin = content.find(zstandard.FRAME_HEADER, end if packed else begin + 1)
    return _Blocks(sizes, damaged=True)


def _frame(content: bytes) -> tuple[int, int]:
    """(size, compressed size) of the frame that `content` begins with, bytes; (0, 0) where it is
    not whole."""
    try:
        if not 0 < zstandard.frame_content_size(content) <= MAX_BLOCK:
            return 0, 0
        unpacker = zstandard.ZstdDecompressor().decompressobj()
        size = len(unpacker.decompress(content))
    except zstandard.ZstdError:
        return 0, 0
    return (size, len(content) - len(unpacker.unused_data)) if unpacker.eof else (0, 0)


def _unpacked(file: BinaryIO, offset: int) -> Iterator[bytes | LostBlock]:
    blocks = _blocks(file)
    for packed, size in blocks.sizes:
        frame = file.read(packed)
        if offset >= size:
            offset -= size
            continue
        try:
            data = zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
        except zstandard.ZstdError:
            data = b""
        yield data[offset:] if len(data) == size else LostBlock(size - offset)
        offset = 0
    if blocks.damaged:
        yield LostBlock(0)
