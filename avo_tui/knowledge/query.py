"""Turns any text into an FTS5 expression that is always valid.

The index splits text at punctuation and underscores, so an identifier is searched as a phrase of
its parts: `wgmma.fence`, `wgmma_fence` and "wgmma fence" match the same text. Words in mixed case
(`CUtensorMap`) are indexed whole, and in parts in a separate column.
"""

import re
from dataclasses import dataclass

#: Longer queries are cut (characters), because the rest of a pasted page adds nothing.
MOST_QUERY = 1000
#: Largest number of terms; further ones are left out.
MOST_TERMS = 24

_WORD = re.compile(r"[^\W_]+(?:(?:[_.]|::|->|-)[^\W_]+)*", re.U)
_PARTS = re.compile(r"[^\W_]+", re.U)
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_MIXED = re.compile(r"\b(?=\w*[a-z])(?=\w*[A-Z])\w*[a-z0-9][A-Z]\w*\b|\b[A-Z]{2,}[a-z]\w*\b")

_STOP_WORDS = """
    a an and are as at be between by can could do does for from had has have how i if in into is
    it its me must my need not of on or our shall should so than that the their them then there
    these they this to under up use used using was we what when where which while who why will with
    without would you your
    may might one see two want get give make need needed there here
"""
_STOP = frozenset(_STOP_WORDS.split())

#: Groups of synonyms: a search for one finds the others too.
_SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("smem", "shared memory"),
    ("gmem", "global memory", "device memory"),
    ("rmem", "register file"),
    ("tmem", "tensor memory"),
    ("tma", "bulk tensor copy", "cp.async.bulk.tensor", "tensor memory accelerator"),
    ("tensor map", "tensormap", "cutensormap", "tma descriptor"),
    ("wgmma", "warpgroup mma"),
    ("umma", "tcgen05.mma"),
    ("mbarrier", "mbar"),
    ("arrive", "arrival"),
    ("phase", "parity"),
    ("named barrier", "bar.sync", "barrier.sync"),
    ("warpgroup", "warp group"),
    ("cluster", "cga", "thread block cluster"),
    ("cta", "thread block"),
    ("dsmem", "distributed shared memory"),
    ("pdl", "programmatic dependent launch", "griddepcontrol"),
    ("gqa", "grouped query attention"),
    ("mha", "multi head attention"),
    ("fa2", "flashattention 2", "flash attention 2"),
    ("fa3", "flashattention 3", "flash attention 3"),
    ("fa4", "flashattention 4", "flash attention 4"),
    ("flashattention", "flash attention"),
    ("exp2", "exponential", "ex2", "exponentials"),
    ("lse", "logsumexp"),
    ("bf16", "bfloat16"),
    ("fp16", "half precision"),
    ("fp32", "float32", "single precision"),
    ("register spill", "spills", "local memory", "spilled"),
    ("oob", "out of bounds"),
    ("sm100", "blackwell", "sm_100a"),
    ("sm90", "hopper", "sm_90a"),
    ("matmul", "gemm", "matrix multiply"),
    ("ping pong", "pingpong"),
    ("warp specialization", "warp specialisation", "warp specialized"),
    ("swizzle", "swizzling"),
    ("l2", "l2 cache"),
    ("ncu", "nsight compute"),
    ("kv", "key value"),
    ("setmaxnreg", "register reallocation"),
    ("overlap", "hide"),
    ("oom", "out of memory"),
    ("max", "maximum"),
    ("head dim", "head dimension"),
    ("launch toml", "launch manifest", "launch json"),
    ("128b", "128 byte"),
    ("64b", "64 byte"),
    ("32b", "32 byte"),
    ("accumulator", "accumulators"),
    ("softmax", "online softmax"),
    ("regs", "registers"),
    ("perf", "performance"),
)


def _normal(words: str) -> str:
    return " ".join(part.lower() for part in _PARTS.findall(words))


def _stem(word: str) -> str:
    """A light stem: plurals, -ed, -ing, and British or American -is-/-iz-."""
    for ending in ("ations", "ation", "ings", "ing", "ied", "ies", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            if ending in ("ied", "ies"):
                word += "y"
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "ls":
        word = word[:-1]
    return word[:-2] + "iz" if word.endswith("is") and len(word) > 4 else word


def words(text: str) -> list[str]:
    """The stems of a text in order, identifiers in parts. For ranking, not for matching."""
    return [_stem(part) for part in _PARTS.findall(text.lower())]


def _spellings(name: str) -> tuple[str, ...]:
    """The other of the British and the American spelling, when a word has two."""
    other = re.sub(r"(?<=\w{3})is(?=(e[ds]?|ing|ations?)\b)", "iz", name)
    if other == name:
        other = re.sub(r"(?<=\w{3})iz(?=(e[ds]?|ing|ations?)\b)", "is", name)
    return () if other == name else (other,)


def _synonyms() -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for group in _SYNONYMS:
        names = tuple(_normal(name) for name in group)
        for name in names:
            others = tuple(other for other in names if other != name)
            table[name] = (*table.get(name, ()), *others)
    return table


_TABLE = _synonyms()
_LONGEST = max(name.count(" ") + 1 for name in _TABLE)


@dataclass(frozen=True, slots=True)
class Term:
    """One thing asked for: the words as typed, and other names for it (phrases, lower case)."""

    phrase: str
    others: tuple[str, ...] = ()

    @property
    def expression(self) -> str:
        """The FTS5 expression of the term. Phrases hold letters, digits and spaces only."""
        names = [f'"{self.phrase}"', *(f'"{other}"' for other in self.others)]
        return names[0] if len(names) == 1 else "(" + " OR ".join(names) + ")"


def names_code(query: str) -> bool:
    """True for a query that names something in a source file, such as `warp_idx` or `f()`."""
    return bool(re.search(r"\w_\w|\w::\w|[a-z][A-Z]|\w\(\)|^\s*(class|struct|def)\s", query))


def terms(query: str) -> tuple[Term, ...]:
    """The terms of a query: identifiers as phrases, stop words dropped, synonyms attached."""
    units: list[str] = []
    mixed: dict[str, str] = {}  # the parts of words in mixed case
    for match in _WORD.finditer(query[:MOST_QUERY]):
        unit = _normal(match.group())
        if unit:
            units.append(unit)
            if _MIXED.fullmatch(match.group()):
                mixed[unit] = camel_parts(match.group()).lower()
    content = [unit for unit in units if unit not in _STOP] or units
    kept: dict[str, Term] = {}
    position = 0
    while position < len(content) and len(kept) < MOST_TERMS:
        for length in range(min(_LONGEST, len(content) - position), 0, -1):
            name = " ".join(content[position : position + length])
            others = _TABLE.get(name) or _TABLE.get(name.removesuffix("s"), ())
            if others or length == 1:
                parts = (mixed[name],) if mixed.get(name) else ()
                kept.setdefault(name, Term(name, (*_spellings(name), *parts, *others)))
                position += length
                break
    return tuple(kept.values())


def camel_parts(text: str) -> str:
    """The mixed-case words of a text in parts, for the index's `names` column.

    `CUtensorMap` gives "C Utensor Map" as FTS5 would never split it; each word once.
    """
    parts: dict[str, None] = {}
    for match in _MIXED.finditer(text):
        pieces = _CAMEL.findall(match.group())
        if len(pieces) > 1:
            parts[" ".join(pieces)] = None
    return " ".join(parts)
