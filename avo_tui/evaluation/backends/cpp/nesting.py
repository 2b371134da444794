"""The loops of a function of machine code, by its control flow.

A loop is what compilers call a natural loop: blocks that can reach a jump back to a header through
which alone they are entered. Compilers move blocks about, so ranges of addresses tell little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_ROOT = -1
"""Stands for whatever enters the function, before block 0."""


def natural_loops(following: Sequence[Sequence[int]]) -> dict[int, frozenset[int]]:
    """Header → the blocks of its loop, the header included.

    `following[i]` are the blocks that can run after block `i`; block 0 is entered first. What
    cannot be reached from there is in no loop.
    """
    if not following:
        return {}
    before: dict[int, list[int]] = {i: [] for i in range(len(following))}
    order = _order(following)
    for block, targets in enumerate(following):
        for target in targets if block in order else ():
            before[target].append(block)
    parent = _dominators(order, before)
    loops: dict[int, set[int]] = {}
    for block, targets in enumerate(following):
        for header in targets:
            if _dominates(header, block, parent, order):
                loops.setdefault(header, {header}).update(_body(header, block, before))
    return {header: frozenset(body) for header, body in loops.items()}


def depths(loops: Mapping[int, frozenset[int]], blocks: int) -> list[int]:
    """Block → how many loops contain it."""
    depth = [0] * blocks
    for body in loops.values():
        for block in body:
            depth[block] += 1
    return depth


def innermost(loops: Mapping[int, frozenset[int]]) -> list[int]:
    """Headers of the loops that contain no other loop."""
    return [
        header
        for header, body in loops.items()
        if not any(other in body for other in loops if other != header)
    ]


def _order(following: Sequence[Sequence[int]]) -> dict[int, int]:
    """Block that can be reached → its number in reverse postorder, in which a block follows its
    dominators."""
    done: list[int] = []
    seen = {0}
    stack = [(0, iter(following[0]))]
    while stack:
        block, targets = stack[-1]
        target = next((t for t in targets if t not in seen), None)
        if target is None:
            done.append(block)
            stack.pop()
        else:
            seen.add(target)
            stack.append((target, iter(following[target])))
    return {_ROOT: 0} | {block: i for i, block in enumerate(reversed(done), start=1)}


def _dominators(order: Mapping[int, int], before: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Block → its immediate dominator (Cooper, Harvey and Kennedy, "A simple, fast dominance
    algorithm")."""
    parent = {_ROOT: _ROOT}
    changed = True
    while changed:
        changed = False
        for block in order:
            if block == _ROOT:
                continue
            known = [_ROOT] if block == 0 else [p for p in before[block] if p in parent]
            new = known[0]
            for other in known[1:]:
                new = _common(new, other, parent, order)
            if parent.get(block) != new:
                parent[block] = new
                changed = True
    return parent


def _common(one: int, other: int, parent: Mapping[int, int], order: Mapping[int, int]) -> int:
    while one != other:
        while order[one] > order[other]:
            one = parent[one]
        while order[other] > order[one]:
            other = parent[other]
    return one


def _dominates(
    header: int, block: int, parent: Mapping[int, int], order: Mapping[int, int]
) -> bool:
    if block not in parent:
        return False  # nothing leads there
    while order[block] > order[header]:
        block = parent[block]
    return block == header


def _body(header: int, latch: int, before: Mapping[int, Sequence[int]]) -> set[int]:
    """The blocks that reach `latch` without passing the header."""
    body = {header}
    stack = [latch]
    while stack:
        block = stack.pop()
        if block not in body:
            body.add(block)
            stack += before[block]
    return body
