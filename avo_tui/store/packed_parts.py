"""Parts of the journal that are closed, compressed, and how any part is read.

A part is a file of lines, `000123.jsonl`, or, once nothing is appended to it any more, the same
bytes compressed, `000123.jsonl.zst`. Where there are both, the lines count: the compressed file is
complete before the other is removed. `zstd -dc` gives back the lines.

The compressed file consists of blocks of whole lines, each a Zstandard frame with a checksum. In
front of them is an index, in a frame that Zstandard skips: the compressed and the plain size of
each block. So a damaged block costs its own events only, and reading from an offset starts at the
block that it is in. Offsets are always those of the lines, whatever file they come from.
"""

from __future__ import annotations

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
        return PartStatus(sum(size for _, size in _blocks(file).sizes), status.st_mtime_ns)


def part_file(path: Path) -> Path:
    """The file that the part is in: `path`, or its compressed form where there is only that."""
    packed = packed_path(path)
    return packed if not os.path.lexists(path) and os.path.lexists(packed) else path


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
    """(the file of a part, whether it is compressed). Raises OSError, of the plain file where
    there is neither."""
    try:
        return open_regular(path), False
    except FileNotFoundError:
        try:
            return open_regular(packed_path(path)), True
        except FileNotFoundError:
            return open_regular(path), False  # unpacked between the two


@dataclass(frozen=True)
class _Blocks:
    """The blocks of a compressed part."""

    sizes: list[tuple[int, int]]
    """(compressed size, size) of each, bytes."""
    damaged: bool = False
    """Whether the index was not what we write, so that there may be blocks behind these."""


def _blocks(file: BinaryIO) -> _Blocks:
    """The blocks of a compressed part; leaves the file at the first of them."""
    file.seek(0)
    head = file.read(8)
    length = int.from_bytes(head[4:8], "little")
    start = 8 + length if head[:4] == _INDEX_MAGIC else 0
    if start and length <= MAX_BLOCK:
        sizes = _index(file.read(length))
        if sizes is not None:
            return _Blocks(sizes)
    return _counted(file, start)


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


def _counted(file: BinaryIO, start: int) -> _Blocks:
    """The blocks from byte `start` on, up to the first that cannot be unpacked; for a part whose
    index is damaged. Leaves the file at the first of them."""
    file.seek(start)
    rest = file.read()
    file.seek(start)
    sizes: list[tuple[int, int]] = []
    try:
        while rest and 0 < zstandard.frame_content_size(rest) <= MAX_BLOCK:
            unpacker = zstandard.ZstdDecompressor().decompressobj()
            size, before = len(unpacker.decompress(rest)), len(rest)
            rest = unpacker.unused_data
            sizes.append((before - len(rest), size))
    except zstandard.ZstdError:
        pass
    return _Blocks(sizes, damaged=True)


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
