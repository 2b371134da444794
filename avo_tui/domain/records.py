"""The records of a session: versions, steps, attempts, hints, notes, interventions."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from avo_tui.domain.base import Moment, Name, ObjectId, Value
from avo_tui.domain.budget import Budget, Spend
from avo_tui.domain.gate_rules import AuditFinding, GateDecision
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.report import Resources, Stage
from avo_tui.domain.run_settings import PLUGIN_NAME, Level, RunSettings
from avo_tui.domain.score import Score
from avo_tui.domain.task import TaskInfo
from avo_tui.domain.verdict import Verdict

MEMORY_LIMIT = 16_000
"""Default of the option `memory.limit`: largest size of all notes together, in characters."""

FORMAT = 1
"""Version number of the session folder's format."""

Author = Annotated[str, Field(max_length=40, pattern=PLUGIN_NAME)]
"""Who made a version or a note: `seed`, `person`, `supervisor`, or the name of an operator."""
MEANT_BY_AVO = re.compile(r"best|head|v?\d+", re.IGNORECASE)
"""Names of versions that a bookmark must not have: they may be, or become, those of others."""
RunState = Literal[
    "starting", "running", "pausing", "paused", "parked", "stopped", "finished", "lost"
]
"""State of a run. `lost` is never stored: readers derive it when a session is recorded as running
and its engine process no longer exists."""

LIVE_STATES: frozenset[RunState] = frozenset({"starting", "running", "pausing", "paused", "parked"})
"""States in which an engine is expected to be alive."""

StepOutcomeName = Literal["committed", "nothing", "aborted", "rewound", "stopped", "failed"]
HintDelivery = Literal["next_tool", "end_of_turn", "now"]
HintScope = Literal["once", "step", "until_cleared"]
HintState = Literal["queued", "delivered", "expired", "cleared"]
PauseMode = Literal["after_tool", "after_step", "now"]
NoteCategory = Literal["worked", "failed", "idea", "fact"]


class PlanItem(Value):
    text: str
    status: Literal["todo", "doing", "done", "dropped"] = "todo"


class Remeasurement(Value):
    """A later measurement of a version; the score from the gate is kept unchanged."""

    at: Moment
    score: Score
    device: str = ""
    conditions: str = ""
    """`MachineInfo.conditions` of the measurement; empty in old records."""


class Audit(AuditFinding):
    """A second test of a version, based on new measurements only.

    The measurements that led to the commit are not used: they were selected for being the best of
    several candidates, which makes them too favourable.
    """

    at: Moment
    conditions: str = ""
    evaluations: int = 0
    """Number of evaluations that the run had made by the time of the audit."""

    @property
    def line(self) -> str:
        words = {"holds": "holds", "fails": "does not hold", "unclear": "unclear"}[self.outcome]
        return f"{words}: {self.reason}" + (f"; busy machine: {self.busy}" if self.busy else "")


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
    idea: str = ""
    """What this candidate changes and why, in one line. Empty in old records, and where the plan
    says it."""
    plan: str = ""
    """The plan of its step, which may have been of another idea by the time of the commit."""
    summary: str = ""
    author: Author
    model: str = ""
    """The model that made it, or the program in the seat; empty where there is none, and in old
    records."""
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
    origin: str = ""
    """`SESSION:VERSION` that it was carried over from, such as from another line of a campaign;
    empty if it was made in this session."""

    @property
    def title(self) -> str:
        """One line for lists: its idea, else the first line of its plan or summary."""
        text = (self.idea or self.plan or self.summary).strip()
        return text.partition("\n")[0].strip()

    @property
    def flag(self) -> str:
        """The bookmark as it is shown; empty without one.

        Old sessions have some that are called like another version, such as a `best` from before
        there was a better one.
        """
        name = self.bookmark or ""
        return f"once called “{name}”" if MEANT_BY_AVO.fullmatch(name) else name

    @property
    def maker(self) -> str:
        """Who made it, such as `agent (MODEL)`. The name of a model comes from outside."""
        return f"{self.author} ({self.model})" if self.model else self.author

    @property
    def aggregate(self) -> float:
        return self.score.aggregate

    @property
    def ratios(self) -> dict[str, float]:
        """Configuration → ratio to the reference baseline, from the score at the gate."""
        return {row.name: row.ratio for row in self.score.configurations}

    @property
    def timed_against(self) -> tuple[int, float] | None:
        """(version that the gate timed it alternately with, relative gain over that); None where it
        did not."""
        gate = self.gate
        if not gate.remeasured or gate.reference is None or gate.gain is None:
            return None
        return gate.reference, gate.gain

    @property
    def computes_nothing(self) -> bool:
        """True for the empty skeleton that the lineage starts from if the task has no seed."""
        return self.parent is None and self.score.aggregate == 0

    @property
    def holds(self) -> bool:
        """True unless its latest decisive audit found it wrong or no faster."""
        decided = [audit for audit in self.audits if audit.outcome != "unclear"]
        return not decided or decided[-1].outcome == "holds"

    @property
    def under_load(self) -> str:
        """What made the machine busy while the gate timed it; empty if nothing did, or if an audit
        on a quiet machine has decided since. Load is a condition: what is faster under it need not
        be so without."""
        quiet = any(audit.outcome != "unclear" and not audit.busy for audit in self.audits)
        return "" if quiet else self.gate.busy

    @property
    def star(self) -> str:
        """The sign of the best version, where it is this one."""
        return "☆" if self.under_load else "★"

    def score_under(self, conditions: str) -> Score:
        """The latest score measured under these conditions; the one at the gate without any."""
        if not conditions or self.conditions in {"", conditions}:
            return self.score
        for measurement in reversed(self.remeasurements):
            if measurement.conditions == conditions:
                return measurement.score
        return self.score


class Attempt(Value):
    """One candidate evaluated inside a step, committed or not.

    The record is kept small; the full report is stored separately.
    """

    step: int
    number: int
    parent: int
    candidate: ObjectId
    title: str = ""
    """What was tried, in one line."""
    stage: Stage = "compile"
    """The last stage that was started."""
    verdict: Verdict | None = None
    """The verdict; None while the attempt runs."""
    aggregate: float = 0.0
    version: int | None = None
    """Number of the version that the attempt became; None if it did not become one."""
    reason: str = ""
    """Why the attempt was not committed."""
    refused_by_person: bool = False
    """True where the gate had accepted it and the person did not: asked for the same source again,
    the gate gives the same answer."""
    report: ObjectId | None = None
    """Id of the object with the report, in sessions that keep it as an object too."""
    report_event: int = 0
    """Number of the event that contains the report; 0 if there is none, or if `report` names it."""
    seconds: float = 0.0
    cached: bool = False
    sweep: int = 0
    """Number of the first attempt that it was given with, as a variant of one sweep or to a device
    that was not there, before any of them was answered; 0 if it was given alone."""
    worker: str = ""
    """The device that it was measured on, such as `local:1`; "" where the run has only one."""
    at: Moment

    @property
    def has_report(self) -> bool:
        """Whether the attempt was finished, so that a report exists."""
        return self.report is not None or self.report_event > 0

    @property
    def undecided(self) -> bool:
        """Whether the attempt is correct and was neither committed nor rejected yet."""
        return self.aggregate > 0 and self.version is None and not self.reason


class Step(Value):
    """One step: the search for a kernel better than the head. It may end without a new version."""

    number: int
    parent: int
    started: Moment
    command: str = ""
    """Id of the command that the step carries out; empty if the operator makes the step."""
    ended: Moment | None = None
    outcome: StepOutcomeName | None = None
    reason: str = ""
    attempts: int = 0
    version: int | None = None
    spend: Spend = Spend()

    @property
    def seconds(self) -> float:
        return self.spend.seconds

    @property
    def usd(self) -> float:
        return self.spend.usd


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
    """Where the hint was delivered, such as `step 4, before tool 7`, or why it expired."""
    effect: str = ""
    """What the hint changed, such as `TILE_K is pinned to 64` or `not understood by the tuner`."""


class Direction(Value):
    """A new line of exploration that the supervisor proposes."""

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
    """The rule that triggered it, with its numbers, such as `8 attempts since the last commit
    (limit 8)`."""
    diagnosis: str = ""
    """Diagnosis from the session's records: why there is no progress."""
    review: str = ""
    """Diagnosis by a model that reviewed the whole run; empty if there was no review."""
    review_wanted: bool = False
    """True while a review by the model is running that may replace the directions."""
    directions: tuple[Direction, ...] = ()
    avoid: tuple[str, ...] = ()
    """What should no longer be tried, according to the review."""
    state: Literal["active", "dismissed", "done"] = "active"
    by: Literal["supervisor", "person"] = "supervisor"
    seconds_at: float = 0.0
    """Running seconds of the run at this intervention; stall time is counted from here."""
    usd_at: float = 0.0
    """Dollars that the run had spent at this intervention."""


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
    """The outside agent that has the seat, that is, acts as the operator `seat`."""

    name: str = Field(max_length=80)
    """Name and version that the client reports, such as `claude-code 2.1`."""
    way: Literal["mcp", "command_line", "acp"]
    since: Moment
    seconds_at: float | None = None
    """Running seconds of the run when it first sat down, since the seat was last empty; None in old
    records."""
    usd_at: float = 0.0
    """Dollars that the run had spent then."""


class EngineRecord(Value):
    pid: int
    host: str
    started: Moment
    version: str = ""
    sandbox: str = ""
    sandbox_warning: str = ""
    """`MachineInfo.sandbox_warning`; every screen shows it if it is not empty."""
    device: str = ""
    restarts: int = 0
    """How often a lost engine was restarted by `avo run --keep` or a service, including this
    time."""
    machine: MachineInfo | None = None
    """The device that candidates are measured on; that of the engine before until it is known."""


class SessionRecord(Value):
    name: Name
    task: TaskInfo
    created: Moment
    settings: RunSettings
    format: int = FORMAT
    state: RunState = "starting"
    state_reason: str = ""
    state_since: Moment | None = None
    """When the run entered this state."""
    rewound_at: Moment | None = None
    """When the person last rewound the lineage; None if never."""
    approval_since: Moment | None = None
    """When the person was asked to approve an attempt; None if no attempt waits for approval."""
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
    """When the model was asked, or when the last piece of its answer arrived; None if no answer is
    awaited."""
    degraded: tuple[str, ...] = ()
    """Optional features of the model that are switched off for now, such as `cache`."""
    occupant: Occupant | None = None
    """The outside agent that has the seat; None if the seat is empty or the operator has none."""
