"""Which kinds of events must reach the disk how soon."""

from __future__ import annotations

from avo_tui.domain.events import (
    AgentText,
    AttemptRejected,
    AttemptStarted,
    CandidateEdited,
    CommandTaken,
    EngineStopped,
    EvaluationProgressed,
    GateDecided,
    PairMeasured,
    PlanSet,
    Recovered,
    StateChanged,
    StepFinished,
    StepStarted,
    ToolCalled,
    ToolProgressed,
    ToolReturned,
    TroubleNoted,
    VersionCommitted,
)

DEFERRED = (
    AgentText,
    EvaluationProgressed,
    PlanSet,
    ToolCalled,
    ToolProgressed,
    ToolReturned,
    CandidateEdited,
    StepStarted,
    AttemptStarted,
    PairMeasured,
    GateDecided,
    AttemptRejected,
)
"""Kinds of events that need not be synced individually. They become durable with the
next event that is synced, or within `background_writer.SYNC` seconds. A power cut before that
loses the latest of them, and the step repeats that work. Commands of the person and
their answers, commits, verdicts and spend are durable before anybody is told."""

URGENT = (StateChanged, EngineStopped, TroubleNoted, CommandTaken, Recovered)
"""Kinds of event that may use the reserved disk space: they report that the disk is full."""

SOON = (VersionCommitted, StepStarted, StepFinished, StateChanged, EngineStopped, CommandTaken)
"""Kinds of event that are written to the tables soon, because lists and scripts look for them."""
