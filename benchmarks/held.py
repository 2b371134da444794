"""How many bytes the objects hold that can be reached from one object, by its attributes."""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Iterable
from typing import Any

_SHARED = (
    type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType,
    types.CodeType, types.FrameType, types.GetSetDescriptorType, types.MappingProxyType,
)  # fmt: skip
"""What belongs to the program, not to what it has recorded."""


def held_bytes(roots: Iterable[object], seen: set[int]) -> int:
    """Bytes of everything that can be reached from `roots` and is not in `seen` yet.

    `seen` (identities) grows by what was counted, so that nothing is counted twice. Functions,
    classes and modules are left out. C extensions are counted as far as they tell their size.
    """
    total = 0
    stack = [root for root in roots if not isinstance(root, _SHARED)]
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        stack += [held for held in gc.get_referents(one) if not isinstance(held, _SHARED)]
    return total


def held_by_attribute(one: Any, seen: set[int]) -> dict[str, int]:
    """Attribute → bytes that it holds and no attribute before it does."""
    names = {**getattr(one, "__dict__", {})}
    return {name: held_bytes([value], seen) for name, value in names.items()}
