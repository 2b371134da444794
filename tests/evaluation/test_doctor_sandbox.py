"""What the doctor says of confinement: what is missing, and how it is to be had."""

from pathlib import Path

import pytest

from avo_tui.evaluation import doctor
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.report import as_text
from avo_tui.evaluation.sandbox.isolation_level import Level
from avo_tui.evaluation.sandbox.policy import Isolation, SandboxError
from avo_tui.evaluation.sandbox.run import Sandbox
from tests.evaluation.asking import evaluated
from tests.evaluation.evaluation_support import TASKS, needs_compiler


def _offers(monkeypatch: pytest.MonkeyPatch, levels: dict[Isolation, Level]) -> None:
    async def level(self: Sandbox) -> Level:
        kind = self._wanted
        if kind not in levels:
            raise SandboxError(f"{kind} does not work here")
        return levels[kind]

    monkeypatch.setattr(Sandbox, "level", level)
    monkeypatch.setattr(doctor, "bubblewrap", lambda: "/usr/bin/bwrap")


WEAK = Level(Isolation.PROCESSES, 0, True, "", 5.0)


async def test_a_machine_that_confines_is_well(scratch_base: Path) -> None:
    finding = await doctor.examine_sandbox(allow_weak=False)
    assert finding.state == "ok", finding.text
    assert "limits" in finding.text


@pytest.mark.parametrize(("allow", "state"), [(False, "fail"), (True, "warn")])
async def test_a_weak_sandbox_is_said_with_the_way_out(
    allow: bool, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _offers(monkeypatch, {Isolation.PROCESSES: WEAK})
    finding = await doctor.examine_sandbox(allow_weak=allow)
    assert finding.state == state
    for word in ("weak", "the user's files", "bubblewrap", "user namespaces", "does not work here"):
        assert word in finding.text


async def test_no_sandbox_at_all_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    _offers(monkeypatch, {})
    finding = await doctor.examine_sandbox(allow_weak=True)
    assert finding.state == "fail" and "install bubblewrap" in finding.text


@pytest.mark.parametrize("allow", [False, True])
@needs_compiler
async def test_an_evaluation_on_a_weak_machine(allow: bool, scratch_base: Path) -> None:
    """Refused with one sentence; where that was allowed it runs, and the report says so."""
    pipeline = Pipeline(TASKS)
    pipeline.sandbox = Sandbox(allow_weak=allow, isolation=Isolation.PROCESSES)
    pipeline.sandbox.landlock = False
    seed = pipeline.tasks.get("tiny_attention").seed()
    report = await evaluated(pipeline, "tiny_attention", seed, "compile", lambda progress: None)
    if allow:
        assert report.verdict == "correct", report.feedback
        assert report.sandbox_warning.startswith("weak sandbox")
        assert report.sandbox.endswith("(weak)")
        assert "weak sandbox" in as_text(report)
    else:
        assert report.verdict == "harness_error"
        assert "--allow-weak-sandbox" in report.feedback.summary
