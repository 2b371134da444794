"""Share of the machine's peak and the profiler's report, in the output and the score pane."""

from datetime import timedelta
from typing import Any

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.records import EngineRecord, Profile
from avo_tui.ui.charts import Roofline, roofline_rows
from avo_tui.ui.panes.output import profile_lines, roofline_lines
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running

DEVICE = "cpu, 1 thread (invented)"
"""Where the reports of the invented session say that they were measured."""
REPORT = "attention on full-512\n  Compute (SM) Throughput   61 %\n  Achieved Occupancy   42 %"


def machine(device: str) -> MachineInfo:
    return MachineInfo(
        device=device,
        conditions="c",
        peak_flops={"fp32 fused multiply-add": 100e9},
        peak_bytes=20e9,
    )


def with_machine(source: MemorySource, device: str = DEVICE) -> MemorySource:
    best = source.state.best
    at = source.state.session.last_event_at
    assert best is not None and at is not None
    engine = EngineRecord(pid=1, host="h", started=at, machine=machine(device))
    profile = Profile(
        id="p",
        candidate=best.candidate,
        configuration="full-512",
        report="0" * 64,
        summary=REPORT,
        step=3,
        at=at,
    )
    more = timedelta(seconds=1)
    source.waiting = [
        ev.EngineStarted(engine=engine, at=at + more),
        ev.CandidateProfiled(profile=profile, at=at + more),
    ]
    return source


def shown(app: Any, pane: str) -> str:
    return "\n".join(row.plain for row in app.screen.query_one(f"#{pane}-view").lines)


def title_of(app: Any, pane: str) -> str:
    return "".join(words for words, _ in app.screen.query_one(f"#{pane}")._info)


@pytest.mark.parametrize("size", [(120, 40), (80, 24)], ids=str)
async def test_profile_and_share_of_peak(source: MemorySource, size: tuple[int, int]) -> None:
    app = make_app(with_machine(source))
    async with running(app, size) as hands:
        await hands.press("B", "4")
        await hands.until(lambda: "of peak" in shown(app, "output"))
        text = " ".join(shown(app, "output").split())
        assert "profile of full-512" in text and "Achieved Occupancy" in text
        assert "100 GFLOP/s (fp32 fused multiply-add)" in text and "5 operations per byte" in text


async def test_the_roofline_is_one_of_the_charts(source: MemorySource) -> None:
    best = source.state.best
    assert best is not None
    ceilings = {c.name: min(100e9, 20e9 * 4) for c in best.score.configurations}
    task = source.state.session.task.replaced(work=dict.fromkeys(ceilings, (4000000.0, 1000000.0)))
    source.state.change_session(task=task)
    app = make_app(with_machine(source, best.device))
    async with running(app, (120, 40)) as hands:
        await hands.until(lambda: "of peak" in title_of(app, "score"))
        await hands.press("5", "z")
        for _ in range(5):
            if title_of(app, "score") == f"roofline of v{best.number}":
                break
            await hands.press("a")
        text = "\n".join(hands.rows())
        for c in best.score.configurations:
            part = (
                f"{c.throughput * 1e9 / ceilings[c.name]:.0%} of what is possible at 4 operations"
            )
            assert part in text and c.name in text
        await hands.press("a")
        assert "roofline" not in title_of(app, "score")
        await hands.home()


@pytest.mark.parametrize("size", [(16, 4), (30, 5), (48, 10), (90, 24), (200, 60)], ids=str)
def test_the_roofline_fits_its_pane(size: tuple[int, int]) -> None:
    points = (("one", 0.001, 5.0), ("two", 64.0, 61e9), ("beyond", 1e9, 2e12))
    rows = roofline_rows(Roofline(points, 100e9, 20e9), *size)
    assert len(rows) <= size[1] and all(row.width <= size[0] for row in rows)
    assert rows or size[0] < 23


async def test_another_machine_gives_no_share(source: MemorySource) -> None:
    app = make_app(with_machine(source, "another machine"))
    async with running(app, (120, 40)) as hands:
        await hands.press("B", "4")
        await hands.until(lambda: "profile of full-512" in shown(app, "output"))
        assert "of peak" not in shown(app, "output")


def test_nothing_where_nothing_is_known(source: MemorySource) -> None:
    best = source.state.best
    assert best is not None
    assert roofline_lines(best.score, None, 80) == []
    assert roofline_lines(best.score, machine("d").replaced(peak_flops={}), 80) == []
    assert profile_lines((), 80) == []

    for width in (20, 40, 80):
        assert all(row.width <= width for row in roofline_lines(best.score, machine("d"), width))


def test_an_item_of_a_profile_is_wrapped_and_a_table_is_cut() -> None:
    loop = "- 61.1% attention at 1600: 4 deep, 7 instructions: 1 multiply scalar, 2 loads, 0 stores"
    table = "Compute (SM) Throughput        %        93.00    and more than fits into the pane"
    profile = Profile(
        id="p", candidate="0" * 64, configuration="c", report="0" * 64, at=now(),
        summary=f"{loop}\n{table}",
    )  # fmt: skip
    rows = [row.plain for row in profile_lines((profile,), 40)]
    assert " ".join(" ".join(rows[1:-1]).replace("·", "").split()) == loop[2:]
    assert len(rows) == 5 and rows[-1].startswith("Compute (SM)") and len(rows[-1]) <= 40
