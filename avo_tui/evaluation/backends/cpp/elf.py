"""Reads what a shared object imports, and from which library; and what an object file refers to.

Only the parts of ELF64 that the question needs, little-endian; layouts are those of the System V
ABI and of GNU symbol versioning. The file was made from a candidate: every offset is checked.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_DYNAMIC, _LOAD = 2, 1
_NEEDED, _STRTAB, _SYMTAB, _HASH = 1, 5, 6, 4
_VERNEED, _VERNEEDNUM, _VERSYM = 0x6FFFFFFE, 0x6FFFFFFF, 0x6FFFFFF0
_SYMBOL_TABLES = (2, 11)
"""Kinds of sections: SHT_SYMTAB and SHT_DYNSYM."""
_SECTION = "<IIQQQQIIQQ"
_EXECUTABLE = 4
_UNDEFINED = 0
_WEAK = 2


class ElfError(ValueError):
    """The file is not a shared object that this reader understands."""


@dataclass(frozen=True)
class Import:
    """A symbol that is taken from elsewhere."""

    name: str
    library: str
    """The library its version belongs to; empty if it has none."""
    weak: bool


@dataclass(frozen=True)
class SharedObject:
    """What matters of a shared object."""

    needed: tuple[str, ...]
    imports: tuple[Import, ...]
    exports: frozenset[str]
    code_bytes: int
    """Bytes of its executable segments."""
    executable_segments: int = 1
    """How many of them there are."""


@dataclass(frozen=True)
class ObjectFile:
    """What matters of an object file."""

    undefined: frozenset[str]
    """Names that it refers to and does not define."""
    code_bytes: int
    """Bytes of its executable sections."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        if data[:6] != b"\x7fELF\x02\x01":
            raise ElfError("not a 64-bit little-endian ELF file")
        (offset,) = self.unpack("<Q", 32)
        size, count = self.unpack("<HH", 54)
        self.segments = [self.unpack("<IIQQQQQQ", offset + i * size) for i in range(count)]

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(layout, self.data, offset)
        except (struct.error, OverflowError) as error:
            raise ElfError("truncated") from error

    def offset(self, address: int) -> int:
        """File offset of a virtual address."""
        for kind, _, offset, start, _, size, *_ in self.segments:
            if kind == _LOAD and start <= address < start + size:
                return offset + address - start
        raise ElfError("an address outside the file")

    def string(self, table: int, index: int) -> str:
        end = self.data.find(b"\0", table + index, table + index + 65536)
        if end < 0:
            raise ElfError("an endless string")
        return self.data[table + index : end].decode(errors="replace")


def _symbol_count(reader: _Reader, dynamic: dict[int, int], symbols: int, strings: int) -> int:
    if _HASH in dynamic:
        return reader.unpack("<II", reader.offset(dynamic[_HASH]))[1]
    # GNU ld and lld place the string table right after the symbols.
    if strings > symbols:
        return (strings - symbols) // 24
    raise ElfError("the number of symbols is not to be found")


def _versions(reader: _Reader, dynamic: dict[int, int], strings: int) -> dict[int, str]:
    libraries: dict[int, str] = {}
    if _VERNEED not in dynamic:
        return libraries
    offset = reader.offset(dynamic[_VERNEED])
    for _ in range(min(dynamic.get(_VERNEEDNUM, 0), 64)):
        _, count, file, aux, following = reader.unpack("<HHIII", offset)
        library = reader.string(strings, file)
        entry = offset + aux
        for _ in range(min(count, 256)):
            _, _, other, _, step = reader.unpack("<IHHII", entry)
            libraries[other & 0x7FFF] = library
            entry += step
        if following == 0:
            break
        offset += following
    return libraries


def read_shared_object(data: bytes) -> SharedObject:
    """Reads a whole file; raises ElfError."""
    reader = _Reader(data)
    segment = next((s for s in reader.segments if s[0] == _DYNAMIC), None)
    if segment is None:
        raise ElfError("no dynamic section")
    entries = [
        reader.unpack("<QQ", segment[2] + i) for i in range(0, min(segment[5], 1 << 16) - 15, 16)
    ]
    dynamic = {tag: value for tag, value in reversed(entries) if tag}
    if not {_STRTAB, _SYMTAB} <= dynamic.keys():
        raise ElfError("no dynamic symbols")
    strings, symbols = reader.offset(dynamic[_STRTAB]), reader.offset(dynamic[_SYMTAB])
    libraries = _versions(reader, dynamic, strings)
    versions = reader.offset(dynamic[_VERSYM]) if _VERSYM in dynamic else None
    imports, exports = [], set()
    for i in range(1, min(_symbol_count(reader, dynamic, symbols, strings), 1 << 20)):
        name_at, info, _, section, _, _ = reader.unpack("<IBBHQQ", symbols + 24 * i)
        name = reader.string(strings, name_at)
        if section != _UNDEFINED:
            exports.add(name)
            continue
        version = reader.unpack("<H", versions + 2 * i)[0] & 0x7FFF if versions is not None else 0
        imports.append(Import(name, libraries.get(version, ""), info >> 4 == _WEAK))
    return SharedObject(
        needed=tuple(reader.string(strings, v) for tag, v in entries if tag == _NEEDED),
        imports=tuple(imports),
        exports=frozenset(exports),
        code_bytes=sum(s[5] for s in reader.segments if s[0] == _LOAD and s[1] & 1),
        executable_segments=sum(1 for s in reader.segments if s[0] == _LOAD and s[1] & 1),
    )


def read_object(data: bytes) -> ObjectFile:
    """Reads an object file (`.o`); raises ElfError."""
    reader = _Reader(data)
    (offset,) = reader.unpack("<Q", 40)
    size, count = reader.unpack("<HH", 58)
    if count == 0:  # more than 65,279 sections: their number is in the first one
        count = reader.unpack(_SECTION, offset)[5]
    sections = [reader.unpack(_SECTION, offset + i * size) for i in range(min(count, 1 << 20))]
    undefined = set()
    for _, kind, _, _, start, length, link, *_ in sections:
        if kind not in _SYMBOL_TABLES:
            continue
        if link >= len(sections):
            raise ElfError("symbols without names")
        strings = sections[link][4]
        for symbol in range(start + 24, start + min(length, len(data)) - 23, 24):
            name, _, _, section, _, _ = reader.unpack("<IBBHQQ", symbol)
            if section == _UNDEFINED and name:
                undefined.add(reader.string(strings, name))
    code = sum(section[5] for section in sections if section[2] & _EXECUTABLE)
    return ObjectFile(frozenset(undefined), code)
