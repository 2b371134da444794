"""Transfer from another session, and the tuner where there is nothing to tune."""

from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import ClearHint, Resume, SendHint, SetOptions, Submit
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evolution.create import create_session
from avo_tui.evolution.options import changed_settings
from avo_tui.store import StoreError, send_command
from tests.evolution.fake_evaluator import TASK, FakeEvaluator
from tests.evolution.laboratory import Laboratory, MakeLab
from tests.evolution.test_engine import capped, with_values


class OneKernel(FakeEvaluator):
    """A task whose seed is given."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.seed = Candidate(files={"kernel.cpp": source})


FULL = """\
constexpr int ALGORITHM = 2;
constexpr int TILE_K = 16;  // tune: 16 32
constexpr int UNROLL = 1;
constexpr int WIDTH = 1;
constexpr bool FAST_EXP = false;  // tune: false true
"""


async def test_a_session_may_start_from_a_version_of_another(
    make_lab: MakeLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVO_SESSIONS", str(tmp_path))
    first = make_lab(capped(evaluations=10), name="first")
    first.start()
    await first.ended()
    best = first.state.best
    assert best is not None and best.number > 0
    folder = create_session("second", TASK, capped(steps=1), f"first:v{best.number}")
    second = Laboratory(folder)
    second.start()
    assert await second.ended() == "finished"
    root = second.state.versions[0]
    assert root.candidate == best.candidate
    assert root.parent is None and root.author == "seed"
    assert f"first:v{best.number}" in root.summary
    assert second.state.session.settings.origin == f"first:v{best.number}"


@pytest.mark.parametrize(
    ("origin", "says"),
    [
        ("first", "is not SESSION:VERSION"),
        ("first:x", "is not SESSION:VERSION"),
        ("first:7", "first has no v7"),
        ("nowhere:0", "no session 'nowhere'"),
    ],
)
async def test_transfers_that_cannot_be(
    make_lab: MakeLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str, says: str
) -> None:
    monkeypatch.setenv("AVO_SESSIONS", str(tmp_path))
    first = make_lab(capped(evaluations=1), name="first")
    first.start()
    await first.ended()
    with pytest.raises(StoreError, match=says):
        create_session("second", TASK, RunSettings(), origin)
    assert not (tmp_path / "second").exists(), "nothing is left behind"
    cuda = TASK.model_copy(update={"language": "cuda"})
    with pytest.raises(StoreError, match="first:0 is cpp, and pretend takes cuda"):
        create_session("second", cuda, RunSettings(), "first:0")


async def test_a_kernel_without_tunables_pauses_the_tuner_with_a_sentence(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = FULL.replace("  // tune: 16 32", "").replace("  // tune: false true", "")
    monkeypatch.setattr("tests.evolution.fake_evaluator.speed", lambda candidate: 0.1)
    lab = make_lab(None, OneKernel(plain))
    lab.start()
    await lab.in_state("paused")
    assert "v0 declares no tunables" in lab.state.session.state_reason
    assert "// tune: 16 32 64" in lab.state.session.state_reason


async def test_a_flaw_in_a_declaration_is_named(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.evolution.fake_evaluator.speed", lambda candidate: 0.1)
    lab = make_lab(None, OneKernel("int x;\nconstexpr int A = 5;  // tune: 1 2\n"))
    lab.start()
    await lab.in_state("paused")
    assert "kernel.cpp line 2: A = 5 is not among" in lab.state.session.state_reason


async def test_when_every_point_was_tried_the_run_is_finished_and_a_pin_waits_for_the_person(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tests.evolution.fake_evaluator.speed",
        lambda candidate: 0.1 + 0.01 * ("= true" in candidate.files["kernel.cpp"]),
    )
    lab = make_lab(RunSettings(options={"supervisor.attempts": 0}), OneKernel(FULL))
    lab.start()
    await lab.versions(1)
    pin = await lab.send(SendHint(text="FAST_EXP=false", scope="until_cleared"))
    await lab.until(lambda: lab.state.session.state in {"paused", "finished"})
    if lab.state.session.state == "paused":
        assert "with FAST_EXP pinned; clear the hint" in lab.state.session.state_reason
        await lab.send(ClearHint(hint=pin.id))
        await lab.send(Resume())
    await lab.ended()
    assert lab.state.session.state == "finished"
    assert "every one of the 4 points" in lab.state.session.state_reason
    assert len(set(lab.evaluator.evaluations)) == len(lab.evaluator.evaluations) == 4


async def test_what_the_tuner_says_is_on_record(make_lab: MakeLab) -> None:
    lab = make_lab(capped(evaluations=12))
    lab.start()
    await lab.ended()
    plans, edits, prose = lab.of(ev.PlanSet), lab.of(ev.CandidateEdited), lab.of(ev.AgentText)
    assert len(plans) == len(edits) == len(prose) >= 11
    assert plans[0].title == "Vary v0 to beat v0 (0.050)"
    for plan in plans:
        assert sum(item.status == "doing" for item in plan.items) == 1
    for edit, text in zip(edits, prose, strict=True):
        assert edit.title in text.text and "→" in edit.title
        assert edit.added == edit.removed > 0
        assert edit.diff.startswith("--- a/kernel.cpp")
    for attempt in lab.state.attempts.values():
        assert attempt.version is not None or attempt.reason, "every attempt has its outcome"


async def test_the_tuner_varies_what_a_person_committed(make_lab: MakeLab) -> None:
    """A kernel whose text is another one, with the same tunables."""
    lab = make_lab(RunSettings(options={"supervisor.attempts": 0}))
    lab.hold_from(1)
    lab.start()
    await lab.held()  # so that what the tuner has tried by then is always the same
    # the best there is, so that it passes whatever the tuner has found by then
    best = with_values(ALGORITHM="2", WIDTH="16", FAST_EXP="true", TILE_K="64", UNROLL="4")
    by_hand = best.files["kernel.cpp"].replace("A pretend", "Another")
    command = Submit(candidate=Candidate(files={"kernel.cpp": by_hand}))
    identity = send_command(lab.folder, command)
    await lab.until(lambda: lab.run.control.jobs)
    lab.evaluator.let_go()
    await lab.until(lambda: identity in lab.state.commands)
    assert "committed as" in lab.state.commands[identity].effect
    mark = len(lab.state.attempts)
    await lab.until(lambda: len(lab.state.attempts) > mark + 10)
    newest = list(lab.state.attempts.values())[-1]
    assert lab.engine is not None
    assert "Another" in lab.run.candidate(newest.candidate).files["kernel.cpp"]


BEST = """\
constexpr int ALGORITHM = 2;  // tune: 0 1 2
constexpr int TILE_K = 64;  // tune: 16 32 64 128
constexpr int UNROLL = 4;  // tune: 1 2 4 8
constexpr int WIDTH = 16;  // tune: 1 4 8 16
constexpr bool FAST_EXP = true;  // tune: false true
"""


async def test_the_tuners_options_hold_from_the_next_attempt_on(tmp_path: Path) -> None:
    """Nothing beats the seed, so each step lasts as many attempts as the option says."""
    settings = capped(steps=3).replaced(options={"tuner.attempts": 2, "supervisor.attempts": 0})
    lab = Laboratory(tmp_path / "s", settings, evaluator=OneKernel(BEST))
    lab.start()
    await lab.until(lambda: len(lab.of(ev.StepFinished)) == 1)
    change = await lab.send(SetOptions(options={"tuner.attempts": "4"}))
    assert change.refused is None and "tuner.attempts is 4" in change.effect
    assert await lab.ended() == "finished"
    told = [step.reason.partition(" ")[0] for step in lab.of(ev.StepFinished)]
    assert told[0] == "2" and told[-1] == "4"
    for name, value in (("attempts", "0"), ("boldness", "many"), ("size", 3)):
        with pytest.raises(ValueError, match=name):
            changed_settings(settings, {f"tuner.{name}": value})
