"""Counts instructions in objdump's listing, to show how well a candidate was vectorised."""

from __future__ import annotations

import re

from avo_tui.domain.report import Resources

_LINE = re.compile(r"^\s+[0-9a-f]+:\t(?:[0-9a-f]{2} )*\s*([a-z][\w.]*)\s*(.*)$", re.MULTILINE)
_WIDTHS = (("zmm", "512-bit"), ("ymm", "256-bit"), ("xmm", "128-bit"))
_ARM_VECTOR = re.compile(r"\bv\d+\.(4s|2d|8h|16b)")
_STACK = re.compile(r"-?(?:0x[0-9a-f]+)?\(%r[sb]p")
_FLUSHES = re.compile(r"clflush(opt)?|clwb|cldemote|wb(no)?invd|invd")
_FLUSHES_ON_ARM = re.compile(r"(c|ci|i)va[cpu]\w*")
"""Operands of `dc`, which a program may use on AArch64."""


def _width(operands: str) -> str:
    for register, name in _WIDTHS:
        if register in operands:
            return name
    if _ARM_VECTOR.search(operands):
        return "128-bit"
    return "scalar"


def count(listing: str) -> dict[str, int]:
    """Class of instruction → how many: fused multiply-adds by width, vector spills, divisions."""
    counts: dict[str, int] = {}

    def add(name: str) -> None:
        counts[name] = counts.get(name, 0) + 1

    for mnemonic, operands in _LINE.findall(listing):
        add("instructions")
        single = mnemonic.endswith(("ss", "sd"))
        width = "scalar" if single else _width(operands)
        if mnemonic.startswith(("vfmadd", "vfnmadd", "vfmsub", "vfnmsub", "fmla", "fmadd")):
            add(f"fma {width}")
        elif mnemonic.startswith(("vmul", "mulp", "muls", "fmul")):
            add(f"multiply {width}")
        elif mnemonic.startswith(("vdiv", "divp", "divs", "fdiv", "vsqrt", "fsqrt")):
            add("divisions")
        elif mnemonic.startswith(("vgather", "vpgather")):
            add("gathers")
        elif mnemonic.startswith(("call", "bl")) and not mnemonic.startswith("blend"):
            add("calls")
        if width not in ("scalar",) and "mov" in mnemonic and _STACK.search(operands):
            add("vector stack moves")
    return counts


def cache_flush(listing: str) -> str:
    """The first instruction that takes memory out of the caches; empty if there is none.

    A kernel has no use for one. The code of the C library is in memory that all processes share:
    a candidate that flushes it slows the one that is timed after it, at next to no cost of its own.
    """
    for mnemonic, operands in _LINE.findall(listing):
        word = operands.partition(",")[0].strip()
        if _FLUSHES.fullmatch(mnemonic):
            return str(mnemonic)
        if mnemonic == "dc" and _FLUSHES_ON_ARM.fullmatch(word):
            return f"dc {word}"
    return ""


def resources(listing: str, code_bytes: int, warnings: tuple[str, ...]) -> Resources:
    """The static facts of a compiled candidate; counts are over all of its code."""
    return Resources(code_bytes=code_bytes, instructions=count(listing), warnings=warnings)
