"""Times mistletoe on three kinds of documents; with --outputs prints what it makes of them."""

import json
import sys
from pathlib import Path
from time import perf_counter

import mistletoe

SYNTAX = Path("test/samples/syntax.md").read_text(encoding="utf-8")
NESTED = "\n".join(
    f"{'  ' * (n % 6)}- item {n} with *emphasis* and `code`\n{'> ' * (n % 4)}quoted **{n}**\n"
    for n in range(150)
)
WORDS = "a plain sentence, with [a link](https://example.org/x) and some _stress_; then more words "
PROSE = "\n\n".join(f"## Part {n}\n\n" + WORDS * 8 for n in range(40))
DOCUMENTS = {"syntax": SYNTAX, "nested": NESTED, "prose": PROSE}


def main() -> None:
    if "--outputs" in sys.argv:
        for name, text in DOCUMENTS.items():
            print(name, mistletoe.markdown(text))
        return
    found = {}
    for name, text in DOCUMENTS.items():
        mistletoe.markdown(text)
        times = []
        for _ in range(7):
            began = perf_counter()
            mistletoe.markdown(text)
            times.append((perf_counter() - began) * 1e3)
        found[name] = times
    print(json.dumps(found))


if __name__ == "__main__":
    main()
