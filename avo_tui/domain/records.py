"""The records of a session: versions, steps, attempts, hints, notes, interventions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from avo_tui.domain.acceptance import GateDecision, GateName
from avo_tui.domain.base import Moment, Name, ObjectId, Value
from avo_tui.domain.budget import Budget, Spend
from avo_tui.domain.score import Score
from avo_tui.domain.task import TaskInfo
from avo_tui.domain.verdict import MachineInfo, Resources, Stage, Verdict

MEMORY_LIMIT = 16_000
"""Characters of notes that a session carries into a step, unless its option `memory.limit` says."""

FORMAT = 1
"""Version of the session folder's format."""

PLUGIN_NAME = r"^[a-z][a-z0-9_-]*$"

OperatorName = Annotated[str, Field(max_length=40, pattern=PLUGIN_NAME)]
"""Name of a variation operator; which there are is known by `avo_tui.operators.registry`."""
Author = Annotated[str, Field(max_length=40, pattern=PLUGIN_NAME)]
"""Who made a version or a note: `seed`, `person`, `supervisor`, or the name of an operator."""
RunState = Literal[
    "starting", "running", "pausing", "paused", "parked", "stopped", "finished", "lost"
]
"""`lost` is never written: a reader concludes it when a live state has no living engine."""

LIVE_STATES: frozenset[RunState] = frozenset({"starting", "running", "pausing", "paused", "parked"})
"""States in which an engine is expected to be alive."""

StepOutcomeName = Literal["committed", "nothing", "aborted", "rewound", "stopped", "failed"]
HintDelivery = Literal["next_tool", "end_of_turn", "now"]
HintScope = Literal["once", "step", "until_cleared"]
HintState = Literal["queued", "delivered", "expired", "cleared"]
PauseMode = Literal["after_tool", "after_step", "now"]
NoteCategory = Literal["worked", "failed", "idea", "fact"]
Level = Literal["nudge", "redirect", "stop_step", "restart"]
"""What an intervention of the supervisor does, from mild to strong."""
HintForm = Literal["text", "tunables", "none"]
"""Which hints an operator understands: any text, `NAME=value` for a tunable, or none."""


class OperatorTraits(Value):
    """What the engine and the screens must know of a variation operator.

    Written into the settings of each session, so that a session can be read where the operator is
    not installed.
    """

    title: str = "operator of variation"
    """What the person is told that a hint goes to, such as `tuner`."""
    steps_by_itself: bool = True
    """False where candidates come from outside and the engine makes a step of each."""
    hints: HintForm = "text"
    ladder: tuple[Level, ...] = ("nudge", "redirect", "stop_step")
    """Rungs of the supervisor, in order; () where it never intervenes."""
    stall_attempts: int = Field(default=8, ge=0)
    """Attempts without a commit after which the supervisor intervenes, unless options say."""
    recording: bool = False
    """True where a conversation of the past is played: the screen says so."""


BEFORE_TRAITS: dict[OperatorName, OperatorTraits] = {
    "tuner": OperatorTraits(
        title="tuner", hints="tunables", ladder=("nudge", "restart"), stall_attempts=16
    ),
    "external": OperatorTraits(
        title="operator outside", steps_by_itself=False, hints="none", ladder=()
    ),
    "recorded": OperatorTraits(title="agent", recording=True),
    "agent": OperatorTraits(title="agent"),
}
"""Operators of sessions that were made before settings held traits; it does not grow."""


class RunSettings(Value):
    """How a session is run; chosen when it is created."""

    operator: OperatorName = "tuner"
    traits: OperatorTraits | None = None
    """What is so about that operator; None in sessions of before. Ask `operator_traits`."""
    model: str | None = None
    gate: GateName = "strict"
    approve_commits: bool = False
    budget: Budget = Budget()
    origin: str | None = None
    """`SESSION:VERSION` that the first version was carried over from (transfer)."""
    random_seed: int = 0
    recording: str | None = None
    """Operator `recorded`: the session or file whose conversation is played."""
    evaluator: str | None = None
    """URL of a remote evaluator; None is this machine."""
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Operator's own settings, such as thresholds of the supervisor or the agent's effort."""

    @property
    def operator_traits(self) -> OperatorTraits:
        """What engine and screens must know of the operator."""
        return self.traits or BEFORE_TRAITS.get(self.operator, OperatorTraits())


class PlanItem(Value):
    """One line of a plan."""

    text: str
    status: Literal["todo", "doing", "done", "dropped"] = "todo"


class Remeasurement(Value):
    """A later measurement of a committed version; the score at the gate is never overwritten."""

    at: Moment
    score: Score
    device: str = ""
    conditions: str = ""
    """`MachineInfo.conditions` it was measured under; empty in old records."""


AuditOutcome = Literal["holds", "fails", "unclear"]


class Audit(Value):
    """A committed version put to the test once more, by measurements of its own.

    What it was committed on is left out: of several candidates the luckiest was chosen then.
    """

    at: Moment
    outcome: AuditOutcome
    """`fails`: it is wrong, or no faster than the version it was committed against."""
    reason: str
    """One sentence with the numbers."""
    reference: int | None = None
    """The version it was measured beside; None where it has none, as the seed."""
    gain: float | None = None
    interval: tuple[float, float] | None = None
    """95% interval of `gain`, relative."""
    replicates: int = 0
    conditions: str = ""
    evaluations: int = 0
    """Evaluations that the run had made by then."""

    @property
    def line(self) -> str:
        """The audit in a line of text."""
        words = {"holds": "holds", "fails": "does not hold", "unclear": "unclear"}[self.outcome]
        return f"{words}: {self.reason}"


class Note(Value):
    """One of the agent's own notes, carried across steps."""

    id: str
    category: NoteCategory = "fact"
    text: str
    step: int = 0
    at: Moment
    author: Author = "agent"


class Version(Value):
    """A candidate that was committed to the lineage."""

    number: int
    parent: int | None
    step: int
    attempt: int = 0
    candidate: ObjectId
    score: Score
    gate: GateDecision
    plan: str = ""
    summary: str = ""
    author: Author
    resources: Resources = Resources()
    device: str = ""
    created: Moment
    remeasurements: tuple[Remeasurement, ...] = ()
    bookmark: str | None = None
    note: str = ""
    """The person's."""
    built_on: tuple[Note, ...] = ()
    """Notes of the memory that it owes something to, as they read at the commit."""
    conditions: str = ""
    """`MachineInfo.conditions` that `score` was measured under; empty in old records."""
    audits: tuple[Audit, ...] = ()

    @property
    def aggregate(self) -> float:
        """Aggregate of the score at the gate."""
        return self.score.aggregate

    @property
    def holds(self) -> bool:
        """False once an audit showed that it is wrong or no improvement, until one shows it is."""
        decided = [audit for audit in self.audits if audit.outcome != "unclear"]
        return not decided or decided[-1].outcome == "holds"

    def score_under(self, conditions: str) -> Score:
        """The latest score measured under these conditions; the one at the gate without any."""
        if not conditions or self.conditions in {"", conditions}:
            return self.score
        for measurement in reversed(self.remeasurements):
            if measurement.conditions == conditions:
                return measurement.score
        return self.score


class Attempt(Value):
    """One candidate evaluated inside a step, committed or not. Small: the report is an object."""

    step: int
    number: int
    parent: int
    candidate: ObjectId
    title: str = ""
    """What was tried, in one line."""
    stage: Stage = "compile"
    """The last stage that was begun."""
    verdict: Verdict | None = None
    """None while it runs."""
    aggregate: float = 0.0
    version: int | None = None
    """The version it became."""
    reason: str = ""
    """Why it was not committed."""
    report: ObjectId | None = None
    seconds: float = 0.0
    cached: bool = False
    at: Moment

    @property
    def undecided(self) -> bool:
        """Correct, and neither committed nor rejected yet."""
        return self.aggregate > 0 and self.version is None and not self.reason


class Step(Value):
    """One variation: from the head to a new version, or to nothing."""

    number: int
    parent: int
    started: Moment
    command: str = ""
    """Id of the person's command that it is for; "" where the operator makes it."""
    ended: Moment | None = None
    outcome: StepOutcomeName | None = None
    reason: str = ""
    attempts: int = 0
    version: int | None = None
    spend: Spend = Spend()


class Hint(Value):
    """A message from the person to the operator of variation."""

    id: str
    text: str
    delivery: HintDelivery = "next_tool"
    scope: HintScope = "once"
    state: HintState = "queued"
    by: str = ""
    queued_at: Moment
    delivered_at: Moment | None = None
    where: str = ""
    """Place of delivery, such as `step 4, before tool 7`; or why it expired."""
    effect: str = ""
    """What it did, such as `TILE_K is pinned to 64` or `not understood by the tuner`."""


class Direction(Value):
    """A fresh line of exploration that the supervisor proposes."""

    text: str
    parent: int | None = None
    """Another ancestor to start from."""

    @property
    def line(self) -> str:
        """The text, with the ancestor where the text does not name it."""
        named = self.parent is None or f"v{self.parent}" in self.text
        return self.text if named else f"{self.text} (from v{self.parent})"


class Intervention(Value):
    """What the supervisor did, and the numbers that made it."""

    id: str
    at: Moment
    step: int
    level: Level
    trigger: str
    """The rule with its numbers, such as `8 attempts since the last commit (limit 8)`."""
    diagnosis: str = ""
    """What the records say about the stall."""
    review: str = ""
    """What a model said that reviewed the whole trajectory, where one was asked."""
    review_wanted: bool = False
    """A review may still replace the directions: nobody gave any, and none was made so far."""
    directions: tuple[Direction, ...] = ()
    avoid: tuple[str, ...] = ()
    """Directions that are exhausted, by the review's evidence: what to stop doing."""
    state: Literal["active", "dismissed", "done"] = "active"
    by: Literal["supervisor", "person"] = "supervisor"
    seconds_at: float = 0.0
    """Running seconds of the run when it was made: the stall is counted from here."""
    usd_at: float = 0.0
    """Dollars of the run when it was made."""


class Profile(Value):
    """What a profiler said of one candidate on one configuration."""

    id: str
    """Candidate and configuration: a later profile takes the place of an earlier one."""
    candidate: ObjectId
    configuration: str
    """Empty where it is the task's first scored one."""
    report: ObjectId
    """The whole report, as an object."""
    summary: str = ""
    """Its first lines."""
    step: int = 0
    at: Moment


class EngineRecord(Value):
    """The process that runs a session."""

    pid: int
    host: str
    started: Moment
    version: str = ""
    sandbox: str = ""
    sandbox_warning: str = ""
    """`MachineInfo.sandbox_warning`: to be seen on every screen where it is not empty."""
    device: str = ""
    restarts: int = 0
    """Times that a lost engine was started again by `avo run --keep` or a service, this one
    included."""
    machine: MachineInfo | None = None
    """What candidates are measured on, where it was known when the engine started."""


class SessionRecord(Value):
    """The one row of the table `session`."""

    name: Name
    task: TaskInfo
    created: Moment
    settings: RunSettings
    format: int = FORMAT
    state: RunState = "starting"
    state_reason: str = ""
    state_since: Moment | None = None
    """When the run came into this state."""
    approval_since: Moment | None = None
    """When the person was asked to approve an attempt; None where nothing waits for that."""
    parked_until: Moment | None = None
    head: int | None = None
    budget: Budget = Budget()
    spend: Spend = Spend()
    step: int = 0
    """Number of the current or last step; 0 is the evaluation of the seed."""
    engine: EngineRecord | None = None
    applied: int = 0
    """The last event that this projection holds."""
    last_event_at: Moment | None = None
    memory_limit: int = MEMORY_LIMIT
    """Characters of notes carried into a step."""
    waiting_since: Moment | None = None
    """When the model was asked, or the last piece of its answer came; None: nothing is awaited."""
    degraded: tuple[str, ...] = ()
    """Optional features that the model is asked without for now, such as `cache`."""
