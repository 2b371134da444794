"""Round trips on data that no author of a candidate sees, and damaged streams."""

import contextlib
import random

import lzfse
import pytest


@pytest.mark.parametrize("seed", range(24))
def test_mixed_data(seed: int) -> None:
    chance = random.Random(1000 + seed)
    data = b""
    while len(data) < 1 << chance.randint(3, 19):
        piece = chance.randbytes(chance.randint(1, 300))
        data += piece * chance.randint(1, 40) + data[-chance.randint(1, 5000) :]
    assert lzfse.decompress(lzfse.compress(data)) == data


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_stream_ends_in_an_error_or_other_bytes(seed: int) -> None:
    chance = random.Random(seed)
    packed = bytearray(lzfse.compress(b"some text that repeats itself " * 400))
    for _ in range(4):
        packed[chance.randrange(len(packed))] ^= 1 << chance.randrange(8)
    with contextlib.suppress(Exception):  # which one is not promised
        lzfse.decompress(bytes(packed))
