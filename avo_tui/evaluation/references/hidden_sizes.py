"""Sizes of a derived task's hidden cases: drawn for each session.

Whoever has the task's folder reads `reference.json`, and an agent with a shell has it. So what
stands there are patterns, and the sizes of the check are drawn near them, by a secret that is not
in that folder (`measurement.drawing`): another session has others.
"""

from __future__ import annotations

import random

from avo_tui.evaluation.measurement.drawing import chance_for, evenly
from avo_tui.evaluation.references.spec import ABOVE, FAR, Case, ReferenceSpec, Sizes

OTHER_SIZES = (3, 17, 46, 1, 131, 79, 36, 101)
"""Patterns of an axis in hidden cases, unless the axis itself is smaller. Those above 16 leave
every remainder by 4, and most by 8: what is left at the end of a loop is handled apart."""
FIXED = 16
"""Up to this a size is a special case by itself, and is used as it is."""
STEP = 8
"""Sizes move by multiples of it, so that they keep the remainders of the pattern."""


def other_sizes(full: int) -> list[int]:
    """Patterns for an axis that is scored at `full`, none above it.

    Those of `OTHER_SIZES` that fit; where some do not, the sizes just below `full` in their place.
    """
    sizes = [size for size in OTHER_SIZES if size <= full]
    below = [size for size in range(full - 1, max(0, full - 4), -1) if size not in sizes]
    return [*sizes, *below][: len(OTHER_SIZES)] or [full]


def near(case: Case, full: Sizes, chance: random.Random) -> Sizes:
    """Sizes near those of a hidden case, none above what is scored where the case has none."""
    sizes = {}
    for axis, size in case.sizes.items():
        least, most = max(FIXED + 1, size - size // 3), min(full[axis], size + max(16, size // 3))
        if case.name == f"{ABOVE}{axis}":
            least, most = full[axis] + 1, size + size // 4
        elif case.name == f"{FAR}{axis}":
            sizes[axis] = evenly(full[axis] * 3 // 2 + 1, size, chance)
            continue
        fitting = [n for n in range(size % STEP, most + 1, STEP) if n >= least]
        sizes[axis] = chance.choice(fitting) if size > FIXED else size
    return case.sizes if sizes == full else sizes


def with_drawn_sizes(spec: ReferenceSpec) -> ReferenceSpec:
    """The spec with sizes of this session in those hidden cases that are patterns.

    Their other figures are those of the pattern.
    """
    chance = chance_for(spec.name)
    full = spec.scored[0].sizes
    hidden = (c.replaced(sizes=near(c, full, chance)) if c.pattern else c for c in spec.hidden)
    return spec.replaced(hidden=tuple(hidden))
