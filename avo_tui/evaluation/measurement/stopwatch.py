"""Measures the phases of a stage in seconds, such as `inputs`, `samples` or `judging`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Stopwatch:
    """Adds up the seconds that pass in named phases; of nested ones the outermost counts."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = False

    def add(self, name: str, seconds: float) -> None:
        """Counts seconds that were measured elsewhere."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the time inside towards `name`, unless another phase is being counted."""
        if self._inside:
            yield
            return
        self._inside = True
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)
            self._inside = False
