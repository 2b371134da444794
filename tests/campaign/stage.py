"""A campaign of the pretend task, and lines that answer commands without a process of their own."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from avo_tui.campaign.conductor import Conductor
from avo_tui.campaign.lines import Processes, Starter
from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.budget import Caps, Spend
from avo_tui.domain.campaigns import Campaign, Line, first_shares, line_session
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import EditMemory, SetBudget, Submit
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Note, Version
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.evolution.process import EngineFailed
from avo_tui.store import (
    CampaignFolder,
    CampaignWriter,
    SessionWriter,
    create_campaign,
    known_sessions,
)
from tests.evolution.fake_evaluator import TASK

MakeStage = Callable[..., "Stage"]


def new_campaign(
    name: str = "race",
    lines: int = 2,
    settings: RunSettings | None = None,
    **fields: object,
) -> CampaignFolder:
    """The folder of a campaign whose lines have no sessions yet."""
    caps = fields.get("caps", Caps())
    assert isinstance(caps, Caps)
    settings = settings or RunSettings(operator="tuner")
    made = tuple(
        Line(
            number=index + 1,
            session=line_session(name, index + 1),
            settings=settings.model_copy(
                update={"random_seed": index, "budget": settings.budget.replaced(run=share)}
            ),
        )
        for index, share in enumerate(first_shares(caps, lines))
    )
    values = {"migrate": 5, **fields}
    folder = create_campaign(
        Campaign.model_validate(
            {"name": name, "task": TASK, "created": now(), "lines": made, **values}
        )
    )
    known_sessions.vouch_for(folder.path)
    return folder


def source(number: int) -> Candidate:
    """A candidate; another number is another one."""
    return Candidate(files={"kernel.cpp": f"// kernel {number}\n"})


class PretendLine:
    """Stands for the engine of a line: holds its session and answers its commands when told to."""

    def __init__(self, folder: Path) -> None:
        self.writer = SessionWriter.open(folder)
        self.writer.record(ev.StateChanged(state="running", reason=""))

    def commit(self, ratio: float, candidate: Candidate, origin: str = "") -> int:
        """A new version."""
        number = len(self.writer.state.versions)
        self.writer.put(candidate.canonical())
        scores = tuple(
            ConfigurationScore(
                name=c.name, parameters=c.parameters, throughput=ratio, p20=ratio, p80=ratio,
                ratio=ratio,
            )
            for c in TASK.configurations
        )  # fmt: skip
        version = Version(
            number=number, parent=None if number == 0 else 0, step=0, candidate=candidate.id,
            score=Score(unit="x", reference_baseline="library", configurations=scores),
            gate=GateDecision(gate="strict", accepted=True, reason="faster"),
            author="tuner", created=now(), origin=origin,
        )  # fmt: skip
        self.writer.record(ev.VersionCommitted(version=version))
        return number

    def spend(self, evaluations: int) -> None:
        self.writer.record(ev.Spent(spend=Spend(evaluations=evaluations)))

    def write_note(self, identity: str, text: str) -> None:
        note = Note(id=identity, text=text, at=now(), author="agent")
        self.writer.record(ev.NoteWritten(note=note))

    def answer(self, *, accept: bool = True) -> list[str]:
        """Take what is in the inbox; returns the ids in the order in which they were taken."""
        taken = []
        for command in self.writer.pending_commands():
            assert not hasattr(command, "reason") or command.id
            if isinstance(command, SetBudget):
                self.writer.record(ev.BudgetChanged(budget=command.budget))
            elif isinstance(command, EditMemory):
                note = Note(
                    id=command.id[-8:], text=command.text or "", at=now(), author=command.author
                )
                self.writer.record(ev.NoteWritten(note=note))
            elif isinstance(command, Submit) and accept:
                best = self.writer.state.best
                better = (best.aggregate if best else 0) + 1
                self.commit(better, command.candidate, command.origin)
            self.writer.record(
                ev.CommandTaken(id=command.id, by="campaign", command="x", effect="done")
            )
            self.writer.command_done(command.id)
            taken.append(command.id)
        return taken

    def end(self, state: str = "stopped") -> None:
        """The engine ends in good order."""
        self.writer.record(ev.EngineStopped.model_validate({"state": state, "reason": "over"}))
        self.writer.close()

    def kill(self) -> None:
        """The engine is gone without a word."""
        self.writer.close()


class AtOnce(Starter):
    """Starts a line before the call returns."""

    def begin(self, folder: Path, restarts: int) -> Future[int]:
        start: Future[int] = Future()
        try:
            start.set_result(self._start(folder, restarts=restarts))
        except EngineFailed as error:
            start.set_exception(error)
        return start


class Stage:
    """A conductor over pretended lines."""

    def __init__(self, folder: CampaignFolder) -> None:
        self.folder = folder
        self.lines: dict[str, PretendLine] = {}
        self.starts: list[str] = []
        self.time = 0.0
        self.begin()

    def begin(self, *, revive: bool = False) -> None:
        """Another process takes the campaign over."""
        self.store = CampaignWriter(self.folder.path)
        starter = AtOnce(self._start)
        processes = Processes(starter, self._take_inbox, lambda: self.time)
        self.conductor = Conductor(self.store, processes, revive=revive)

    def _start(self, folder: Path, *, restarts: int) -> int:
        self.starts.append(folder.name)
        self.lines[folder.name] = PretendLine(folder)
        return 1

    def _take_inbox(self, folder: Path) -> None:
        state = SessionWriter.open(folder)
        before = state.state.session.state
        state.close()
        line = PretendLine(folder)
        line.answer()
        line.end(before)

    def kill(self) -> None:
        """The campaign's process is gone: nothing is said to anybody."""
        self.store.close()

    def line(self, number: int) -> PretendLine:
        return self.lines[line_session(self.folder.name, number)]

    def close(self) -> None:
        self.store.close()
        for line in self.lines.values():
            line.kill()


def seeded(make_stage: MakeStage, **fields: object) -> Stage:
    """A campaign each of whose lines has a seed."""
    stage = make_stage(**fields)
    for number in range(1, len(stage.store.campaign.lines) + 1):
        stage.line(number).commit(1.0, source(0))
    return stage
