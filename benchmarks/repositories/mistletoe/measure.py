"""Times mistletoe on documents made from a seed; with --outputs prints what it makes of them.

In time of the processor, which other programs disturb less than the clock.
"""

import json
import random
import sys
from pathlib import Path
from time import process_time

import mistletoe

BLOCKS = Path("test/samples/syntax.md").read_text(encoding="utf-8").split("\n\n")
PARTS = [
    "a plain sentence, with more words", "[a link](https://example.org/{n} \"title {n}\")",
    "some _stress_ and **more of it {n}**", "`code {n}`", "![image](pictures/{n}.png)",
    "<https://example.org/{n}>", "a \\* that is escaped &amp; an entity", "~~struck {n}~~",
]  # fmt: skip


def made(seed: int) -> dict[str, str]:
    """A manual in another order, lists within quotes, and prose."""
    chance = random.Random(seed)

    def sentence(count: int) -> str:
        return ", ".join(chance.choice(PARTS).format(n=chance.randrange(999)) for _ in range(count))

    nested = "\n".join(
        f"{'  ' * chance.randrange(6)}- item {n} with {sentence(1)}\n"
        f"{'> ' * chance.randrange(4)}quoted {sentence(1)}\n"
        for n in range(150)
    )
    prose = "\n\n".join(f"## Part {n}\n\n{sentence(24)}." for n in range(40))
    return {
        "syntax": "\n\n".join(chance.sample(BLOCKS, len(BLOCKS))), "nested": nested, "prose": prose
    }  # fmt: skip


def main() -> None:
    documents = made(int(sys.argv[1]))
    if "--outputs" in sys.argv:
        for name, text in documents.items():
            print(name, mistletoe.markdown(text))
        return
    found = {}
    for name, text in documents.items():
        mistletoe.markdown(text)
        began = process_time()
        for _ in range(7):
            mistletoe.markdown(text)
        found[name] = (process_time() - began) * 1e3 / 7
    print(json.dumps(found))


if __name__ == "__main__":
    main()
