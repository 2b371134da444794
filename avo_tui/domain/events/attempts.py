"""Events about attempts, the acceptance gate, versions and audits."""

from __future__ import annotations

from typing import Literal

from avo_tui.domain.base import ObjectId
from avo_tui.domain.events.base import EventBase
from avo_tui.domain.evidence import Comparison
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Attempt, Audit, Profile, Remeasurement, Version
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.score import Score


class CandidateProfiled(EventBase):
    """A profiler measured a candidate."""

    kind: Literal["candidate_profiled"] = "candidate_profiled"
    profile: Profile


class AttemptStarted(EventBase):
    kind: Literal["attempt_started"] = "attempt_started"
    attempt: Attempt


class EvaluationProgressed(EventBase):
    """A stage of an evaluation began or ended, or one of its configurations is done.

    Only for live display: it is not written to the journal. Journals of older versions contain it.
    """

    kind: Literal["evaluation_progressed"] = "evaluation_progressed"
    attempt: int
    progress: EvaluationProgress


class AttemptFinished(EventBase):
    """An attempt was evaluated. A later event says whether it becomes a version."""

    kind: Literal["attempt_finished"] = "attempt_finished"
    attempt: int
    report: EvaluationReport
    ref: ObjectId | None = None
    """Id of an object with the same report, in sessions of older versions."""


class PairMeasured(EventBase):
    """A replicate was added to a comparison: one pair of fresh processes, timed in turn."""

    kind: Literal["pair_measured"] = "pair_measured"
    attempt: int = 0
    """The comparison; its `replicates` contains only the new replicate."""
    comparison: Comparison
    """The comparison; its `replicates` holds only the new one."""


class GateDecided(EventBase):
    kind: Literal["gate_decided"] = "gate_decided"
    attempt: int
    decision: GateDecision
    score: Score | None = None
    """The candidate's score, measured again because the gain at the gate and the first score
    disagreed."""


class AttemptRejected(EventBase):
    """The attempt does not become a version."""

    kind: Literal["attempt_rejected"] = "attempt_rejected"
    attempt: int
    reason: str
    by_person: bool = False
    """True if the gate had accepted the attempt and the person rejected it."""


class ApprovalRequested(EventBase):
    kind: Literal["approval_requested"] = "approval_requested"
    attempt: int
    decision: GateDecision


class ApprovalGiven(EventBase):
    kind: Literal["approval_given"] = "approval_given"
    attempt: int
    approved: bool
    reason: str = ""


class VersionCommitted(EventBase):
    """A version was committed. It becomes the head unless it is on a branch."""

    kind: Literal["version_committed"] = "version_committed"
    version: Version
    becomes_head: bool = True


class VersionRemeasured(EventBase):
    kind: Literal["version_remeasured"] = "version_remeasured"
    number: int
    measurement: Remeasurement


class VersionAudited(EventBase):
    """A version was measured again, alternately with the version it had beaten, in fresh
    processes."""

    kind: Literal["version_audited"] = "version_audited"
    number: int
    audit: Audit
    head: int | None = None
    """Number of the new head if the version was the head and failed the audit; None otherwise."""


class VersionAnnotated(EventBase):
    """The bookmark and the note of a version were set."""

    kind: Literal["version_annotated"] = "version_annotated"
    number: int
    bookmark: str | None = None
    note: str = ""
