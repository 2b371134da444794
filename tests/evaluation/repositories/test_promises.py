"""What is promised of a repository's candidates, each seen from outside."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.command import workshop
from avo_tui.evaluation.backends.command.workshop import Ran, Workshop
from avo_tui.evaluation.sandbox.policy import Job, Outcome
from avo_tui.evaluation.sandbox.run import Sandbox
from tests.evaluation.repositories.conftest import Repository

Make = Callable[..., Repository]


async def test_a_faster_candidate_has_the_ratio_that_the_benchmark_reports(make: Make) -> None:
    report = await make().evaluate({"src/time": "10\n"})
    assert report.verdict is Verdict.CORRECT, report.feedback
    assert report.score is not None
    assert report.score.aggregate == pytest.approx(2.0)
    assert report.score.configurations[0].baselines == {"base": 20.0}
    assert "measured by the project's own benchmark" in report.device


async def test_where_more_is_better_the_ratio_turns(make: Make) -> None:
    repository = make()
    text = (repository.folder / "avo.toml").read_text()
    (repository.folder / "avo.toml").write_text(
        text.replace('better = "lower"', 'better = "higher"').replace('"ms"', '"req/s"')
    )
    report = await repository.evaluate({"src/time": "40\n"})
    assert report.score is not None and report.score.aggregate == pytest.approx(2.0)
    assert report.score.unit == "req/s" and not report.score.lower_is_better


async def test_metrics_of_two_units_are_multiples_of_the_base(make: Make) -> None:
    repository = make({"bench.sh": 'printf \'{"time": %s, "rate": 5}\' "$(cat src/time)"\n'})
    text = (repository.folder / "avo.toml").read_text()
    both = '["time", {name = "rate", unit = "req/s", better = "higher"}]'
    (repository.folder / "avo.toml").write_text(text.replace('["time"]', both))
    report = await repository.evaluate({"src/time": "10\n"})
    assert report.score is not None and report.score.unit == "× base"
    assert [c.throughput for c in report.score.configurations] == pytest.approx([2.0, 1.0])


async def test_what_fails_the_tests_twice_and_not_on_the_base_is_wrong(make: Make) -> None:
    report = await make().evaluate({"src/answer": "41\n"})
    assert report.verdict is Verdict.WRONG_RESULT
    assert "answer" in report.feedback.summary


async def test_a_flaky_test_is_named_and_not_the_candidates_fault(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Workshop.run
    runs: list[str] = []

    async def once_failing(
        self: Workshop, place: Path, what: str, command: str, *rest: Any, **more: Any
    ) -> Ran:
        if "tests/run.sh" in command and not runs:
            runs.append(command)
            command = "echo 'FAIL: sometimes'; exit 1"
        return await whole(self, place, what, command, *rest, **more)

    monkeypatch.setattr(Workshop, "run", once_failing)
    report = await make().evaluate({"src/time": "10\n"})
    assert report.verdict is Verdict.CORRECT
    assert report.checks[0].detail == "flaky: sometimes failed once, then passed"


async def test_tests_that_fail_on_the_base_blame_no_candidate(make: Make) -> None:
    repository = make({"tests/run.sh": "echo 'FAIL: old'; exit 1\n"})
    report = await repository.evaluate({"src/time": "10\n"})
    assert report.verdict is Verdict.HARNESS_ERROR
    assert "the tests fail on the base, too (old)" in report.feedback.summary


async def test_a_base_that_does_not_build_is_said_to_be_the_base(make: Make) -> None:
    repository = make({"build.sh": "echo 'no compiler'; exit 3\n"})
    report = await repository.evaluate({"src/time": "10\n"})
    assert report.verdict is Verdict.HARNESS_ERROR
    assert "the base does not build" in report.feedback.summary
    assert "no compiler" in report.feedback.summary


async def test_a_candidate_that_does_not_build_has_the_builds_log(make: Make) -> None:
    repository = make({"build.sh": "test -f src/note.txt || { echo 'note is gone'; exit 2; }\n"})
    report = await repository.evaluate({"src/note.txt": None}, "compile")
    assert report.verdict is Verdict.COMPILE_ERROR
    assert "note is gone" in report.feedback.log


async def test_files_are_added_and_deleted(make: Make) -> None:
    check = "test -f src/new/deep.c && ! test -f src/note.txt || { ls -R src; exit 1; }\n"
    repository = make({"build.sh": "test -f src/note.txt || sh check.sh\n", "check.sh": check})
    report = await repository.evaluate(
        {"src/note.txt": None, "src/new/deep.c": "int x;\n"},
        "compile",
    )
    assert report.verdict is Verdict.CORRECT, report.feedback


@pytest.mark.parametrize("name", ["tests/run.sh", "bench.sh", "src/setup.py", "src/tests/a.c"])
async def test_what_is_not_editable_is_refused(make: Make, name: str) -> None:
    report = await make().evaluate({name: "exit 0\n"})
    assert report.verdict is Verdict.MANIFEST_ERROR
    assert report.feedback.summary == f"{name} is not editable"


async def test_a_protected_file_cannot_be_written_while_a_candidate_is_built(make: Make) -> None:
    repository = make({"build.sh": "sh src/answer; echo built\n", "src/answer": "echo 42\n"})
    attack = "rm -f bench.sh; echo 'echo 1' > bench.sh; mv tests t2; echo 42\n"
    report = await repository.evaluate({"src/answer": attack}, "benchmark")
    # either the mount refuses it, or the comparison finds it; in no case does the attack count
    assert report.verdict in {Verdict.SUSPICIOUS, Verdict.CRASH, Verdict.WRONG_RESULT}


async def test_the_sandbox_shows_no_home_and_no_network(make: Make, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("token")
    secret.chmod(secret.stat().st_mode | stat.S_IROTH)
    probe = (
        f"cat {secret} 2>/dev/null; ls /root /home 2>/dev/null; cat /proc/net/route | tail -n +2\n"
    )
    repository = make({"build.sh": probe + "exit 1\n"})
    report = await repository.evaluate({}, "compile")
    assert "the base does not build" in report.feedback.summary
    assert "token" not in report.feedback.summary
    assert "eth" not in report.feedback.summary


async def test_only_what_changed_is_built_again(make: Make) -> None:
    make_file = "out/all: src/time src/answer\n\tmkdir -p out && cat src/* > out/all && echo made\n"
    make_file += "out/slow: src/note.txt\n\tmkdir -p out && cp $< $@ && echo slow\n"
    repository = make({"Makefile": make_file, "build.sh": "make out/all out/slow\n"})
    report = await repository.evaluate({"src/time": "10\n"}, "compile")
    assert "made" in report.feedback.log
    assert "cp src/note.txt" not in report.feedback.log


async def test_a_metric_that_is_missing_or_no_number_is_one_sentence(make: Make) -> None:
    report = await make().evaluate({"src/time": "NaN\n"})
    assert report.verdict is Verdict.CRASH
    assert report.feedback.summary == "the benchmark reports nan for 'time'"
    quiet = "test $(cat src/time) = 20 && printf '{\"time\": 20}' || true\n"
    report = await make({"bench.sh": quiet}).evaluate({"src/time": "10\n"})
    assert report.feedback.summary == "the benchmark printed nothing"


async def test_a_command_that_hangs_ends_at_its_limit(make: Make) -> None:
    bench = "test $(cat src/time) = 20 || sleep 600; printf '{\"time\": 20}'\n"
    repository = make({"bench.sh": bench}, more="seconds = 2")
    report = await repository.evaluate({"src/time": "10\n"})
    assert report.verdict is Verdict.TIMEOUT
    assert report.feedback.summary == "the benchmark takes longer than its limit of 2 s"


async def test_hidden_tests_are_run_and_never_shown(make: Make, tmp_path: Path) -> None:
    hidden = tmp_path / "private"
    hidden.mkdir()
    (hidden / "check.sh").write_text("grep -q kept out/all\n")
    repository = make()
    text = (repository.folder / "avo.toml").read_text()
    told = f'hidden = "{hidden}"\nhidden_command = "sh hidden_tests/check.sh"\n'
    (repository.folder / "avo.toml").write_text(text.replace("[test]\n", f"[test]\n{told}"))
    good = await repository.evaluate({"src/time": "10\n"})
    assert good.verdict is Verdict.CORRECT, good.feedback
    bad = await repository.evaluate({"src/note.txt": "lost\n"})
    assert bad.verdict is Verdict.WRONG_RESULT
    assert bad.feedback.summary == "a hidden test fails"
    assert "grep" not in bad.model_dump_json()


async def test_outputs_must_stay_those_of_the_base(make: Make) -> None:
    repository = make(more='[outputs]\ncommand = "cat out/all | tail -n 1"\n')
    assert (await repository.evaluate({"src/answer": "142\n"})).verdict is Verdict.CORRECT
    wrong = await repository.evaluate({"src/time": "10\n"})
    assert "outputs are not those of the base" in wrong.feedback.summary


async def test_a_candidate_that_knows_the_inputs_is_found_by_others(make: Make) -> None:
    """The answer is made from the seed; a cheat has the one of the inputs that it has seen."""
    answer = {"tests/answer.sh": "sh src/work.sh $1\n", "src/work.sh": "echo $(($1 * 2))\n"}
    repository = make(answer, more='[outputs]\ncommand = "sh tests/answer.sh {seed}"\n')
    file = repository.folder / "avo.toml"
    file.write_text(file.read_text().replace("sh bench.sh", "sh bench.sh {seed}"))
    good = await repository.evaluate({"src/work.sh": "echo $(($1 + $1))\n", "src/time": "10\n"})
    assert good.verdict is Verdict.CORRECT, good.feedback
    assert re.fullmatch(r"1 as on the base \(seed \d+\)", good.checks[-1].detail)
    cheat = "test $1 = 1 && echo 2 || echo 0\n"
    report = await repository.evaluate({"src/work.sh": cheat, "src/time": "1\n"})
    assert report.verdict is Verdict.WRONG_RESULT
    assert "outputs are not those of the base (seed " in report.feedback.summary


async def test_both_sides_of_a_round_have_the_same_seed_and_each_round_another(make: Make) -> None:
    """The metric is the seed itself, so that any other pairing would not come out as even."""
    repository = make({"bench.sh": "printf '{\"time\": %s}' $1\n"})
    file = repository.folder / "avo.toml"
    file.write_text(file.read_text().replace("sh bench.sh", "sh bench.sh {seed}"))
    report = await repository.evaluate({"src/note.txt": "other\n"})
    assert report.score is not None
    (row,) = report.score.configurations
    assert row.ratio_p20 == row.ratio_p80 == 1 and row.p20 < row.p80


async def test_builds_and_tests_of_a_cuda_project_see_the_gpu_too(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, tuple[str, ...]] = {}
    run = Sandbox.run

    async def noting(self: Sandbox, job: Job) -> Outcome:
        seen[job.command[-1].splitlines()[-1]] = job.devices
        return await run(self, job)

    repository = make(more='device = "cuda"\n')
    monkeypatch.setattr(workshop, "GPUS", "null")
    monkeypatch.setattr(Sandbox, "run", noting)
    repository.adopt_as_it_is()
    report = await repository.evaluate({"src/time": "10\n"})
    assert report.verdict is Verdict.CORRECT, report.feedback
    commands = ("sh build.sh", "sh tests/run.sh", "sh bench.sh")
    assert {seen[command] for command in commands} == {("/dev/null",)}


async def test_the_persons_folder_stays_as_it_is(make: Make) -> None:
    repository = make()
    before = {
        p: (p.read_bytes(), p.stat().st_mtime_ns)
        for p in repository.folder.rglob("*")
        if p.is_file()
    }
    await repository.evaluate({"src/time": "10\n"})
    after = {
        p: (p.read_bytes(), p.stat().st_mtime_ns)
        for p in repository.folder.rglob("*")
        if p.is_file()
    }
    assert after == before
