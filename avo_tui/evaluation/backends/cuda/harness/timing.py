"""Timing candidates beside baselines, call by call, in one process on one stream.

Before every timed call, of a candidate and of a baseline alike, the inputs get new values and the
outputs are poisoned: nothing can be remembered from an earlier call, the caches hold the same for
all, and the GPU is busy while the host queues the call, so that the host's time is hidden.
Baselines read inputs of their own: the right answer to a candidate's inputs is nowhere on the GPU.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.harness.launch import Module, Preparer, Runner, synchronize
from avo_tui.evaluation.backends.cuda.harness.memory import Buffers
from avo_tui.evaluation.backends.cuda.planned import LaunchPlan
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.task import prepare_baseline

SETS = 2
"""Rotating sets of a candidate's buffers."""
ROUNDS = 24
MIN_BASELINE_ROUNDS = 8
EVERY = 3
"""Baselines that no ratio is taken against join one round in three."""
QUEUE_CYCLES = 200_000
"""The GPU idles so long, 0.1 ms, before a timed call: the host has queued all of it by then."""


@dataclass
class Participant:
    """Something that is timed: `prepare` is untimed, `call` is timed; both only queue work."""

    name: str
    prepare: Callable[[int], None]
    call: Callable[[], None]
    samples: list[float] = field(default_factory=list)
    """Milliseconds."""
    after: Callable[[int], None] | None = None
    """Called with the seed once the GPU is done, on rounds that are to be verified."""


class Candidate:
    """A candidate with its rotating sets of buffers, on one configuration."""

    def __init__(
        self,
        task: CudaTask,
        configuration: Configuration,
        plan: LaunchPlan,
        load: Callable[[], Module],
        seed: int,
    ) -> None:
        """`load` gives a fresh copy of the cubin at each call."""
        self._task = task
        self._configuration = configuration
        specs = task.tensors(configuration)
        self.sets = [Buffers(specs, plan.workspaces, seed + i) for i in range(SETS)]
        self._modules = [load(), load()]
        self._runners = [Runner(plan, self._modules[0], buffers) for buffers in self.sets]
        self._preparers = [Preparer(plan, self._modules[1], buffers) for buffers in self.sets]
        self._turn = 0

    def prepare(self, seed: int) -> None:
        """New values in the next set's inputs, poison in its outputs and workspaces.

        Weights are new too, so the candidate's prepare stages run again.
        """
        self._turn = (self._turn + 1) % SETS

        def fill(inputs: dict[str, torch.Tensor]) -> None:
            self._task.fill(self._configuration, seed, "normal", inputs)

        self._preparers[self._turn](fill, seed & 0xFF)

    @property
    def prepare_milliseconds(self) -> float:
        """What the prepare stages took for the last run; 0 where there are none."""
        return self._preparers[self._turn].milliseconds

    def call(self) -> None:
        """One run on the set that was prepared last."""
        self._runners[self._turn]()

    @property
    def current(self) -> Buffers:
        """The set that was prepared last."""
        return self.sets[self._turn]

    def damage(self) -> str:
        """The first damaged guard band or persistent workspace of any set."""
        for buffers in self.sets:
            if damage := buffers.damage():
                return damage
            for name in buffers.changed_persistent():
                return f"workspace {name!r} is persistent, but a timed stage wrote to it"
        return ""

    def free(self) -> None:
        """Gives all memory back."""
        for buffers in self.sets:
            buffers.free()
        for module in self._modules:
            module.unload()


class Baseline:
    """A library implementation on inputs of its own."""

    def __init__(
        self,
        task: CudaTask,
        configuration: Configuration,
        function: Callable[[Configuration, dict[str, torch.Tensor]], Any],
        inputs: dict[str, torch.Tensor],
        waste: torch.Tensor,
    ) -> None:
        self._task, self._configuration, self._function = task, configuration, function
        self._inputs, self._waste = inputs, waste

    def prepare(self, seed: int) -> None:
        """As much writing as a candidate's preparation does, and the library's own preparation."""
        self._task.fill(self._configuration, seed, "normal", self._inputs)
        prepare_baseline(self._function, self._configuration, self._inputs)
        self._waste.fill_(0)

    def call(self) -> None:
        """One call of the library."""
        self._function(self._configuration, self._inputs)


def _timed(participant: Participant, seed: int) -> tuple[torch.cuda.Event, torch.cuda.Event]:
    start = torch.cuda.Event(enable_timing=True)
    stop = torch.cuda.Event(enable_timing=True)
    participant.prepare(seed)
    torch.cuda._sleep(QUEUE_CYCLES)
    start.record()
    participant.call()
    stop.record()
    return start, stop


def once(participant: Participant, seed: int) -> float:
    """Milliseconds of one call, waited for."""
    start, stop = _timed(participant, seed)
    synchronize(f"running {participant.name}")
    return float(start.elapsed_time(stop))


@dataclass(frozen=True)
class Schedule:
    """How much to measure."""

    rounds: int
    """Rounds with the candidate in them."""
    extra: int
    """Further rounds of the baselines alone."""
    verify: frozenset[int]
    """Rounds whose output is kept to be judged."""


def schedule(milliseconds: float, budget: float, verify: int, pick: random.Random) -> Schedule:
    """Rounds for a candidate that takes so long, within `budget` seconds of its own time."""
    affordable = int(budget * 1e3 / max(milliseconds, 1e-3))
    least = 3 if milliseconds < 1e3 else 2 if milliseconds < 3e3 else 1
    rounds = max(least, min(ROUNDS, affordable))
    kept = frozenset(pick.sample(range(rounds), min(verify, rounds)))
    return Schedule(rounds, max(0, MIN_BASELINE_ROUNDS - rounds), kept)


def warm(
    participants: list[Participant], seconds: float, seed: int, alive: Callable[[], None]
) -> None:
    """Runs all in turn for `seconds`, each at least once; `alive` is called after every run."""
    began = time.monotonic()
    turn = 0
    while turn == 0 or time.monotonic() - began < seconds:
        for participant in participants:
            if turn and time.monotonic() - began >= seconds:
                break
            once(participant, seed + turn)
            alive()
        turn += 1


def interleave(
    participants: list[Participant],
    candidate: Participant,
    reference: str,
    plan: Schedule,
    pick: random.Random,
    alive: Callable[[], None],
) -> None:
    """Times all participants, every round in another order; the last rounds baselines only."""
    thin = plan.rounds >= EVERY * MIN_BASELINE_ROUNDS
    for number in range(plan.rounds + plan.extra):
        order = [
            p
            for p in participants
            if (p is not candidate or number < plan.rounds)
            and (p is candidate or p.name == reference or not thin or number % EVERY == 0)
        ]
        pick.shuffle(order)
        pending = []
        for participant in order:
            seed = pick.getrandbits(48)
            keep = number in plan.verify and participant.after is not None
            events = _timed(participant, seed)
            if participant is candidate:
                synchronize(f"running {participant.name}")
            if keep and participant.after is not None:
                participant.after(seed)
            pending.append((participant, events))
        synchronize("timing")
        alive()
        for participant, (start, stop) in pending:
            participant.samples.append(start.elapsed_time(stop))


def alternate(
    first: Participant,
    second: Participant,
    rounds: int,
    verify: frozenset[int],
    pick: random.Random,
    alive: Callable[[], None],
) -> None:
    """Times two candidates A B B A; every second round B A A B. Two samples a round each."""
    for number in range(rounds):
        a, b = (first, second) if number % 2 == 0 else (second, first)
        pending = []
        for position, participant in enumerate((a, b, b, a)):
            seed = pick.getrandbits(48)
            events = _timed(participant, seed)
            synchronize(f"running {participant.name}")
            if number in verify and position < 2 and participant.after is not None:
                participant.after(seed)
            pending.append((participant, events))
            alive()
        for participant, (start, stop) in pending:
            participant.samples.append(start.elapsed_time(stop))


def gemm_ceiling() -> float:
    """Operations per second of a large bf16 matrix product through the library: the median of 9."""
    size = 8192
    a = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    out = torch.empty_like(a)
    found: list[float] = []
    for _ in range(12):
        start = torch.cuda.Event(enable_timing=True)
        stop = torch.cuda.Event(enable_timing=True)
        start.record()
        torch.mm(a, b, out=out)
        stop.record()
        torch.cuda.synchronize()
        found.append(float(start.elapsed_time(stop)))
    return 2.0 * size**3 / (sorted(found[3:])[4] * 1e-3)
