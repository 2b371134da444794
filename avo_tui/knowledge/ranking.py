"""Orders the sections that the index proposes: BM25 over fields, with synonyms as one term.

FTS5 cannot do three things that decide which section comes first: let a synonym count less than the
word itself, tell prose from the code beside it, and leave the document's title, which each of its
sections repeats, out of a word's rarity.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from avo_tui.knowledge.index import Row
from avo_tui.knowledge.query import Term, camel_parts, words

#: Weight of one occurrence, by the field it is in.
BODY, CODE = 1.0, 0.3
#: Share of a term's weight that is added where the term is in the heading or the title.
HEADING, TITLE = 0.45, 0.45
#: The same for a phrase of which some words are in the heading and the others in the title.
SPREAD = 0.4
#: Weight of a synonym's occurrence, relative to one of the term itself.
OTHER_NAME = 0.5
#: Share of their weight that is added where two terms of the query are next to each other.
ADJACENT = 0.35
#: Weight of a section by its kind: a question in words wants prose, an identifier the source.
KIND = {"prose": 1.0, "source": 0.6, "data": 0.4}
KIND_OF_CODE = {"prose": 1.0, "source": 1.0, "data": 0.5}
_K1 = 1.2
_LENGTH_WEIGHT = 0.3
_USUAL_LENGTH = 220.0  # words of a section

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)


@dataclass(frozen=True, slots=True)
class _Fields:
    """A candidate's fields as strings of bracketed stems, so that phrases can be counted."""

    title: str
    heading: str
    body: str
    code: str
    length: int


def _stems(text: str) -> tuple[str, int]:
    stems = words(text)
    return "<" + "><".join(stems) + ">", len(stems)


def _fields(row: Row) -> _Fields:
    body, code = row.body, ""
    if row.kind == "prose":
        code = "\n".join(match.group() for match in _FENCE.finditer(body))
        body = _FENCE.sub("\n", body)
    title, _ = _stems(row.title)
    path = " ".join(row.path)
    heading, _ = _stems(f"{path} {camel_parts(path)}")
    plain, length = _stems(body)
    listing, more = _stems(code)
    return _Fields(title, heading, plain, listing, length + more // 3)


def _phrase(name: str) -> str:
    return "<" + "><".join(words(name)) + ">"


def rank(
    rows: Sequence[Row], asked: Sequence[Term], rarity: Sequence[float], code: bool = False
) -> list[float]:
    """A score for each row, larger is better.

    `rarity` is the inverse document frequency of each term over all that is searched; `code` says
    that the query names something in a source file.
    """
    kinds = KIND_OF_CODE if code else KIND
    phrases = [(_phrase(term.phrase), [_phrase(other) for other in term.others]) for term in asked]
    scores = []
    for row in rows:
        fields = _fields(row)
        norm = max(0.3, 1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * fields.length / _USUAL_LENGTH)
        score = 0.0
        for (phrase, others), weight in zip(phrases, rarity, strict=True):
            count, about = _count(fields, phrase), _about(fields, phrase)
            if others:
                count += OTHER_NAME * max(_count(fields, other) for other in others)
                about = max(about, OTHER_NAME * max(_about(fields, other) for other in others))
            score += weight * (count / (_K1 * norm + count) + about)
        text = fields.heading + fields.body + fields.code
        for (first, _), (second, _), a, b in zip(
            phrases, phrases[1:], rarity, rarity[1:], strict=False
        ):
            if first + second in text:
                score += ADJACENT * min(a, b)
        scores.append(score * kinds[row.kind])
    return scores


def _count(fields: _Fields, phrase: str) -> float:
    """Occurrences in the section, weighted by field."""
    heading = fields.heading.count(phrase)
    return heading + BODY * fields.body.count(phrase) + CODE * fields.code.count(phrase)


def _about(fields: _Fields, phrase: str) -> float:
    """Additional weight for a term in heading or title; less if its words are spread over both."""
    added = HEADING * (phrase in fields.heading) + TITLE * (phrase in fields.title)
    if not added and "><" in phrase:
        parts = [f"<{part}>" for part in phrase[1:-1].split("><")]
        above = fields.heading + fields.title
        if any(part in fields.heading for part in parts) and all(part in above for part in parts):
            added = SPREAD
    return added


def rarity(total: int, matching: int) -> float:
    """Inverse document frequency: large for a term that few sections have."""
    return math.log(1 + (total - matching + 0.5) / (matching + 0.5))
