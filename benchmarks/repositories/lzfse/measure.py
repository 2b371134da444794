"""Times compressing and decompressing text, code and numbers."""

import json
import random
import sys
from pathlib import Path
from time import perf_counter

import lzfse


def inputs() -> list[bytes]:
    chance = random.Random(7)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(900)]
    text = " ".join(chance.choices(words, k=60_000)).encode()
    code = Path("COPYING").read_bytes() * 8
    numbers = b"".join((n * n % 65_521).to_bytes(4, "little") for n in range(100_000))
    return [text, code, numbers]


def main() -> None:
    found: dict[str, list[float]] = {"compress": [], "decompress": []}
    data = inputs()
    for _ in range(7):
        began = perf_counter()
        packed = [lzfse.compress(one) for one in data]
        middle = perf_counter()
        back = [lzfse.decompress(one) for one in packed]
        end = perf_counter()
        found["compress"].append((middle - began) * 1e3)
        found["decompress"].append((end - middle) * 1e3)
        if back != data:
            sys.exit("a round trip changed the data")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
