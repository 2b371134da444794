"""Reading a cubin (an ELF file) without CUDA's tools: kernels, parameters, memory, code size."""

from __future__ import annotations

import struct

from avo_tui.domain.base import Value

_KPARAM_INFO = 0x17
_SVAL = 4
_SYMBOL_BYTES = 24


class KernelImage(Value):
    """What the cubin says about one kernel."""

    name: str
    code_bytes: int
    static_shared: int
    """Static shared memory in bytes, without the part reserved by the system."""
    params: tuple[int, ...]
    """Bytes of each parameter, in order."""


class Image(Value):
    """What the cubin says about the whole module."""

    kernels: dict[str, KernelImage]
    global_bytes: int
    """Bytes of `__device__` variables, initialised or not."""
    undefined: frozenset[str] = frozenset()
    """Symbols that the driver is to provide, such as `malloc` and `vprintf`."""

    @property
    def code_bytes(self) -> int:
        """Bytes of all kernels' code."""
        return sum(k.code_bytes for k in self.kernels.values())


class CubinError(ValueError):
    """The bytes are not a cubin that can be read."""


def read(data: bytes) -> Image:
    """The facts of a cubin. Raises CubinError where it is not a 64-bit little-endian ELF."""
    try:
        return _read(data)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise CubinError(f"not a readable cubin: {error}") from error


def _read(data: bytes) -> Image:
    if data[:6] != b"\x7fELF\x02\x01":
        raise CubinError("not a 64-bit ELF file")
    (offset,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", data, 0x3A)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, offset + i * size) for i in range(count)]
    names_offset = headers[names_index][4]
    sections: dict[str, tuple[int, int, int]] = {}
    for name, kind, _, _, start, length, *_rest in headers:
        sections[_string(data, names_offset + name)] = (start, length, kind)

    kernels: dict[str, KernelImage] = {}
    for name, (_, length, _) in sections.items():
        if not name.startswith(".text."):
            continue
        kernel = name.removeprefix(".text.")
        start, info_length, _ = sections.get(f".nv.info.{kernel}", (0, 0, 0))
        reserved = 1024 if ".nv.shared.reserved.0" in sections else 0
        shared = sections.get(f".nv.shared.{kernel}", (0, 0, 0))[1]
        kernels[kernel] = KernelImage(
            name=kernel,
            code_bytes=length,
            static_shared=max(0, shared - reserved) if shared else 0,
            params=_params(data[start : start + info_length]),
        )
    return Image(
        kernels=kernels,
        global_bytes=sum(sections.get(n, (0, 0, 0))[1] for n in (".nv.global", ".nv.global.init")),
        undefined=_undefined(data, sections),
    )


def _undefined(data: bytes, sections: dict[str, tuple[int, int, int]]) -> frozenset[str]:
    """Names in the symbol table that belong to no section."""
    start, length, _ = sections.get(".symtab", (0, 0, 0))
    names = sections.get(".strtab", (0, 0, 0))[0]
    undefined = set()
    for offset in range(start, start + length, _SYMBOL_BYTES):
        name, _, _, section = struct.unpack_from("<IBBH", data, offset)
        if section == 0 and name:
            undefined.add(_string(data, names + name))
    return frozenset(undefined)


def _string(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()


def _params(info: bytes) -> tuple[int, ...]:
    """Sizes from the EIATTR_KPARAM_INFO records: (index, ordinal, offset, flags with the size)."""
    sizes: dict[int, int] = {}
    position = 0
    while position + 4 <= len(info):
        form, attribute, value = struct.unpack_from("<BBH", info, position)
        position += 4
        if form != _SVAL:
            continue
        if attribute == _KPARAM_INFO and value >= 12:
            _, ordinal, _, flags = struct.unpack_from("<IHHI", info, position)
            sizes[ordinal] = flags >> 18
        position += value
    return tuple(sizes[i] for i in sorted(sizes))
