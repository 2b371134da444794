"""Stopping a benchmark early once a candidate is clearly slower than what it must beat.

A sequential sign test by betting (Waudby-Smith and Ramdas, "Estimating means of bounded random
variables by betting", Journal of the Royal Statistical Society B 86, 2024): capital of 1 is staked,
round by round, on "this round is below the mark". If half of the rounds or more are above it, the
capital is a supermartingale, so the chance that it ever reaches 1 / `ERROR` is at most `ERROR`
(Ville's inequality), however often one looks. It uses only on which side a round falls, so outliers
do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

ERROR = 0.01
"""Chance that a configuration as fast as `ALLOWANCE` says is stopped early all the same."""

ALLOWANCE = 0.95
"""Part of the ratio to beat that counts as clearly slower, since the two are of different runs."""

STAKE = 0.9
"""Part of the capital that is staked on each round."""


class Race:
    """Whether one configuration can still reach its mark."""

    def __init__(self, ratio_to_beat: float = 0.0) -> None:
        """`ratio_to_beat` is of the rival's throughput to the reference baseline's; 0: no race."""
        self._mark = ratio_to_beat * ALLOWANCE
        self.over = False
        """True once it was lost."""

    def lost(self, ratios: Sequence[float]) -> bool:
        """True once the ratios to the reference baseline, one a round, are below the mark."""
        if self._mark <= 0:
            return False
        capital = 1.0
        for ratio in ratios:
            capital *= 1 + STAKE if ratio < self._mark else 1 - STAKE
            if capital >= 1 / ERROR:
                self.over = True
                break
        return self.over


def stopped_early(samples: int) -> str:
    """The remark on a configuration's score."""
    return f"stopped early: clearly slower after {samples} samples"
