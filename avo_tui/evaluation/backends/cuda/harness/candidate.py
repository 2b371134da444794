"""A candidate on one configuration, with its buffers and code.

In the check, in the benchmark and at the gate alike, a run finds nothing left from an earlier run:
inputs have new values, outputs contain NaN, workspaces contain junk, shared memory is overwritten
on every multiprocessor, and a cubin with variables of its own is loaded again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.harness.launch import Buffers, Module, Preparer, Runner
from avo_tui.evaluation.backends.cuda.launch_plan import LaunchPlan
from avo_tui.evaluation.backends.cuda.task import CudaTask

SETS = 2
"""Rotating sets of a candidate's buffers."""
WEIGHTS = 4096
"""Different weights of a fingerprint; longer tensors use them again, row by row."""
NAN_JUNK = 0xFF

Fill = Callable[[dict[str, torch.Tensor]], None]
"""Writes all inputs, the same at each call."""


class Fingerprints:
    """64-bit sums of a tensor's bits with secret odd weights: equal bits have equal sums.

    Two tensors that differ have the same sum with a chance of about 2^-60, unless one was made
    with the weights known.
    """

    def __init__(self, seed: int, device: str = "cuda") -> None:
        self._generator = torch.Generator(device=device).manual_seed(seed)
        self._columns = self._draw(WEIGHTS + 8)
        self._rows = self._draw(WEIGHTS)

    def _draw(self, count: int) -> torch.Tensor:
        low, high = -(2**62), 2**62
        drawn = torch.randint(
            low, high, (count,), generator=self._generator, device=self._generator.device
        )
        return drawn * 2 + 1

    def of(self, tensor: torch.Tensor) -> int:
        """The sum for a contiguous tensor; waits for the GPU."""
        flat = tensor.reshape(-1).view(torch.uint8)
        words = flat[: len(flat) // 8 * 8].view(torch.int64)
        count = len(words) // WEIGHTS
        # What does not fill a row: words, and the last bytes each as a word.
        rest = torch.cat([words[count * WEIGHTS :], flat[len(words) * 8 :].long()])
        total = (rest * self._columns[: len(rest)]).sum()
        while len(self._rows) < count:
            self._rows = torch.cat([self._rows, self._draw(len(self._rows))])
        rows = words[: count * WEIGHTS].view(count, WEIGHTS)
        by_row = (rows * self._columns[:WEIGHTS]).sum(dim=1)
        return int(total + (by_row * self._rows[:count]).sum())

    def of_all(self, tensors: dict[str, torch.Tensor]) -> dict[str, int]:
        """The sum of each."""
        return {name: self.of(tensor) for name, tensor in tensors.items()}


@dataclass(frozen=True)
class Code:
    """A compiled unit that can be loaded repeatedly."""

    load: Callable[[], Module]
    """Loads another copy of the cubin, with its own variables."""
    fresh: bool
    """True if every run needs its own copy, because the cubin has variables."""


class Candidate:
    """A candidate with its rotating sets of buffers, on one configuration."""

    def __init__(
        self,
        task: CudaTask,
        configuration: Configuration,
        plan: LaunchPlan,
        code: Code,
        seed: int,
        *,
        scrub: Callable[[], None] | None = None,
        bare: bool = False,
    ) -> None:
        """Allocates the buffers and loads the code.

        `seed` draws what lies in buffers that nobody has written. `scrub` overwrites the shared
        memory. `bare` leaves out guard bands, poison and the second set, for a tool that watches
        the memory itself.
        """
        self._task, self.configuration, self._plan = task, configuration, plan
        self._load, self._fresh, self._scrub = code.load, code.fresh, scrub
        self._pick = random.Random(seed)  # noqa: S311 - not a secret
        specs = task.tensors(configuration)
        sets = 1 if bare else SETS
        self.sets = [
            Buffers(specs, plan.workspaces, self._pick.getrandbits(48), bare=bare)
            for _ in range(sets)
        ]
        self._turn = 0
        self._loaded: list[Module] = []
        self._runners: list[Runner] = []
        self._preparers: list[Preparer] = []
        self._bind()

    def _bind(self) -> None:
        """Loads the code, and binds it to every set of buffers."""
        self._unload()
        self._loaded = [self._load(), self._load()]
        self._runners = [Runner(self._plan, self._loaded[0], buffers) for buffers in self.sets]
        self._preparers = [Preparer(self._plan, self._loaded[1], buffers) for buffers in self.sets]

    def _unload(self) -> None:
        while self._loaded:
            self._loaded.pop().unload()

    def prepare(self, seed: int, distribution: str) -> None:
        """Write new inputs into the next set of buffers and remove all traces of earlier runs.

        Weights are new as well, so the candidate's prepare stages run again.
        """

        def fill(inputs: dict[str, torch.Tensor]) -> None:
            self._task.fill(self.configuration, seed, distribution, inputs)

        self.prepare_with(fill)

    def prepare_with(self, fill: Fill) -> None:
        """As `prepare`, with inputs that `fill` writes."""
        self._turn = (self._turn + 1) % len(self.sets)
        if self._fresh:
            torch.cuda.synchronize()
            self._bind()
        self._preparers[self._turn](fill, self._junk())
        if self._scrub is not None:
            self._scrub()

    def inputs_again(self, seed: int, distribution: str) -> dict[str, torch.Tensor]:
        """The same inputs in memory that no candidate has been given."""
        inputs = {name: torch.empty_like(t) for name, t in self.current.inputs.items()}
        self._task.fill(self.configuration, seed, distribution, inputs)
        return inputs

    def _junk(self) -> int:
        """What workspaces hold: NaN in half of the runs, else any byte."""
        return NAN_JUNK if self._pick.random() < 0.5 else self._pick.randrange(256)

    def call(self) -> None:
        """One run on the set that was prepared last."""
        self._runners[self._turn]()

    @property
    def current(self) -> Buffers:
        """The set that was prepared last."""
        return self.sets[self._turn]

    @property
    def prepare_milliseconds(self) -> float:
        """What the prepare stages took for the last run; 0 where there are none."""
        return self._preparers[self._turn].milliseconds

    def damage(self) -> str:
        """The first damaged guard band of any set; empty where all are whole."""
        return next((d for d in (s.damage() for s in self.sets) if d), "")

    def changed_persistent(self) -> list[str]:
        """Persistent workspaces of the current set that a timed stage wrote to."""
        return self.current.changed_persistent()

    def free(self) -> None:
        """Gives all memory back."""
        for buffers in self.sets:
            buffers.free()
        self._unload()
