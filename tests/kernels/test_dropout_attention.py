"""The task dropout_attention: its mask bit by bit, its probes, and outputs that must not pass."""

import asyncio

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.evaluation.measurement.judge import expect, judge
from avo_tui.evaluation.problems import dropout, dropout_mask
from tests.kernels.wrong_masks import HEADS, MUTANTS, REAL, SMALL, judged, run, shipped

Pair = tuple[int, int]
Words = tuple[int, int, int, int]

TASK = shipped("dropout_attention")
WORD = 0xFFFFFFFF
DROP = 429_496_730
VECTORS = (  # published with Random123: counter, key, words
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((WORD,) * 4, (WORD,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


def philox_of_integers(counter: Words, key: Pair, rounds: int = 10) -> Words:
    """Philox4x32 as it is written down in the task's description, with Python's integers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        a, b = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & WORD, (a >> 32) ^ c3 ^ k1, a & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return c0, c1, c2, c3


def kept(seed: Pair, head: int, row: int, key: int, rounds: int = 10) -> bool:
    counter = (key // 2, 8 * (row // 16) + row % 8, head, 0)
    words = philox_of_integers(counter, seed, rounds)
    return words[2 * (row // 8 % 2) + key % 2] >= DROP


def seed_tensor(*words: int) -> torch.Tensor:
    return torch.tensor([w - (1 << 32) if w > 1 << 31 else w for w in words], dtype=torch.int32)


@pytest.mark.parametrize(("counter", "key", "words"), VECTORS)
def test_philox_gives_the_published_words(counter: Words, key: Pair, words: Words) -> None:
    def tensors(values: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(torch.tensor(v) for v in values)

    assert tuple(map(int, dropout_mask.philox(tensors(counter), tensors(key)))) == words
    assert philox_of_integers(counter, key) == words


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(0, WORD), st.integers(0, WORD)),
    st.integers(0, 511),
    st.integers(0, 500),
    st.data(),
)
def test_every_element_has_the_word_that_the_description_says(
    seed: Pair, head: int, block: int, data: st.DataObject
) -> None:
    start = 16 * block
    mask = dropout_mask.keep_mask(seed_tensor(*seed), head, start, start + 32, 256)
    assert mask.shape == (32, 256)
    for _ in range(8):
        row, key = data.draw(st.integers(0, 31)), data.draw(st.integers(0, 255))
        assert bool(mask[row, key]) == kept(seed, head, start + row, key)


def test_a_block_of_rows_is_that_part_of_the_whole() -> None:
    seed = seed_tensor(7, 0x9000_0000)
    whole = dropout_mask.keep_mask(seed, 3, 0, 256, 512)
    assert torch.equal(whole[64:192], dropout_mask.keep_mask(seed, 3, 64, 192, 512))


def test_the_keep_rate_is_nine_tenths_everywhere() -> None:
    """Within five standard deviations over all, over the rows and over the keys."""
    mask = torch.stack(
        [dropout_mask.keep_mask(seed_tensor(5, 6), h, 0, 512, 512) for h in range(8)]
    ).double()
    deviation = 0.3
    assert abs(mask.mean() - 0.9) < 5 * deviation / mask.numel() ** 0.5
    for axes in ((0, 1), (0, 2), (1, 2)):
        means = mask.mean(dim=axes)
        count = mask.numel() // means.numel()
        assert (means - 0.9).abs().max() < 5 * deviation / count**0.5


def test_masks_of_heads_rows_keys_and_seeds_are_uncorrelated() -> None:
    def centred(seed: Pair, head: int) -> torch.Tensor:
        return dropout_mask.keep_mask(seed_tensor(*seed), head, 0, 512, 512).double() - 0.9

    first = centred((1, 2), 0)
    others = {
        "another head": centred((1, 2), 1),
        "another seed": centred((2, 2), 0),
        "another second word of the seed": centred((1, 3), 0),
        "the next row": first.roll(1, 0),
        "eight rows on": first.roll(8, 0),
        "the next key": first.roll(1, 1),
        "the next pair of keys": first.roll(2, 1),
        "rows and keys exchanged": first.T,
    }
    for name, other in others.items():
        correlation = float((first * other).mean()) / 0.09
        assert abs(correlation) < 5 / 512, name


def test_an_honest_output_passes() -> None:
    for distribution in dropout.CATEGORIES:
        assert judged(TASK, distribution).ok, distribution


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_mask_does_not_pass_the_probe(name: str) -> None:
    assert not judged(TASK, "probe", MUTANTS[name]).ok


@pytest.mark.parametrize("name", [n for n in MUTANTS if "of 524,288" not in n])
def test_a_mask_that_is_right_in_probes_alone_does_not_pass_plain_inputs(name: str) -> None:
    """So it helps nobody to look whether the inputs are a probe's."""
    assert not judged(TASK, "normal", MUTANTS[name]).ok


@pytest.mark.parametrize("rounds", [7, 9, 11])
def test_another_number_of_rounds_does_not_pass(rounds: int) -> None:
    def mask(seed: torch.Tensor, head: int, start: int, stop: int, keys: int) -> torch.Tensor:
        with pytest.MonkeyPatch.context() as patch:
            philox = dropout_mask.philox
            patch.setattr(dropout_mask, "philox", lambda c, k: philox(c, k, rounds))
            return REAL(seed, head, start, stop, keys)

    assert not judged(TASK, "probe", mask).ok
    assert not judged(TASK, "normal", mask).ok


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.11])
def test_a_wrong_scale_of_what_is_kept_does_not_pass(rate: float) -> None:
    assert not judged(TASK, "normal", DROPOUT=rate).ok


def test_a_denominator_without_the_dropped_keys_does_not_pass() -> None:
    inputs = TASK.make_inputs(SMALL, 12, "normal")
    reference, own = TASK.reference(SMALL, inputs)["o"], TASK.own(SMALL, inputs)["o"]
    total = torch.empty(*own.shape[:3], 1)
    q, k, _ = dropout.project(SMALL, torch.nn.functional.linear(inputs["x"], inputs["w"]))
    for b in range(2):
        for h in range(HEADS):
            weights = torch.softmax(q[b, h].float() @ k[b, h // 2].float().T * dropout.SCALE, -1)
            kept_sum = (weights * REAL(inputs["seed"], b * HEADS + h, 0, 256, 256)).sum(-1)
            total[b, :, h, 0] = kept_sum / 0.9
    out = (own.float() / total).to(own.dtype)
    assert not judge("o", out, expect(reference, own, TASK.tolerance)).ok


@pytest.mark.parametrize("keys", [128, 384, 640])
def test_a_probe_tells_every_key_of_a_short_sequence_and_512_of_a_long_one(keys: int) -> None:
    """Every key that is told of feeds one column, as one of four binary digits of it."""
    configuration = dropout.shape("probe", 1, keys, 192, 2, 1)
    inputs = TASK.make_inputs(configuration, 3, "probe")
    y = torch.nn.functional.linear(inputs["x"], inputs["w"])
    values = dropout.project(configuration, y)[2][0, 0].float()
    told = values != 0
    assert told.sum() == min(keys, 512)
    assert told.sum(dim=1).max() == 1
    for column in range(128):
        digits = values[told[:, column], column].sort().values
        assert digits.tolist() == [2.0**i for i in range(len(digits))]


def test_any_one_flipped_key_that_is_told_of_shows_in_every_row() -> None:
    configuration = dropout.shape("probe", 1, 256, 192, 2, 1)
    inputs = TASK.make_inputs(configuration, 3, "probe")
    reference = TASK.reference(configuration, inputs)["o"]
    own = TASK.own(configuration, inputs)["o"]
    limit = 2 * (own.float() - reference).abs().amax(-1) + reference.abs().amax(-1) / 128
    for key in range(0, 256, 17):

        def flipped(
            seed: torch.Tensor, head: int, start: int, stop: int, keys: int, key: int = key
        ) -> torch.Tensor:
            mask = REAL(seed, head, start, stop, keys)
            mask[:, key] ^= True
            return mask

        error = (run(TASK, configuration, inputs, flipped).float() - reference).abs().amax(-1)
        assert (error > limit).all(), key


def test_inputs_are_a_function_of_the_seed_and_the_key_is_drawn_anew() -> None:
    first, again = (TASK.make_inputs(SMALL, 4, "normal") for _ in range(2))
    other = TASK.make_inputs(SMALL, 5, "normal")
    for name in ("x", "w", "seed"):
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


def test_every_scored_shape_fits_the_workspace_that_a_manifest_may_have() -> None:
    for configuration in TASK.configurations:
        names = TASK.names(configuration)
        y = names["TOKENS"] * names["COLUMNS"] * 2
        bits = names["BATCH"] * names["HEADS"] * names["SEQ"] ** 2 // 8
        assert y + bits + 4096 < 1 << 30


def test_the_seed_compiles() -> None:
    from avo_tui.evaluation.backends.cuda.backend import CudaBackend
    from tests.evaluation.cuda.cuda_helpers import context

    compiled = asyncio.run(
        CudaBackend(architecture="sm_90a").compile(TASK, TASK.seed(), context()[0])
    )
    assert compiled.resources.spill_bytes == 0
