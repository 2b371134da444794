"""Conducts a campaign: creates its lines, keeps them alive, shares the budget, passes versions on.

Everything is decided from what is on disk. A decision is written into the campaign's record before
it is carried out, and commands to the lines carry ids of their own, which an engine carries out
once: the process can be killed at any instant and another one goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from avo_tui.campaign.lines import LineSession, Processes, budget_of
from avo_tui.campaign.orders import carry_out
from avo_tui.domain.base import now
from avo_tui.domain.budget import Caps
from avo_tui.domain.campaigns import (
    SHARED_BY,
    Line,
    Migration,
    Standing,
    half_of_rest,
    intervals_passed,
    migrant,
    migration_id,
    new_shares,
    next_on_ring,
    note_id,
    shared_text,
)
from avo_tui.domain.commands import EditMemory, SetBudget, Submit
from avo_tui.evolution.process import EngineFailed
from avo_tui.store import CampaignWriter, StoreError

log = logging.getLogger(__name__)

BUDGET = "campaign-budget"
"""How the ids of the commands begin that change a line's share."""
SETTLE_ROUNDS = 200
SETTLE_SECONDS = 0.1


class Conductor:
    """One process's work on a campaign, round by round."""

    def __init__(
        self,
        store: CampaignWriter,
        processes: Processes | None = None,
        *,
        revive: bool = False,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        """`revive`: where every line is over, a larger budget is shared among all of them.

        `ending`: whether the process was asked to end; no further engine is started then.
        """
        self._store = store
        self._revive = revive
        self._ending = ending
        self._processes = processes or Processes()
        self._sessions: dict[int, LineSession] = {}

    def look(self) -> bool:
        """One round. Returns False once every line is over and no order waits.

        Trouble with one line is recorded with it and holds up no other. Raises FolderLost if the
        campaign's folder was replaced, and StoreError where its record cannot be written.
        """
        orders, settled = self._read()
        for line in self._store.campaign.lines:
            if self._ending():
                return True
            self._attempt(line, self._bring_up)
        if settled:
            self._share_budget()
        self._resend()
        for line in self._store.campaign.lines:
            self._attempt(line, self._exchange)
        if self._store.campaign.shared_memory:
            for line in self._store.campaign.lines:
                self._attempt(line, self._share_notes)
        return orders or not self._over()

    def _over(self) -> bool:
        """Whether no line goes on, or can be made to."""
        going = [number for number, s in self._standings().items() if not s.over]
        # a full disk keeps all lines from beginning, and passes; where others ran, it is the line
        if len(going) == len(self._store.campaign.lines):
            return False
        return all(self._unusable(number) for number in going)

    def _unusable(self, number: int) -> bool:
        """Whether the session of a line cannot be created or read."""
        session, line = self._sessions[number], self._store.campaign.line(number)
        return session.reader is None and bool(line.problem)

    def look_at_orders(self) -> bool:
        """Carry out the orders and share the budget, and nothing else. Returns whether a line that
        is over has not taken its new share yet."""
        _, settled = self._read()
        if settled:
            self._share_budget()
        return any(s.waits(BUDGET) for s in self._sessions.values() if s.ended)

    def _read(self) -> tuple[bool, bool]:
        """Read all lines and carry out the orders: (was there any, is no share being changed)."""
        self._store.heartbeat()
        # asked before the sessions are read: what is no longer in an inbox is on record by then
        settled = not any(self._session(line).waits(BUDGET) for line in self._store.campaign.lines)
        for line in self._store.campaign.lines:
            self._open(line)
            self._attempt(line, self._deliver)
        orders = self._store.waiting_orders()
        for order in orders:
            carry_out(self._store, order, self._sessions)
        for line in self._store.campaign.lines:
            self._open(line)
        return bool(orders), settled

    # -- lines

    def _session(self, line: Line) -> LineSession:
        session = self._sessions.get(line.number)
        if session is None:
            session = LineSession(self._store.session(line), self._processes)
            self._sessions[line.number] = session
        return session

    def _open(self, line: Line) -> LineSession:
        session = self._session(line)
        try:
            session.open()
        except StoreError as error:
            self._problem(line, str(error))
        return session

    def _deliver(self, line: Line) -> None:
        """Until a share is on record that waits in the inbox of an ended line, none can change."""
        self._session(line).deliver(BUDGET)

    def _attempt(self, line: Line, work: Callable[[Line], None]) -> None:
        """Do something for a line; what goes wrong is recorded as the line's problem."""
        try:
            work(line)
        except (EngineFailed, StoreError, OSError, ValueError) as error:
            self._problem(line, str(error))

    def _problem(self, line: Line, problem: str) -> None:
        current = self._store.campaign.line(line.number)
        if current.problem != problem:
            if problem:
                log.warning("%s: %s", line.session, problem)
            self._store.write(self._store.campaign.with_line(current.replaced(problem=problem)))

    def _standings(self) -> Mapping[int, Standing]:
        return {
            line.number: self._sessions[line.number].standing(line)
            for line in self._store.campaign.lines
            if line.number in self._sessions
        }

    def _bring_up(self, line: Line) -> None:
        """Create the session of a line that has none; start its engine where it is lost."""
        session = self._open(line)
        if line.begun and not session.folder.exists():
            raise StoreError(
                f"its session is gone: {session.folder} was deleted or moved; it is not begun anew"
            )
        if session.reader is None:
            if line.waits_for and not self._share_arrived(line):
                return
            session.create(self._store.campaign, line)
        if not line.begun:
            begun = self._store.campaign.line(line.number).replaced(begun=True)
            self._store.write(self._store.campaign.with_line(begun))
        problem = session.keep_alive()
        if problem or (session.reader is not None and session.reader.engine().alive):
            self._problem(line, problem)

    def _share_arrived(self, line: Line) -> bool:
        """Take the share of a line that is split off from its parent; True once on record."""
        assert line.split_from is not None
        parent = self._sessions[line.split_from]
        if not parent.answered(line.waits_for):
            if not parent.waits(line.waits_for):
                known = self._store.campaign.line(line.split_from)
                kept, given = half_of_rest(parent.standing(known))
                settings = line.settings.model_copy(
                    update={"budget": line.settings.budget.replaced(run=given)}
                )
                self._store.write(self._store.campaign.with_line(line.replaced(settings=settings)))
                budget = budget_of(parent, known).replaced(run=kept)
                parent.send(SetBudget(budget=budget), line.waits_for)
            return False
        self._store.write(
            self._store.campaign.with_line(
                self._store.campaign.line(line.number).replaced(waits_for="")
            )
        )
        return True

    # -- the budget

    def _share_budget(self) -> None:
        """Give what is free to the lines that go on, once no share is being changed."""
        campaign = self._store.campaign
        if any(line.waits_for for line in campaign.lines):
            return
        standings = list(self._standings().values())
        for number, caps in new_shares(campaign.caps, standings, revive=self._revive).items():
            session = self._sessions[number]
            if session.reader is not None:
                self._attempt(campaign.line(number), partial(self._set_share, caps))

    def _set_share(self, caps: Caps, line: Line) -> None:
        session = self._sessions[line.number]
        assert session.reader is not None
        budget = budget_of(session, line).replaced(run=caps)
        identity = f"{BUDGET}-{session.reader.state.session.applied:012d}"
        session.send(SetBudget(budget=budget), identity)

    # -- migration

    def _exchange(self, line: Line) -> None:
        """Send the line's best to its neighbour if another migration interval has passed, or if
        the line is over."""
        campaign = self._store.campaign
        line = campaign.line(line.number)
        session = self._sessions[line.number]
        if session.reader is None:
            return
        state = session.reader.state
        passed = intervals_passed(state.session.spend.evaluations, campaign.migrate)
        last_word = session.ended and campaign.migrate > 0  # no interval will pass any more
        if passed <= line.intervals and not last_word:
            return
        if not self._can_compare(line):
            return  # the interval is dealt with once the neighbour has its first version
        migration = self._migration(line, passed)
        if migration is None and passed <= line.intervals:
            return
        campaign = campaign.with_line(line.replaced(intervals=max(passed, line.intervals)))
        if migration is not None:
            campaign = campaign.replaced(migrations=(*campaign.migrations, migration))
        self._store.write(campaign)
        if migration is not None:
            self._send(migration)

    def _neighbour(self, line: Line) -> int | None:
        """Number of the line that receives from this one; None if there is none."""
        receivers = [
            number
            for number, standing in self._standings().items()
            if not (standing.over or standing.spent_up or self._unusable(number))
        ]
        return next_on_ring(line.number, receivers)

    def _can_compare(self, line: Line) -> bool:
        """Whether the neighbour, if there is one, has a version to compare with."""
        neighbour = self._neighbour(line)
        if neighbour is None:
            return True
        reader = self._sessions[neighbour].reader
        return reader is not None and bool(reader.state.versions)

    def _migration(self, line: Line, interval: int) -> Migration | None:
        """What the line sends to its neighbour now; None if nothing would help there."""
        campaign = self._store.campaign
        neighbour = self._neighbour(line)
        if neighbour is None:
            return None
        source, target = self._sessions[line.number].reader, self._sessions[neighbour].reader
        if source is None or target is None:
            return None
        best = migrant(source.state, target.state)
        if best is None:
            return None
        identity = migration_id(campaign.name, line.number, best.number, neighbour)
        if any(migration.id == identity for migration in campaign.migrations):
            return None
        return Migration(
            id=identity,
            at=now(),
            source=line.number,
            version=best.number,
            target=neighbour,
            candidate=best.candidate,
            ratio=best.aggregate,
            interval=interval,
        )

    def _resend(self) -> None:
        """Send again what was recorded and not sent, because the process was killed in between."""
        for migration in self._store.campaign.migrations:
            target = self._sessions[migration.target]
            if target.answered(migration.id) or target.waits(migration.id):
                continue
            if not target.ended:
                line = self._store.campaign.line(migration.target)
                self._attempt(line, partial(self._bring, migration))

    def _bring(self, migration: Migration, _: Line) -> None:
        self._send(migration)

    def _send(self, migration: Migration) -> None:
        """Put a version into the inbox of the line that receives it; its gate decides."""
        line = self._store.campaign.line(migration.source)
        source = self._sessions[migration.source].reader
        version = None if source is None else source.state.versions.get(migration.version)
        if source is None or version is None:
            raise StoreError(
                f"v{migration.version} of {line.session} cannot be read to be sent on: "
                f"`avo doctor {line.session} --repair` mends what can be mended"
            )
        title = version.title
        origin = f"{line.session}:{version.number}"
        self._sessions[migration.target].send(
            Submit(
                candidate=source.candidate(migration.candidate),
                plan=f"carried over from {origin}" + (f": {title}" if title else ""),
                summary=version.summary,
                author=version.author,
                model=version.model[:200],
                origin=origin,
            ),
            migration.id,
        )

    # -- notes

    def _share_notes(self, line: Line) -> None:
        """Give the notes of a line's agent to every other line that goes on."""
        campaign = self._store.campaign
        source = self._sessions[line.number].reader
        if source is None:
            return
        for note in source.state.memory.values():
            if note.author == SHARED_BY:
                continue
            identity = note_id(campaign.name, line.number, note)
            for number, standing in self._standings().items():
                session = self._sessions[number]
                if number == line.number or standing.over or session.reader is None:
                    continue
                if session.answered(identity) or session.waits(identity):
                    continue
                command = EditMemory(
                    category=note.category,
                    text=shared_text(line.number, note),
                    author=SHARED_BY,
                )
                session.send(command, identity)


def settle(store: CampaignWriter, *, revive: bool, processes: Processes | None = None) -> None:
    """Take the orders that wait and share the budget, without going on with any line.

    Engines that run only for a moment take the new shares.

    For a campaign whose process does not run. `revive`: as for `Conductor`.
    """
    conductor = Conductor(store, processes, revive=revive)
    for _ in range(SETTLE_ROUNDS):
        if not conductor.look_at_orders():
            return
        time.sleep(SETTLE_SECONDS)
