"""Student's t distribution: tail probability and quantile.

Tail probabilities come from the regularised incomplete beta function, evaluated by its continued
fraction (NIST Digital Library of Mathematical Functions, 8.17.22) with the modified Lentz method.
"""

from __future__ import annotations

import math
from functools import lru_cache

_TINY = 1e-300
_PRECISION = 1e-14
_TERMS = 500


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of I_x(a, b); converges fast for x < (a + 1) / (a + b + 2)."""

    def bounded(value: float) -> float:
        return value if abs(value) > _TINY else _TINY

    c = 1.0
    d = 1 / bounded(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / bounded(1 + term * d)
            c = bounded(1 + term / c)
            result *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return result


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b) for 0 ≤ x ≤ 1."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    front = math.exp(log_front)
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(x, a, b) / a
    return 1 - front * _beta_fraction(1 - x, b, a) / b


def tail(t: float, df: float) -> float:
    """P(T > t) of Student's t with `df` degrees of freedom. Raises ValueError for df ≤ 0."""
    if df <= 0:
        raise ValueError(f"degrees of freedom must be positive, not {df}")
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    upper = 0.5 * _incomplete_beta(df / (df + t * t), df / 2, 0.5)
    return upper if t >= 0 else 1 - upper


@lru_cache(maxsize=4096)
def quantile(probability: float, df: float) -> float:
    """The t that is exceeded with `probability`, which is above 0 and at most 0.5.

    Found by bisection to ten digits. Raises ValueError for a probability out of that range.
    """
    if not 0 < probability <= 0.5:
        raise ValueError(f"a tail probability is above 0 and at most 0.5, not {probability}")
    low, high = 0.0, 1.0
    while tail(high, df) > probability:
        low, high = high, high * 2
    for _ in range(100):
        middle = (low + high) / 2
        if tail(middle, df) > probability:
            low = middle
        else:
            high = middle
        if high - low <= 1e-10 * high:
            break
    return (low + high) / 2
