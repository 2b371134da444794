"""The mask of the tasks with dropout: one 32-bit word of Philox4x32-10 for each element."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DROPOUT = 0.1
DROP_BELOW = round(DROPOUT * 2**32)
"""An element is dropped where its word is below this: probability 0.1 to within 2^-33."""
ROUNDS = 10
"""Rounds of Philox: those of cuRAND and of torch's own dropout, with published test vectors."""
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
WORD = 0xFFFFFFFF


def philox(
    counter: tuple[torch.Tensor, ...], key: tuple[torch.Tensor, ...], rounds: int = ROUNDS
) -> tuple[torch.Tensor, ...]:
    """Philox4x32 (Salmon, Moraes, Dror and Shaw, 2011) on int64 tensors that hold 32-bit words.

    The four words of the counter and the two of the key broadcast against one another; the four
    results need not have the full shape of the broadcast where few rounds are done.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        first, second = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0 = (second >> 32 & WORD) ^ c1 ^ k0
        c2 = (first >> 32 & WORD) ^ c3 ^ k1
        c1, c3 = second & WORD, first & WORD
        k0, k1 = k0 + WEYL[0] & WORD, k1 + WEYL[1] & WORD
    return c0, c1, c2, c3


def keep_mask(seed: torch.Tensor, head: int, start: int, stop: int, keys: int) -> torch.Tensor:
    """The rows [start, stop) of one head's mask, true where an element is kept: (rows, keys), bool.

    `head` is batch · heads + query head; `start` and `stop` are multiples of 16, `keys` is even.
    """
    import torch

    words = seed.to(torch.int64) & WORD
    device = seed.device
    pairs = torch.arange(keys // 2, device=device)
    rows = torch.arange(start // 2, stop // 2, device=device)[:, None]
    other = torch.tensor([head, 0], device=device)
    drawn = philox((pairs, rows, other[0], other[1]), (words[0], words[1]))
    keep = torch.stack([word >= DROP_BELOW for word in drawn], dim=-1)
    # (group of 16 rows, row of 8, pair of keys, half of the 16 rows, key of the pair)
    keep = keep.view(-1, 8, keys // 2, 2, 2).permute(0, 3, 1, 2, 4)
    return keep.reshape(stop - start, keys)
