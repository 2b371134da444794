"""The events of an invented run's steps, at fixed times."""

import math
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps, Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Attempt, EngineRecord, Hint, PlanItem, SessionRecord, Version
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.verdict import Verdict
from tests.ui.invented_evaluation import edited, stage
from tests.ui.invented_kernel import IDEAS, START, TASK, report_of, score_of, source

Put = Callable[[str], str]


class Maker:
    """Makes the events of a run, step by step. `put` stores an object and returns its identity."""

    def __init__(self, put: Put, *, seed: int = 7, operator: str = "agent") -> None:
        self.put, self.turn, self.operator = put, random.Random(seed), operator
        self.aggregates: dict[int, float] = {}
        self.sources: dict[int, Candidate] = {}
        self.best = 0.0
        self.number = 0
        self.head: int | None = None
        self.now = START

    def later(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    def candidate(self, made: Candidate) -> str:
        return self.put(made.canonical().decode())

    def created(self, name: str, budget: Budget | None = None) -> ev.SessionCreated:
        budget = budget or Budget(
            run=Caps(usd=200.0 if self.operator == "agent" else None, hours=168)
        )
        record = SessionRecord(
            name=name,
            task=TASK,
            created=START,
            budget=budget,
            settings=RunSettings(
                operator=self.operator,
                model="claude-opus-4-5" if self.operator == "agent" else None,
                budget=budget,
            ),
        )
        return ev.SessionCreated(session=record, at=START)

    def engine(self) -> Iterator[ev.Event]:
        engine = EngineRecord(
            pid=4711,
            host="workstation",
            started=self.now,
            sandbox="namespaces + landlock + seccomp",
            device="cpu, 1 thread",
        )
        yield ev.EngineStarted(engine=engine, at=self.later(1))
        yield ev.StateChanged(state="running", at=self.later(0.1))

    def seed_step(self) -> Iterator[ev.Event]:
        yield ev.StepStarted(step=0, parent=0, at=self.later(1))
        yield from self._attempt(0, 1, 0, source(0), "the seed", 0.052, commit=True, seed=True)

    def step(
        self, step: int, attempts: int, commit: bool = True, chatty: bool = True
    ) -> Iterator[ev.Event]:
        """One finished step."""
        yield from self._opening(step, chatty)
        parent = self.head or 0
        if chatty:
            yield from self._tool(
                step, "read_version", {"version": parent}, f"kernel.cpp of v{parent}, 58 lines"
            )
        for number in range(1, attempts + 1):
            last = number == attempts
            base = self.aggregates[parent]
            made = source(self.number + 1, 0 if last and commit else step * 31 + number)
            title = IDEAS[(step + number) % len(IDEAS)][1]
            if last and commit:
                gain = max(0.006, self.turn.gauss(0.42, 0.12) * math.exp(-len(self.aggregates) / 9))
                aggregate = min(base * (1 + gain), 1.062 - 0.2 / (1 + len(self.aggregates)))
                aggregate = (
                    max(aggregate, base * 1.006)
                    if len(self.aggregates) < 400
                    else min(base * 1.0002, 1.09)
                )
                yield from self._attempt(
                    step, number, parent, made, title, aggregate, commit=True, chatty=chatty
                )
            else:
                yield from self._attempt(
                    step,
                    number,
                    parent,
                    made,
                    title,
                    base * self.turn.uniform(0.7, 1.004),
                    commit=False,
                    chatty=chatty,
                )
        outcome = "committed" if commit else "nothing"
        yield ev.StepFinished(
            step=step,
            outcome=outcome,
            version=self.number if commit else None,
            reason="" if commit else "no attempt passed the gate",
            at=self.later(1),
        )

    def _opening(self, step: int, chatty: bool) -> Iterator[ev.Event]:
        yield ev.StepStarted(step=step, parent=self.head or 0, at=self.later(2))
        if not chatty:
            return
        idea, _ = IDEAS[step % len(IDEAS)]
        items = (
            "compare the profiles of the last two versions",
            idea[0].lower() + idea[1:],
            "compile, read the instruction counts",
            "submit for the gate",
        )
        yield ev.PlanSet(
            step=step, title=idea, items=tuple(PlanItem(text=t) for t in items), at=self.later(1)
        )
        yield ev.AgentText(
            step=step,
            block=f"b{step}.0",
            text=(
                f"The profile of v{self.head} shows the load ports busy and the "
                "multiplier idle for 9 % of the time between tiles. "
            ),
            at=self.later(1),
        )
        yield ev.AgentText(
            step=step,
            block=f"b{step}.0",
            text=(
                "I will first move the reduction out of the inner loop, then look at "
                "the tile size again.\n"
            ),
            at=self.later(1),
        )
        done = ("done", "doing", "todo", "todo")
        yield ev.PlanSet(
            step=step,
            title=idea,
            items=tuple(PlanItem(text=t, status=s) for t, s in zip(items, done, strict=True)),
            at=self.later(1),
        )
        yield ev.Spent(
            step=step,
            spend=Spend(
                usd=0.11, input_tokens=9000, output_tokens=1500, cache_read_tokens=31000, requests=3
            ),
            at=self.later(0.1),
        )

    def _tool(
        self,
        step: int,
        tool: str,
        arguments: dict[str, Any],
        summary: str,
        ok: bool = True,
        seconds: float = 0.1,
    ) -> Iterator[ev.Event]:
        call = f"c{step}.{self.turn.randrange(10**9)}"
        yield ev.ToolCalled(
            step=step, call=call, tool=tool, arguments=arguments, at=self.later(0.5)
        )
        yield ev.ToolReturned(
            step=step,
            call=call,
            tool=tool,
            ok=ok,
            summary=summary,
            seconds=seconds,
            at=self.later(seconds),
        )

    def _attempt(
        self,
        step: int,
        number: int,
        parent: int,
        made: Candidate,
        title: str,
        aggregate: float,
        *,
        commit: bool,
        seed: bool = False,
        chatty: bool = True,
    ) -> Iterator[ev.Event]:
        identity = self.candidate(made)
        if not seed and chatty:
            old = self.sources.get(parent, source(0))
            yield edited(self.later, step, parent, old, made, identity, title)
        attempt = Attempt(
            step=step,
            number=number,
            parent=parent,
            candidate=identity,
            title=title,
            at=self.later(1),
        )
        yield ev.AttemptStarted(step=step, attempt=attempt, at=self.now)
        failing = (
            None
            if commit
            else self.turn.choice((None, None, Verdict.WRONG_RESULT, Verdict.COMPILE_ERROR))
        )
        stages = (
            ("compile",)
            if failing is Verdict.COMPILE_ERROR
            else ("compile", "check")
            if failing
            else ("compile", "check", "benchmark")
        )
        score = score_of(aggregate, step * 100 + number)
        if chatty:
            for name in stages:
                yield from stage(
                    self.later, step, number, name, score, failing if name == stages[-1] else None
                )
        report = report_of(made, score, failing, stages)
        text = report.model_dump_json()
        yield ev.AttemptFinished(
            step=step, attempt=number, report=report, ref=self.put(text), at=self.later(0.2)
        )
        yield ev.Spent(step=step, spend=Spend(evaluations=1, seconds=6.0), at=self.now)
        if failing is not None:
            yield ev.AttemptRejected(
                step=step, attempt=number, reason=report.feedback.summary, at=self.later(0.1)
            )
            return
        if seed:
            gate = GateDecision(
                gate="seed", accepted=True, reason="the seed is where every lineage starts"
            )
        else:
            gain = score.aggregate / self.aggregates[parent] - 1
            word = "more" if commit else "not more"
            gate = GateDecision(
                gate="strict",
                accepted=commit,
                reference=parent,
                gain=gain,
                margin=0.006,
                remeasured=True,
                reason=f"{gain:+.2%} against v{parent}, {word} than the noise of 0.60%",
            )
            yield ev.GateDecided(step=step, attempt=number, decision=gate, at=self.later(0.1))
        if not commit:
            yield ev.AttemptRejected(
                step=step, attempt=number, reason=gate.reason, at=self.later(0.1)
            )
            return
        self.number += 0 if seed else 1
        idea, _ = IDEAS[step % len(IDEAS)]
        version = Version(
            number=self.number,
            parent=None if seed else parent,
            step=step,
            attempt=number,
            candidate=identity,
            score=score,
            gate=gate,
            plan="" if seed else title[0].upper() + title[1:],
            author="seed" if seed else self.operator,
            summary="The plain loops of the task."
            if seed
            else (
                f"{idea}. The inner loop now stays in registers; the loads of the "
                "next tile are issued before the reduction."
            ),
            resources=report.resources,
            device="cpu, 1 thread",
            created=self.now,
        )
        self.aggregates[self.number] = score.aggregate
        self.sources[self.number] = made
        self.head = self.number
        yield ev.VersionCommitted(step=step, version=version, at=self.later(0.1))

    def rewind(self, step: int, target: int, reason: str) -> Iterator[ev.Event]:
        origin = self.head or 0
        yield ev.CommandTaken(
            step=step,
            id=f"cmd{step}",
            by="ann",
            command="rewind",
            summary=f"rewind to v{target}: {reason}",
            effect=f"head is v{target}",
            at=self.later(1),
        )
        yield ev.Rewound(step=step, origin=origin, target=target, reason=reason, at=self.later(0.1))
        self.head = target

    def running(self, step: int) -> Iterator[ev.Event]:
        """A step in the middle of the benchmark of its third attempt."""
        yield from self._opening(step, True)
        parent = self.head or 0
        yield from self._tool(
            step,
            "search_knowledge",
            {"query": "online softmax rescaling"},
            "6 sections, best: tiled attention, section 3.1",
        )
        for number in (1, 2):
            made = source(self.number + 1, step * 31 + number)
            yield from self._attempt(
                step,
                number,
                parent,
                made,
                IDEAS[(step + number) % 12][1],
                self.aggregates[parent] * 0.985,
                commit=False,
            )
        hint = Hint(
            id="h1",
            text=(
                "The exponential is the bottleneck: look at the instruction counts "
                "before you touch the tiles again."
            ),
            queued_at=self.later(1),
            by="ann",
        )
        yield ev.HintQueued(step=step, hint=hint, at=self.now)
        yield ev.HintDelivered(
            step=step, hint="h1", where=f"step {step}, before tool 7", at=self.later(2)
        )
        yield ev.AgentText(
            step=step,
            block=f"b{step}.1",
            text=(
                "That fits the counters: 38 % of the instructions are the "
                "exponential. I replace it by a polynomial of degree five on the "
                "reduced range, which needs no table and keeps the error below the tolerance.\n"
            ),
            at=self.later(1),
        )
        made = source(self.number + 1, 0)
        identity = self.candidate(made)
        old = self.sources.get(parent, source(0))
        yield edited(self.later, step, parent, old, made, identity, "polynomial exponential")
        yield ev.AttemptStarted(
            step=step,
            attempt=Attempt(
                step=step,
                number=3,
                parent=parent,
                candidate=identity,
                title="polynomial exponential, degree 5",
                at=self.later(1),
            ),
            at=self.now,
        )
        score = score_of(self.aggregates[parent] * 1.014, step * 100 + 3)
        yield from stage(self.later, step, 3, "compile", score, None)
        yield from stage(self.later, step, 3, "check", score, None)
        yield from stage(self.later, step, 3, "benchmark", score, None, upto=3)
