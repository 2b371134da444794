"""The records of a session: versions, steps, attempts, hints, notes, interventions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from avo_tui.domain.acceptance import GateDecision, GateName
from avo_tui.domain.base import Moment, Name, ObjectId, Value
from avo_tui.domain.budget import Budget, Spend
from avo_tui.domain.score import Score
from avo_tui.domain.task import TaskInfo
from avo_tui.domain.verdict import MachineInfo, Resources, Stage, Verdict

MEMORY_LIMIT = 16_000
"""Default of the option `memory.limit`: most characters of notes that a step starts with."""

FORMAT = 1
"""Version number of the session folder's format."""

PLUGIN_NAME = r"^[a-z][a-z0-9_-]*$"

OperatorName = Annotated[str, Field(max_length=40, pattern=PLUGIN_NAME)]
"""Name of a variation operator; which there are is known by `avo_tui.operators.registry`."""
Author = Annotated[str, Field(max_length=40, pattern=PLUGIN_NAME)]
"""Who made a version or a note: `seed`, `person`, `supervisor`, or the name of an operator."""
RunState = Literal[
    "starting", "running", "pausing", "paused", "parked", "stopped", "finished", "lost"
]
"""`lost` is never stored: readers conclude it when a running session has no living engine."""

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
    """What the engine and the screens need to know of an operator of variation.

    A copy is in the settings of each session, so that the session can be read where the operator is
    not installed.
    """

    title: str = "operator of variation"
    """Who receives a hint, as the person reads it, such as `tuner`."""
    steps_by_itself: bool = True
    """False where candidates come from outside and each becomes a step."""
    hints: HintForm = "text"
    ladder: tuple[Level, ...] = ("nudge", "redirect", "stop_step")
    """The kinds of intervention that the supervisor goes through, in order; () for none."""
    stall_attempts: int = Field(default=8, ge=0)
    """Attempts without a commit after which the supervisor intervenes, unless options say."""
    recording: bool = False
    """True where a recorded conversation is played; the screen says so."""


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
"""Traits for sessions that are older than the field `traits`. No entry is added any more."""


OptionValue = str | int | float | bool
"""The value of an option of a run; one that was typed is kept as text, and read by its owner."""


class RunSettings(Value):
    """How a session is run; chosen when it is created, its options also changed later."""

    operator: OperatorName = "tuner"
    traits: OperatorTraits | None = None
    """Traits of the operator; None in old sessions. Use `operator_traits` to read them."""
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
    """URLs of where candidates are measured, with spaces between; None is this machine."""
    devices: str | None = None
    """Devices to measure on, one candidate on each at a time, such as `0,1`; None is one device,
    the first."""
    options: dict[str, OptionValue] = Field(default_factory=dict)
    """Operator's own settings, such as thresholds of the supervisor or the agent's effort."""

    @property
    def operator_traits(self) -> OperatorTraits:
        """What the engine and the screens need to know of this session's operator."""
        return self.traits or BEFORE_TRAITS.get(self.operator, OperatorTraits())

    @property
    def model_option(self) -> str:
        """The name that `model` has among the options, such as `agent.model`."""
        return f"{self.operator}.model"

    def option(self, name: str) -> OptionValue | None:
        """The value of an option; None where it has its default."""
        if name == self.model_option and self.options.get(name) is None:
            return self.model
        return self.options.get(name)

    def with_options(self, changes: Mapping[str, OptionValue | None]) -> RunSettings:
        """These settings with some options changed; None puts one back to its default."""
        options, model = dict(self.options), self.model
        for name, value in changes.items():
            options.pop(name, None)
            if name == self.model_option:
                model = None if value is None else str(value)
            elif value is not None:
                options[name] = value
        return self.replaced(options=options, model=model)


class PlanItem(Value):
    """One line of a plan."""

    text: str
    status: Literal["todo", "doing", "done", "dropped"] = "todo"


class Remeasurement(Value):
    """A later measurement of a version; the score at the gate stays as it is."""

    at: Moment
    score: Score
    device: str = ""
    conditions: str = ""
    """`MachineInfo.conditions` it was measured under; empty in old records."""


AuditOutcome = Literal["holds", "fails", "unclear"]


class Audit(Value):
    """A second test of a version, with new measurements.

    The measurements it was committed on are left out: they were chosen for being the best of
    several candidates and so are too favourable.
    """

    at: Moment
    outcome: AuditOutcome
    """`fails`: it is wrong, or no faster than the version it was committed against."""
    reason: str
    """One sentence with the numbers."""
    reference: int | None = None
    """Number of the version it was measured against; None where there is none, as for the seed."""
    gain: float | None = None
    interval: tuple[float, float] | None = None
    """95% interval of `gain`, relative."""
    replicates: int = 0
    conditions: str = ""
    evaluations: int = 0
    """Number of evaluations that the run had made by then."""

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
    """The person's note."""
    built_on: tuple[Note, ...] = ()
    """The agent's notes that led to this version, with their text at the time of the commit."""
    conditions: str = ""
    """`MachineInfo.conditions` that `score` was measured under; empty in old records."""
    audits: tuple[Audit, ...] = ()

    @property
    def aggregate(self) -> float:
        """Aggregate of the score at the gate."""
        return self.score.aggregate

    @property
    def computes_nothing(self) -> bool:
        """True for the skeleton that a task without a seed starts from."""
        return self.parent is None and self.score.aggregate == 0

    @property
    def holds(self) -> bool:
        """True unless its latest decisive audit found it wrong or no faster."""
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
    """None while the attempt runs."""
    aggregate: float = 0.0
    version: int | None = None
    """Number of the version that it became."""
    reason: str = ""
    """Why it was not committed."""
    refused_by_person: bool = False
    """True where the gate had accepted it and the person did not: asked for the same source again,
    the gate gives the same answer."""
    report: ObjectId | None = None
    """Id of the object with the report, in sessions that keep it as an object too."""
    report_event: int = 0
    """Number of the event that holds the report; 0 where there is none, or where `report` says."""
    seconds: float = 0.0
    cached: bool = False
    worker: str = ""
    """The device that it was measured on, such as `local:1`; "" where the run has only one."""
    at: Moment

    @property
    def has_report(self) -> bool:
        """True once it was finished."""
        return self.report is not None or self.report_event > 0

    @property
    def undecided(self) -> bool:
        """True if it is correct and neither committed nor rejected yet."""
        return self.aggregate > 0 and self.version is None and not self.reason


class Step(Value):
    """One step: the search for a better kernel than the head. It ends with a version or without."""

    number: int
    parent: int
    started: Moment
    command: str = ""
    """Id of the command that the step carries out; "" where the operator makes the step."""
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
    """Where it was delivered, such as `step 4, before tool 7`, or why it expired."""
    effect: str = ""
    """What it did, such as `TILE_K is pinned to 64` or `not understood by the tuner`."""


class Direction(Value):
    """A fresh line of exploration that the supervisor proposes."""

    text: str
    parent: int | None = None
    """Number of another version to start from."""

    @property
    def line(self) -> str:
        """The text, followed by the version to start from where the text does not name it."""
        named = self.parent is None or f"v{self.parent}" in self.text
        return self.text if named else f"{self.text} (from v{self.parent})"


class Intervention(Value):
    """One intervention of the supervisor, with the numbers that led to it."""

    id: str
    at: Moment
    step: int
    level: Level
    trigger: str
    """The rule with its numbers, such as `8 attempts since the last commit (limit 8)`."""
    diagnosis: str = ""
    """What the records say about the lack of progress."""
    review: str = ""
    """Diagnosis by a model that reviewed the whole run; empty where none was asked."""
    review_wanted: bool = False
    """True while a review by the model may still replace the directions."""
    directions: tuple[Direction, ...] = ()
    avoid: tuple[str, ...] = ()
    """What to stop doing, according to the review."""
    state: Literal["active", "dismissed", "done"] = "active"
    by: Literal["supervisor", "person"] = "supervisor"
    seconds_at: float = 0.0
    """Running seconds of the run when it was made; the stall is counted from here."""
    usd_at: float = 0.0
    """Dollars that the run had spent when it was made."""


class Profile(Value):
    """A profiler's report on one candidate and one configuration."""

    id: str
    """Key of the record, made of candidate and configuration; a later profile replaces an earlier
    one."""
    candidate: ObjectId
    configuration: str
    """Name of the configuration; empty means the task's first scored one."""
    report: ObjectId
    """Id of the object with the whole report."""
    summary: str = ""
    """First lines of the report."""
    step: int = 0
    at: Moment


class Occupant(Value):
    """Who sits in the seat: the agent outside that makes the moves of the operator `seat`."""

    name: str = Field(max_length=80)
    """What the client calls itself, such as `claude-code 2.1`."""
    way: Literal["mcp", "command_line", "acp"]
    since: Moment


class EngineRecord(Value):
    """The process that runs a session."""

    pid: int
    host: str
    started: Moment
    version: str = ""
    sandbox: str = ""
    sandbox_warning: str = ""
    """`MachineInfo.sandbox_warning`; every screen shows it where it is not empty."""
    device: str = ""
    restarts: int = 0
    """How often a lost engine was started again by `avo run --keep` or a service, this time
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
    """When the person was asked to approve an attempt; None where none waits."""
    parked_until: Moment | None = None
    head: int | None = None
    budget: Budget = Budget()
    spend: Spend = Spend()
    step: int = 0
    """Number of the current or last step; 0 is the evaluation of the seed."""
    engine: EngineRecord | None = None
    applied: int = 0
    """Number of the last event that was applied."""
    last_event_at: Moment | None = None
    memory_limit: int = MEMORY_LIMIT
    """Most characters of notes that a step starts with."""
    waiting_since: Moment | None = None
    """When the model was asked, or when the last piece of its answer came; None where no answer is
    awaited."""
    degraded: tuple[str, ...] = ()
    """Optional features of the model that are switched off for now, such as `cache`."""
    occupant: Occupant | None = None
    """Who sits in the seat; None where nobody does, or where the operator has no seat."""
