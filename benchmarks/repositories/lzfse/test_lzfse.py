"""Round trips, and sizes that must not grow beyond those of the base."""

import random

import lzfse
import pytest
from measure import inputs

BASE_SIZES = [128_883, 8_097, 166_565]


@pytest.mark.parametrize("size", [1, 7, 8, 100, 4095, 4096, 70_000, 300_000])
@pytest.mark.parametrize("kind", ["zeros", "random", "text", "period"])
def test_round_trip(size: int, kind: str) -> None:
    chance = random.Random(size)
    data = {
        "zeros": lambda: bytes(size),
        "random": lambda: chance.randbytes(size),
        "text": lambda: (b"the quick brown fox " * (size // 20 + 1))[:size],
        "period": lambda: bytes(n % 251 for n in range(size)),
    }[kind]()
    assert lzfse.decompress(lzfse.compress(data)) == data


def test_sizes_do_not_grow() -> None:
    for data, most in zip(inputs(), BASE_SIZES, strict=True):
        assert len(lzfse.compress(data)) <= most * 1.002
