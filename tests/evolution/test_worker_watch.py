"""What the person is told of devices that are lost, set aside, or back."""

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.workers import WorkerStateName, WorkerStatus
from avo_tui.evolution.watch.workers import WorkerWatch
from tests.evolution.fake_evaluator import FakeEvaluator
from tests.evolution.laboratory import MakeLab
from tests.evolution.test_engine import capped


class Watched(FakeEvaluator):
    """Two devices, whose states a test sets."""

    width = 2

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[str, tuple[WorkerStateName, str, int]] = {
            "local:0": ("idle", "", 0), "local:1": ("busy", "", 0),
        }  # fmt: skip

    def workers(self) -> tuple[WorkerStatus, ...]:
        return tuple(
            WorkerStatus(name=name, state=state, reason=why, since=now(), losses=losses)
            for name, (state, why, losses) in self.states.items()
        )


async def test_each_change_is_told_once_with_what_is_left(make_lab: MakeLab) -> None:
    evaluator = Watched()
    lab = make_lab(capped(steps=1), evaluator=evaluator)
    lab.start()
    await lab.until(lambda: lab.state.versions)
    watch = WorkerWatch(lab.run)
    changes: list[tuple[WorkerStateName, str, int]] = [
        ("busy", "", 0), ("lost", "no route to host", 1), ("lost", "no route to host", 1),
        ("idle", "", 1), ("busy", "", 2), ("set_aside", "another driver", 2),
    ]  # fmt: skip
    for change in changes:
        evaluator.states["local:1"] = change
        watch.look()
    await lab.ended()
    told = [
        e.message for e in lab.events if isinstance(e, ev.TroubleNoted) and e.where == "devices"
    ]
    assert told[:4] == [
        "local:1 is lost: no route to host; 1 of 2 devices can be used",
        "local:1 is back; 2 of 2 devices can be used",
        "local:1 was lost for a moment, and is back; 2 of 2 devices can be used",
        "local:1 is set aside: another driver; 1 of 2 devices can be used",
    ]
