"""A campaign: several sessions ("lines") on one task that now and then pass on their best version.

The rules are those of an island model with few migrants: the populations (here: lineages) evolve
apart, and every so many evaluations each sends its best individual to its neighbour on a ring, each
at its own time, where it takes the place of a worse one. Sources: R. Tanese, Distributed Genetic
Algorithms, ICGA 1989; E. Cantú-Paz, Efficient and Accurate Parallel Genetic Algorithms, 2000.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from math import floor
from typing import Annotated, Literal

from pydantic import Field

from avo_tui.domain.base import Moment, Name, ObjectId, Value
from avo_tui.domain.budget import Caps, Spend, exhausted, used
from avo_tui.domain.commands import CommandBase
from avo_tui.domain.records import Note, RunState, Version
from avo_tui.domain.run_settings import OperatorName, RunSettings
from avo_tui.domain.state import SessionState
from avo_tui.domain.task import TaskInfo

MIGRATION_INTERVAL = 20
"""Default number of evaluations of a line between two migrants that it sends."""
MOST_LINES = 64
"""Largest number of lines of a campaign, those that were split off included."""

DividedUnit = Literal["usd", "tokens", "evaluations", "steps"]
DIVIDED: tuple[DividedUnit, ...] = ("usd", "tokens", "evaluations", "steps")
"""Units of the budget that the lines share. Running hours are each line's own: lines run side by
side."""
SMALLEST: dict[DividedUnit, float] = {"usd": 0.01, "tokens": 1, "evaluations": 1, "steps": 1}
"""The smallest amount of each unit that is given to a line."""


class Line(Value):
    number: int = Field(ge=1)
    """1 for the first line; lines that were split off come last."""
    session: Name
    """Name of the line's session."""
    settings: RunSettings
    """What the session is created with, its first share of the budget included."""
    origin: str | None = None
    """`SESSION:VERSION` that a line which was split off starts from; None to start from the
    seed."""
    split_from: int | None = None
    """Number of the line that it was split off from."""
    waits_for: str = ""
    """Id of the command that takes a new line's share from the line it is split off from; the
    session is created once that is on record. Empty if the share is its own already."""
    begun: bool = False
    """Whether its session was created: it is not created again where it was deleted since."""
    intervals: int = 0
    """Number of migration intervals that were dealt with."""
    problem: str = ""
    """Why its session cannot be created or its engine cannot be started; empty if they can."""


class Migration(Value):
    """A version that one line sent to another. What became of it is on record in the receiving
    session, as the answer to the command `id`."""

    id: str
    at: Moment
    source: int
    """Number of the sending line."""
    version: int
    """Number of the version in the sending line."""
    target: int
    """Number of the receiving line."""
    candidate: ObjectId
    ratio: float
    """Aggregate of the version in the sending line: its ratio to the baseline."""
    interval: int
    """The interval of the sending line after which it was sent, counted from 1."""


class Split(CommandBase):
    """Begin a further line from a version of an existing one, with half of what that has left."""

    kind: Literal["split"] = "split"
    line: int
    version: int | None = None
    """Number of the version to start from; None for the line's best."""
    operator: OperatorName | None = None
    """Operator of variation of the new line; None for that of the existing line."""


class SetCaps(CommandBase):
    """Replace the caps of the campaign as a whole. Only what is not None changes."""

    kind: Literal["caps"] = "caps"
    caps: Caps


Order = Annotated[Split | SetCaps, Field(discriminator="kind")]
"""What a person wants of a campaign itself."""


class OrderRecord(Value):
    id: str
    at: Moment
    kind: str
    effect: str = ""
    refused: str | None = None
    """Why it was not carried out; None if it was."""


class Campaign(Value):
    """The record of a campaign. What its lines did is on record in their sessions."""

    name: Name
    task: TaskInfo
    created: Moment
    migrate: int = Field(default=MIGRATION_INTERVAL, ge=0)
    """Evaluations of a line between two migrants that it sends; 0 for no exchange."""
    caps: Caps = Caps()
    """Budget of the whole campaign: the lines share it, except for `hours`, which each has."""
    shared_memory: bool = False
    """Whether notes that a line's agent writes are given to the other lines."""
    lines: tuple[Line, ...]
    migrations: tuple[Migration, ...] = ()
    orders: tuple[OrderRecord, ...] = ()

    def line(self, number: int) -> Line:
        """The line with this number. Raises ValueError with one sentence if there is none."""
        for line in self.lines:
            if line.number == number:
                return line
        raise ValueError(f"{self.name} has no line {number}; its lines are 1 to {len(self.lines)}")

    def with_line(self, line: Line) -> Campaign:
        """A copy in which `line` takes the place of the one with its number, or comes last."""
        known = any(other.number == line.number for other in self.lines)
        lines = tuple(line if other.number == line.number else other for other in self.lines)
        return self.replaced(lines=lines if known else (*lines, line))


class Standing(Value):
    """How a line stands, as far as the rules of the campaign need it."""

    number: int
    state: RunState
    spend: Spend = Spend()
    caps: Caps = Caps()
    """The line's share of the budget, as its session has it on record."""

    @property
    def over(self) -> bool:
        """Whether the line makes no further evaluations unless somebody starts it again."""
        return self.state in {"stopped", "finished"}

    @property
    def spent_up(self) -> bool:
        """Whether its share is used up: what is sent there would not be evaluated."""
        return exhausted(self.caps, self.spend) is not None


def line_session(campaign: str, number: int) -> str:
    return f"{campaign}.{number}"


def next_on_ring(number: int, receivers: Sequence[int]) -> int | None:
    """The neighbour of line `number` on the ring of `receivers`: the next higher number, else the
    lowest. None if there is no other line."""
    others = sorted(other for other in receivers if other != number)
    if not others:
        return None
    return next((other for other in others if other > number), others[0])


def intervals_passed(evaluations: int, migrate: int) -> int:
    """How many migration intervals a line has completed after so many evaluations."""
    return evaluations // migrate if migrate > 0 else 0


def migrant(source: SessionState, target: SessionState) -> Version | None:
    """The version that `source` sends to `target`; None if it has nothing that could help there.

    It is the best of the source, and is sent only if it is better than the best of the target by
    the scores on record and the target has not evaluated the same candidate: the target's gate
    would refuse anything else, at the price of an evaluation.
    """
    best, rival = source.best, target.best
    if best is None or best.computes_nothing or rival is None:
        return None
    if best.aggregate <= rival.aggregate:
        return None
    if any(version.candidate == best.candidate for version in target.versions.values()):
        return None
    if any(
        attempt.candidate == best.candidate and attempt.verdict is not None
        for attempt in target.attempts.values()
    ):
        return None
    return best


def migration_id(campaign: str, source: int, version: int, target: int) -> str:
    """The id of the command that brings a version: the same version never arrives twice."""
    return f"campaign-migrant-{campaign}-{source}-v{version}-{target}"


def note_id(campaign: str, source: int, note: Note) -> str:
    """The id of the command that brings a note to another line; another text is another note."""
    digest = hashlib.sha256(f"{note.category}:{note.text}".encode()).hexdigest()[:8]
    return f"campaign-note-{campaign}-{source}-{note.id}-{digest}"


SHARED_BY = "campaign"
"""Author of the notes that came from another line."""


def shared_text(source: int, note: Note) -> str:
    """The text of a note as the other lines get it."""
    return f"(from line {source}) {note.text}"


def first_shares(caps: Caps, count: int) -> list[Caps]:
    """The caps that `count` lines begin with: equal shares, and the hours of each."""
    shares: list[dict[str, float | int | None]] = [{"hours": caps.hours} for _ in range(count)]
    for unit in DIVIDED:
        total = getattr(caps, unit)
        for share, amount in zip(shares, _divided(unit, total, count), strict=True):
            share[unit] = amount
    return [Caps.model_validate(share) for share in shares]


def _divided(unit: DividedUnit, total: float | None, count: int) -> list[float | None]:
    """`total` in `count` parts that add up to it at most, the larger ones first."""
    if total is None:
        return [None] * count
    if unit == "usd":
        return [total / count] * count
    whole = int(total)
    return [whole // count + (index < whole % count) for index in range(count)]


def half_of_rest(standing: Standing) -> tuple[Caps, Caps]:
    """(caps that a line keeps, caps of the line that is split off from it).

    Of each cap, what is left is halved; the new line gets the smaller half.
    """
    kept, given = standing.caps.model_dump(), standing.caps.model_dump()
    for unit in DIVIDED:
        cap = getattr(standing.caps, unit)
        if cap is None:
            continue
        half = max(0.0, cap - used(standing.spend, unit)) / 2
        given[unit] = half if unit == "usd" else floor(half)
        kept[unit] = cap - given[unit]
    return Caps.model_validate(kept), Caps.model_validate(given)


def new_shares(
    total: Caps, standings: Sequence[Standing], *, revive: bool = False
) -> Mapping[int, Caps]:
    """The shares that must change, by number of line, so that the whole budget is used.

    What a line that is over has not used is taken from it; what no line has is given to those that
    go on, in equal parts. A share is only raised by what is free on record, so that the shares
    together never exceed the budget. `revive`: where every line is over, what is free is given to
    all of them, so that they can be started again.
    """
    if revive and all(standing.over for standing in standings):
        standings = [standing.replaced(state="paused") for standing in standings]
    changes: dict[int, dict[str, float | int | None]] = {}
    for unit in DIVIDED:
        for number, amount in _new_amounts(unit, getattr(total, unit), standings).items():
            before = next(s.caps for s in standings if s.number == number)
            changes.setdefault(number, before.model_dump())[unit] = amount
    for standing in standings:
        if not standing.over and standing.caps.hours != total.hours:
            changes.setdefault(standing.number, standing.caps.model_dump())["hours"] = total.hours
    return {number: Caps.model_validate(caps) for number, caps in changes.items()}


def _new_amounts(
    unit: DividedUnit, total: float | None, standings: Sequence[Standing]
) -> dict[int, float | None]:
    """The shares of one unit that must change."""
    recorded = {s.number: getattr(s.caps, unit) for s in standings}
    if total is None:
        return {number: None for number, share in recorded.items() if share is not None}
    spent = {s.number: used(s.spend, unit) for s in standings}
    shares = {n: spent[n] if share is None else share for n, share in recorded.items()}
    new = dict(shares)
    running = [s.number for s in standings if not s.over]
    over = [s.number for s in standings if s.over]
    for number in over:
        if running and shares[number] - spent[number] >= SMALLEST[unit]:
            new[number] = spent[number]
    free = total - sum(shares.values())
    if running and free >= SMALLEST[unit]:
        for number, more in zip(running, _divided(unit, free, len(running)), strict=True):
            new[number] += more or 0
    elif free <= -SMALLEST[unit]:
        rest = {n: max(0.0, shares[n] - spent[n]) for n in shares}
        left = sum(rest.values())
        keep = max(0.0, left + free) / left if left else 0.0
        new = {n: min(shares[n], spent[n] + rest[n] * keep) for n in shares}
    amounts = {n: amount if unit == "usd" else floor(amount) for n, amount in new.items()}
    return {n: amount for n, amount in amounts.items() if amount != recorded[n]}
