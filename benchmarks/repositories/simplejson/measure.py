"""Times simplejson on documents made from a seed; with --outputs prints what it makes of them.

In time of the processor, which other programs disturb less than the clock.
"""

import json
import random
import sys
from time import process_time

import simplejson

WORDS = [
    "alpha", "beta", "gamma", "delta", "Straße", "naïve", "東京", "tab\there", 'quote"d',
    "back\\slash", "</script>",
]  # fmt: skip


def made(seed):
    """Records as services exchange them, texts, and numbers."""
    chance = random.Random(seed)

    def text(count):
        return " ".join(chance.choice(WORDS) for _ in range(count))

    records = [
        {
            "id": chance.randrange(1 << 48),
            "name": text(2),
            "active": chance.random() < 0.5,
            "score": chance.uniform(-1e6, 1e6),
            "tags": [text(1) for _ in range(chance.randrange(6))],
            "owner": {"mail": f"user{chance.randrange(9999)}@example.org", "age": None},
        }
        for _ in range(1200)
    ]
    texts = [text(chance.randrange(40, 80)) for _ in range(1500)]
    numbers = [chance.uniform(-1, 1) * 10 ** chance.randrange(-9, 9) for _ in range(2500)]
    numbers += [chance.randrange(-(1 << chance.randrange(2, 70)), 1 << 40) for _ in range(2500)]
    return {"records": records, "texts": texts, "numbers": numbers}


def taken(call, given):
    """Milliseconds of one call, of many one after the other: short times are told coarsely."""
    call(given)
    began = process_time()
    for _ in range(25):
        call(given)
    return (process_time() - began) * 1e3 / 25


def main():
    documents = made(int(sys.argv[1]))
    assert simplejson._speedups is not None, "the C extension is not there"
    found = {}
    for name, document in documents.items():
        text = simplejson.dumps(document)
        if "--outputs" in sys.argv:
            wide = simplejson.dumps(document, ensure_ascii=False, sort_keys=True, indent=2)
            print(text, wide, simplejson.dumps(document, for_json=True, encoding=None))
            print(repr(simplejson.loads(text)), simplejson.loads(wide) == json.loads(wide))
            continue
        found[f"dumps-{name}"] = taken(simplejson.dumps, document)
        found[f"loads-{name}"] = taken(simplejson.loads, text)
    if found:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
