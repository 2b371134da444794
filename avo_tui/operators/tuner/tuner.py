"""The operator `tuner`: a step tries some proposals and ends when the gate accepts one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from avo_tui.domain import events as ev
from avo_tui.domain import tunables as tn
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.difference import edited
from avo_tui.domain.records import Attempt, Author, Hint, PlanItem
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.ports import AttemptResult, Interrupted, StepOutcome, Workbench
from avo_tui.operators.tuner.archive import Archive, Tried
from avo_tui.operators.tuner.pins import read_hint
from avo_tui.operators.tuner.propose import Child, Space, propose
from avo_tui.operators.tuner.settings import TunerSettings


class Tuner:
    """Mutation and crossover of declared tunables. Needs no key and no network.

    Its choices depend only on the session's records and the random seed, so that an interrupted
    step continues as it would have without the interruption.
    """

    author: Author = "tuner"

    def __init__(self, settings: RunSettings) -> None:
        self._memory = TunerSettings.of(settings).remembers
        self._known = Archive(limit=self._memory)
        self._taken: dict[tuple[int, int], None] = {}
        """(step, number) of the attempts in the archive, oldest first."""
        self._tried_of = ""
        """Id of the candidate whose tunables are varied."""
        self._tried: set[frozenset[tuple[str, str]]] = set()
        """Points of that candidate known to be tried; others are looked up in the records."""

    async def vary(self, bench: Workbench) -> StepOutcome:
        """Make one step: propose, measure, ask the gate, up to the number of attempts that is
        set."""
        while True:
            attempts = bench.reading.attempts(bench.reading.step)
            undecided = sorted((a for a in attempts if a.undecided), key=lambda a: -a.aggregate)
            if undecided:
                outcome = await self._decide(bench, undecided[0])
                if outcome is not None:
                    _pass_over(bench, undecided[1:])
                    return outcome
                continue
            judged = [a for a in attempts if a.verdict and a.verdict.judges_candidate]
            if len(judged) >= _settings(bench).attempts:
                best = bench.reading.best()
                reason = f"{len(judged)} attempts, none better than v{best.number}"
                return StepOutcome(outcome="nothing", reason=reason)
            over = await self._attempt(bench, judged)
            if over:
                return StepOutcome(outcome="stopped", reason=over)

    # -- one attempt

    async def _attempt(self, bench: Workbench, judged: Sequence[Attempt]) -> str:
        """Measure the next proposals. Returns why there is nothing left to try, or nothing."""
        hints = await bench.control.boundary(f"before attempt {len(judged) + 1}", end_of_turn=True)
        base_id, base_label = self._base(bench)
        base = bench.reading.candidate(base_id)
        tunables = tn.parse(base)
        self._take(bench, hints, tunables)
        if not tunables:
            await bench.control.pause_for(_no_tunables(bench, base))
            return ""
        space = Space(tunables, self._pins(bench, tunables))
        proposals = Proposals(self, bench, base, base_label, space)
        try:
            await bench.evaluating.evaluate_many(proposals)
        except Interrupted:
            return ""  # the next boundary waits; after that the same proposals are made again
        if proposals.exhausted:
            what = f"every one of the {space.size} points of the tunables was tried"
            if not space.pins:
                return what
            pinned = f"{what} with {', '.join(space.pins)} pinned"
            await bench.control.pause_for(f"{pinned}; clear the hint, rewind, or stop the run")
        return ""

    def was_tried(self, bench: Workbench, base: Candidate, point: tn.Point) -> bool:
        """Whether this point of `base` was evaluated before."""
        if self._tried_of != base.id:
            self._tried_of, self._tried = base.id, set()
        key = frozenset(point.items())
        if key in self._tried:
            return True
        if bench.reading.find_attempt(tn.apply(base, point).id) is None:
            return False
        self._tried.add(key)
        return True

    def _base(self, bench: Workbench) -> tuple[str, str]:
        """(candidate, name) of the source whose tunables are varied.

        Normally the head. After a restart it is the best attempt since then, so that the search can
        move away from the ancestor before it beats the best version.
        """
        head = bench.reading.head
        restarts = [i for i in bench.reading.interventions() if i.level == "restart"]
        since = max((i.at for i in restarts), default=None)
        if since is not None and any(d.parent == head.number for d in bench.reading.directions()):
            walk = [a for a in _newest_first(bench) if a.at > since and a.parent == head.number]
            top = max(walk, key=lambda a: a.aggregate, default=None)
            if top is not None and top.aggregate > 0:
                return top.candidate, f"attempt {top.step}.{top.number}"
        return head.candidate, f"v{head.number}"

    def boldness(self, bench: Workbench) -> int:
        """Additional tunables to change at once; grows with the active interventions."""
        active = bench.reading.interventions()
        nudges = sum(i.level == "nudge" for i in active)
        stalled = min(3, nudges + sum(i.level in {"redirect", "restart"} for i in active))
        return stalled + _settings(bench).boldness

    # -- hints

    def _take(
        self, bench: Workbench, hints: Sequence[Hint], tunables: Sequence[tn.Tunable]
    ) -> None:
        for hint in hints:
            pins, effect = read_hint(hint.text, tunables)
            if pins and hint.scope == "once":
                effect += " for the next attempt"
            bench.recording.hint_effect(hint.id, effect)

    def _pins(self, bench: Workbench, tunables: Sequence[tn.Tunable]) -> dict[str, str]:
        """The pins of all active hints; a later hint overrides an earlier one."""
        hints = [*bench.reading.hints_in_force(), *_delivered_since_attempt(bench)]
        pins: dict[str, str] = {}
        for hint in sorted(hints, key=lambda h: h.queued_at):
            pins.update(read_hint(hint.text, tunables)[0])
        return pins

    # -- the archive

    def archive(self, bench: Workbench) -> Archive:
        """The archive, updated with the attempts that finished since the last call."""
        fresh: list[Attempt] = []
        known = 0
        for attempt in reversed(bench.reading.attempts()):
            if (attempt.step, attempt.number) in self._taken:
                known += 1
                if known > bench.evaluating.width:
                    break
                continue  # an attempt that began earlier may have ended later
            if len(fresh) == self._memory:
                break
            if attempt.verdict is not None and attempt.verdict.judges_candidate:
                fresh.append(attempt)
        for attempt in reversed(fresh):
            key = (attempt.step, attempt.number)
            self._taken[key] = None
            point = tn.point(tn.parse(bench.reading.candidate(attempt.candidate)))
            label = (
                f"v{attempt.version}"
                if attempt.version is not None
                else f"attempt {attempt.step}.{attempt.number}"
            )
            self._known.add(Tried(point, attempt.aggregate, label, attempt.candidate, key))
        while len(self._taken) > self._memory:
            del self._taken[next(iter(self._taken))]
        return self._known

    # -- the gate

    async def _decide(self, bench: Workbench, attempt: Attempt) -> StepOutcome | None:
        """Ask the gate about a correct attempt that may be better; None if the step continues."""
        best = bench.reading.best()
        if attempt.aggregate <= best.aggregate * _settings(bench).ask_gate_from:
            reason = (
                f"not submitted: {attempt.aggregate:.3f} in a run of its own, v{best.number}"
                f" {best.aggregate:.3f} in another; nothing was measured in turn"
            )
            bench.recording.record(ev.AttemptRejected(attempt=attempt.number, reason=reason))
            return None
        report = bench.reading.report(attempt.step, attempt.number)
        assert report is not None
        result = AttemptResult(
            step=attempt.step, number=attempt.number, candidate=attempt.candidate, report=report
        )
        summary = f"{attempt.title}: tried beside v{best.number}."
        try:
            word = await bench.evaluating.submit(result, attempt.title, summary)
        except Interrupted:
            moment = f"before the gate of attempt {attempt.number}"
            hints = await bench.control.boundary(moment, end_of_turn=True)
            self._take(
                bench, hints, tn.parse(bench.reading.candidate(bench.reading.head.candidate))
            )
            return None
        if word.version is None:
            return None
        return StepOutcome(outcome="committed", reason=word.version.gate.reason)


class Proposals:
    """The proposals of one step, each made when a device is free for it.

    Each one uses the records as they are then, so it benefits from evaluations that have ended
    meanwhile.
    """

    def __init__(
        self, tuner: Tuner, bench: Workbench, base: Candidate, label: str, space: Space
    ) -> None:
        """`base` is the source that is varied, and `label` its name for a person."""
        self._tuner = tuner
        self._bench = bench
        self._base = base
        self._label = label
        self._space = space
        self._given: set[frozenset[tuple[str, str]]] = set()
        self.exhausted = False
        """True if there was nothing to propose because every point was tried."""

    def __iter__(self) -> Iterator[tuple[Candidate, str]]:
        """Yields (candidate, title) pairs."""
        first = True
        while first or self._goes_on():
            proposed = self._next()
            if proposed is None:
                self.exhausted = first
                return
            first = False
            yield proposed

    def _goes_on(self) -> bool:
        """Whether to propose more before the step checks its results."""
        bench = self._bench
        attempts = bench.reading.attempts(bench.reading.step)
        least = bench.reading.best().aggregate * _settings(bench).ask_gate_from
        if bench.evaluating.width == 1 or any(
            a.undecided and a.aggregate > least for a in attempts
        ):
            return False
        cancelled = sum(a.verdict is not None and not a.verdict.judges_candidate for a in attempts)
        return len(attempts) - cancelled < _settings(bench).attempts

    def _next(self) -> tuple[Candidate, str] | None:
        bench, reading = self._bench, self._bench.reading
        attempts = reading.attempts(reading.step)
        alive = [a for a in attempts if a.verdict is None or a.verdict.judges_candidate]
        archive = self._tuner.archive(bench)
        seed = f"{reading.settings.random_seed}:{reading.step}:{len(alive)}"
        child = propose(
            tn.point(self._space.tunables),
            self._space,
            archive,
            self._is_known,
            random.Random(seed),  # noqa: S311 - a search, no secret
            boldness=self._tuner.boldness(bench),
        )
        if child is None:
            return None
        candidate = tn.apply(self._base, child.point)
        self._given.add(frozenset(child.point.items()))
        title = _title(self._space.tunables, child.point)
        self._say(alive, title, _why(child, self._label, self._space.tunables, archive))
        self._show(candidate, title)
        return candidate, title

    def _is_known(self, point: Mapping[str, str]) -> bool:
        if frozenset(point.items()) in self._given:
            return True
        return self._tuner.was_tried(self._bench, self._base, point)

    def _say(self, alive: Sequence[Attempt], title: str, why: str) -> None:
        """Show the person what is done, what runs, and what comes next."""
        bench = self._bench
        items = [
            PlanItem(text=_told(a), status="done")
            if a.verdict is not None
            else PlanItem(text=a.title, status="doing")
            for a in alive
        ]
        items.append(PlanItem(text=title, status="doing"))
        left = _settings(bench).attempts - len(items)
        if left > 0:
            items.append(PlanItem(text=f"up to {left} more, by what these teach", status="todo"))
        best = bench.reading.best()
        name = f"Vary v{bench.reading.head.number} to beat v{best.number} ({best.aggregate:.3f})"
        bench.recording.record(ev.PlanSet(title=name, items=tuple(items)))
        block = f"{bench.reading.step}.{len(alive) + 1}"
        bench.recording.record(ev.AgentText(block=block, text=f"{title}: {why}\n"))

    def _show(self, candidate: Candidate, title: str) -> None:
        bench = self._bench
        origin = bench.reading.candidate(bench.reading.head.candidate)
        bench.recording.keep(candidate.canonical())
        bench.recording.record(edited(candidate, bench.reading.head.number, origin, title))


def _settings(bench: Workbench) -> TunerSettings:
    """The current settings, which the person may change between two attempts."""
    return TunerSettings.of(bench.reading.settings)


def _pass_over(bench: Workbench, attempts: Sequence[Attempt]) -> None:
    """Record why attempts that ran in parallel with a committed one are not submitted."""
    best = bench.reading.best()
    for attempt in attempts:
        reason = f"not submitted: v{best.number}, of the same tries, was committed first"
        bench.recording.record(ev.AttemptRejected(attempt=attempt.number, reason=reason))


def _delivered_since_attempt(bench: Workbench) -> list[Hint]:
    """Hints for a single attempt that were delivered since the last evaluated attempt."""
    delivered: dict[str, Hint] = {}
    for event in reversed(bench.reading.step_events()):
        if isinstance(event, ev.AttemptFinished) and event.report.verdict.judges_candidate:
            break
        if isinstance(event, ev.HintDelivered):
            delivered[event.hint] = bench.reading.hint(event.hint)
    return [h for h in delivered.values() if h.scope == "once"]


def _newest_first(bench: Workbench) -> list[Attempt]:
    return list(reversed(bench.reading.attempts()))


def _no_tunables(bench: Workbench, base: Candidate) -> str:
    flaws = tn.flaws(base)
    text = f"v{bench.reading.head.number} declares no tunables that the tuner could vary"
    if flaws:
        return f"{text}; {flaws[0].file} line {flaws[0].line}: {flaws[0].reason}"
    return f"{text}; write them as `constexpr int TILE = 32;  // tune: 16 32 64`"


def _title(tunables: Sequence[tn.Tunable], point: Mapping[str, str]) -> str:
    """The changes to the base, such as `ALGORITHM 0→2 (online softmax), UNROLL 2→4`."""
    changes = []
    for tunable in tunables:
        token = point[tunable.name]
        if token != tunable.current.token:
            choice = tunable.find(token) or token
            changes.append(f"{tunable.name} {tunable.current.token}→{choice}")
    return ", ".join(changes)


def _why(child: Child, base: str, tunables: Sequence[tn.Tunable], archive: Archive) -> str:
    """Why this point was chosen, according to the records."""
    origin = (
        f"pinned by a hint, from {base}" if child.origin == "pin" else f"{child.origin} of {base}"
    )
    told: list[str] = []
    for tunable in tunables:
        old, new = tunable.current.token, child.point[tunable.name]
        if old == new:
            continue
        count = archive.counts[tunable.name, new]
        gain = archive.gain(tunable.name, old, new)
        if not count:
            told.append(f"{tunable.name}={new} has not been tried yet")
        elif gain is None:
            told.append(f"{tunable.name}={new} failed in {count} tries so far")
        else:
            tries = "1 try" if count == 1 else f"{count} tries"
            told.append(f"{tunable.name}={new} fits {gain:+.0%} after {tries}")
    return f"{origin}; " + "; ".join(told) + "."


def _told(attempt: Attempt) -> str:
    if attempt.version is not None:
        return f"{attempt.title}: committed as v{attempt.version}"
    if attempt.reason:
        return f"{attempt.title}: {attempt.reason}"
    return f"{attempt.title}: {attempt.aggregate:.3f}"
