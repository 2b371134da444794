"""Timing calls: of a candidate beside baselines in one process, or of one side of a pair.

Before every timed call, of a candidate and of a baseline alike, the inputs get new values and the
outputs are poisoned: nothing can be remembered from an earlier call, the caches hold the same for
all, and the GPU is busy while the host queues the call, so that the host's time is hidden.
Every output of a timed call of a candidate is compared (`Watched`).
Baselines read inputs of their own: the right answer to a candidate's inputs is nowhere on the GPU.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.harness.candidate import Candidate, Fingerprints
from avo_tui.evaluation.backends.cuda.harness.launch import synchronize
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement.statistics import Plan, Turn, per_kind
from avo_tui.evaluation.task import prepare_baseline

QUEUE_CYCLES = 200_000
"""Initial idle time of the GPU before a timed call, in clock cycles (about 0.1 ms). The host must
have queued the whole call by then. If it has not, the time is doubled for that participant and the
call is timed again."""
MOST_QUEUE_CYCLES = 16 * QUEUE_CYCLES


@dataclass
class Participant:
    """Something that is timed: `prepare` is untimed, `call` is timed; both only queue work."""

    name: str
    prepare: Callable[[int, str], None]
    """Takes a seed and a distribution."""
    call: Callable[[], None]
    samples: list[float] = field(default_factory=list)
    """Milliseconds."""
    queue_cycles: int = QUEUE_CYCLES


@dataclass(frozen=True)
class Inputs:
    """One of the few sets of inputs used for the timed calls of a candidate."""

    seed: int
    distribution: str


HandOver = Callable[[Inputs, Candidate], None]
"""Gives the outputs of the run before to whoever judges them, and waits until they are taken."""


class VerifiedTiming:
    """A candidate's timed calls: every output is compared.

    Of the calls on the same inputs one is handed over and judged in full; the outputs of the
    others must have the same bits, seen by a fingerprint. Inputs must be unchanged by every call.
    """

    def __init__(
        self,
        name: str,
        candidate: Candidate,
        kinds: Sequence[str],
        hand_over: HandOver,
        pick: random.Random,
    ) -> None:
        """`kinds` are the distributions of its timed inputs."""
        self.candidate = candidate
        self.participant = Participant(name, candidate.prepare, candidate.call)
        self.trouble: dict[str, str] = {}
        """First problem of each kind: `differs` or `changed` → description of where."""
        self._hand_over = hand_over
        self._fingerprints = Fingerprints(pick.getrandbits(48))
        each = per_kind(len(kinds))
        self.inputs = [Inputs(pick.getrandbits(48), kind) for kind in kinds for _ in range(each)]
        self._true = [
            self._fingerprints.of_all(candidate.inputs_again(i.seed, i.distribution))
            for i in self.inputs
        ]
        """Fingerprints of the inputs before any run."""
        self._outputs: dict[int, dict[str, int]] = {}
        """Fingerprints of the outputs of the first timed call on each set of inputs."""

    def any_inputs(self, pick: random.Random) -> Inputs:
        """Inputs for a call that is not timed; it looks like one that is."""
        return pick.choice(self.inputs)

    def after(self, number: int, turn: Turn) -> None:
        """Looks at what the timed call of this turn left, once the GPU is done with it."""
        buffers = self.candidate.current
        changed = _different(self._fingerprints.of_all(buffers.inputs), self._true[turn.inputs])
        changed += self.candidate.changed_persistent()
        if changed:
            self.trouble.setdefault("changed", ", ".join(changed))
        now = self._fingerprints.of_all(buffers.outputs)
        if names := _different(now, self._outputs.setdefault(turn.inputs, now)):
            self.trouble.setdefault("differs", f"{', '.join(names)}, timed call {number + 1}")
        if turn.judged:
            self._hand_over(self.inputs[turn.inputs], self.candidate)


def _different(now: dict[str, int], before: dict[str, int]) -> list[str]:
    return [name for name, value in now.items() if before[name] != value]


class Baseline:
    """A library implementation with its own inputs."""

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

    def prepare(self, seed: int, distribution: str) -> None:
        """As much writing as a candidate's preparation does, and the library's own preparation."""
        self._task.fill(self._configuration, seed, distribution, self._inputs)
        prepare_baseline(self._function, self._configuration, self._inputs)
        self._waste.fill_(0)

    def call(self) -> None:
        """One call of the library."""
        self._function(self._configuration, self._inputs)


def _timed(
    participant: Participant, seed: int, distribution: str
) -> tuple[torch.cuda.Event, torch.cuda.Event]:
    """Queues a call between two events; the host's own time is not between them."""
    while True:
        start = torch.cuda.Event(enable_timing=True)
        stop = torch.cuda.Event(enable_timing=True)
        participant.prepare(seed, distribution)
        torch.cuda._sleep(participant.queue_cycles)
        start.record()
        participant.call()
        stop.record()
        # Where the clock runs already, the GPU may have waited for the host.
        if not start.query() or participant.queue_cycles >= MOST_QUEUE_CYCLES:
            return start, stop
        participant.queue_cycles *= 2


def once(participant: Participant, inputs: Inputs) -> float:
    """Milliseconds of one call, waited for."""
    start, stop = _timed(participant, inputs.seed, inputs.distribution)
    synchronize(f"running {participant.name}")
    return float(start.elapsed_time(stop))


def run_prepared(candidate: Candidate) -> float:
    """Milliseconds of one run on what was prepared; looks from inside like a timed call."""
    start = torch.cuda.Event(enable_timing=True)
    stop = torch.cuda.Event(enable_timing=True)
    synchronize("preparing")
    torch.cuda._sleep(QUEUE_CYCLES)
    start.record()
    candidate.call()
    stop.record()
    synchronize("running")
    return float(start.elapsed_time(stop))


def warm(
    participants: Sequence[Participant],
    inputs: Callable[[Participant], Inputs],
    seconds: float,
    alive: Callable[[], None],
) -> None:
    """Runs all in turn for `seconds`, each at least once; `alive` is called after every run."""
    began = time.monotonic()
    turn = 0
    while turn == 0 or time.monotonic() - began < seconds:
        for participant in participants:
            if turn and time.monotonic() - began >= seconds:
                break
            once(participant, inputs(participant))
            alive()
        turn += 1


def interleave(
    us: VerifiedTiming,
    turns: Sequence[Turn],
    baselines: Sequence[Participant],
    reference: str,
    pick: random.Random,
    alive: Callable[[], None],
) -> None:
    """Times candidate and baselines, every round in another order; the last rounds baselines only.

    All of a round get inputs of the same distribution; baselines get values of their own.
    """
    plan = Plan()
    extra = max(0, plan.baseline_rounds - len(turns))
    thin = len(turns) >= plan.thin * plan.baseline_rounds
    for number in range(len(turns) + extra):
        turn = turns[number] if number < len(turns) else None
        kind = us.inputs[turn.inputs].distribution if turn else us.any_inputs(pick).distribution
        order = [p for p in baselines if p.name == reference or not thin or number % plan.thin == 0]
        if turn is not None:
            order.append(us.participant)
        pick.shuffle(order)
        pending = []
        for participant in order:
            if participant is us.participant and turn is not None:
                events = _timed(participant, us.inputs[turn.inputs].seed, kind)
                synchronize(f"running {participant.name}")
                us.after(number, turn)
            else:
                events = _timed(participant, pick.getrandbits(48), kind)
            pending.append((participant, events))
        synchronize("timing")
        alive()
        for participant, (start, stop) in pending:
            participant.samples.append(start.elapsed_time(stop))


def take_turn(watched: VerifiedTiming, number: int, turn: Turn) -> None:
    """Times a candidate's call alone, while the other side of a pair waits in its own process."""
    participant = watched.participant
    inputs = watched.inputs[turn.inputs]
    start, stop = _timed(participant, inputs.seed, inputs.distribution)
    synchronize(f"running {participant.name}")
    watched.after(number, turn)
    participant.samples.append(start.elapsed_time(stop))


def gemm_ceiling() -> float:
    """Operations per second of a large bf16 matrix product through the library: the median of 9."""
    size = 8192
    a = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    out = torch.empty_like(a)
    times: list[float] = []
    for _ in range(12):
        start = torch.cuda.Event(enable_timing=True)
        stop = torch.cuda.Event(enable_timing=True)
        start.record()
        torch.mm(a, b, out=out)
        stop.record()
        torch.cuda.synchronize()
        times.append(float(start.elapsed_time(stop)))
    return 2.0 * size**3 / (sorted(times[3:])[4] * 1e-3)
