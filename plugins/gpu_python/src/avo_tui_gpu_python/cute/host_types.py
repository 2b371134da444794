"""Types of MLIR's LLVM dialect, read from their text and laid out in memory.

Loaded in the sandbox by `recorder.py`, as a file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class CandidateError(Exception):
    """What the candidate did cannot be compiled or recorded; the text says why."""


@dataclass(frozen=True)
class Type:
    """A type of the LLVM dialect, laid out as on x86-64."""

    kind: str
    """int, float, pointer, struct or array."""
    size: int
    align: int
    members: tuple[Type, ...] = ()
    """Of a struct all; of an array the element."""
    offsets: tuple[int, ...] = ()
    bits: int = 0

    def member(self, index: int) -> tuple[int, Type]:
        """(offset in bytes, type) of a member or element."""
        if self.kind == "array":
            return index * self.members[0].size, self.members[0]
        return self.offsets[index], self.members[index]


def _structure(members: Sequence[Type], packed: bool) -> Type:
    offsets, size, align = [], 0, 1
    for member in members:
        own = 1 if packed else member.align
        size = -(-size // own) * own
        offsets.append(size)
        size += member.size
        align = max(align, own)
    size = -(-size // align) * align
    return Type("struct", size, align, tuple(members), tuple(offsets))


class _TypeText:
    """Reads types such as `!llvm.struct<(ptr<1>, array<3 x i32>)>`."""

    _WORD = re.compile(r"\s*(!llvm\.|\w+|[<>(),]|\"[^\"]*\")")

    def __init__(self, text: str) -> None:
        self._words = [w for w in self._WORD.findall(text) if w != "!llvm."]
        self._next = 0

    def _take(self, wanted: str = "") -> str:
        if self._next >= len(self._words):
            raise CandidateError("a type of the host code could not be read")
        word = self._words[self._next]
        if wanted and word != wanted:
            raise CandidateError(f"a type of the host code has {word!r} instead of {wanted!r}")
        self._next += 1
        return str(word)

    def _peek(self) -> str:
        return self._words[self._next] if self._next < len(self._words) else ""

    def read(self) -> Type:
        """The next type."""
        word = self._take()
        if word == "ptr":
            if self._peek() == "<":
                while self._take() != ">":
                    pass
            return Type("pointer", 8, 8, bits=64)
        if match := re.fullmatch(r"i(\d+)", word):
            bits = int(match[1])
            size = 1 << max(0, (bits + 7) // 8 - 1).bit_length()
            return Type("int", size, size, bits=bits)
        if word in {"f16", "bf16", "f32", "f64"}:
            size = {"f32": 4, "f64": 8}.get(word, 2)
            return Type("float", size, size, bits=8 * size)
        if word == "struct":
            return self._struct()
        if word in {"array", "vector"}:
            self._take("<")
            count, _, name = self._take().partition("x")
            if name:  # `4xi32` of a vector is one word
                self._words.insert(self._next, name)
            elif self._peek() == "x":
                self._take("x")
            element = self.read()
            self._take(">")
            return Type("array", int(count) * element.size, element.align, (element,))
        raise CandidateError(f"the host code has a value of the type {word}")

    def _struct(self) -> Type:
        self._take("<")
        packed = False
        while self._peek() != "(":
            packed |= self._take() == "packed"
        self._take("(")
        members = []
        while self._peek() != ")":
            members.append(self.read())
            if self._peek() == ",":
                self._take(",")
        self._take(")")
        self._take(">")
        return _structure(members, packed)


_types: dict[str, Type] = {}


def type_of(mlir_type: Any) -> Type:
    """The layout of a type of MLIR."""
    text = str(mlir_type)
    if text not in _types:
        _types[text] = _TypeText(text).read()
    return _types[text]
