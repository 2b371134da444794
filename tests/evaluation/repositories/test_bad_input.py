"""Commands that misbehave in a candidate: one sentence each, and nothing reaches the outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.command import base as bases
from avo_tui.evaluation.backends.command.adopting import pin, propose
from avo_tui.evaluation.backends.command.base import MOST_BASE_BYTES, take_base
from avo_tui.evaluation.backends.command.project import read_project
from avo_tui.evaluation.ports import EvaluatorError
from tests.evaluation.repositories.conftest import Repository

Make = Callable[..., Repository]
CANDIDATE: dict[str, str | None] = {"src/time": "10\n"}
RESULT = "printf '{\"time\": %s}' $(cat src/time)\n"


def misbehaving(command: str) -> dict[str, str]:
    """A benchmark that does this for a candidate, and not for the base."""
    return {"bench.sh": f"test $(cat src/time) = 20 || {{ {command}; }}\n{RESULT}"}


@pytest.mark.parametrize(
    ("command", "limits", "words"),
    [
        ("for n in $(seq 200); do sleep 60 & done; wait", "processes = 40",
         "starts more than its limit of 40 processes"),
        ("head -c 200000000 /dev/zero > large; cat large large large large > larger; sleep 60",
         "disk_gb = 0.05", "writes more than its limit of 0.05 GB"),
        ("cat /dev/zero", "", "prints more than it may"),
        ("kill -SEGV $$", "", "ended by signal 11"),
        ("exit 3", "", "ended with exit code 3"),
    ],
)  # fmt: skip
async def test_a_benchmark_that_takes_too_much_ends_with_a_sentence(
    make: Make, command: str, limits: str, words: str
) -> None:
    report = await make(misbehaving(command), more=f"[limits]\n{limits}\n").evaluate(CANDIDATE)
    assert report.verdict is Verdict.CRASH, report.feedback
    assert words in report.feedback.summary
    assert report.score is None


async def test_nothing_is_written_outside(make: Make, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    tried = f"echo x > {victim}; echo x > {tmp_path}/new; rm -rf {tmp_path}/counter; true"
    repository = make(misbehaving(tried))
    await repository.evaluate(CANDIDATE)
    assert victim.read_text() == "kept" and not (tmp_path / "new").exists()
    assert (repository.folder / "bench.sh").exists()


async def test_no_run_sees_what_another_one_left(make: Make) -> None:
    """The second run in one tree would report a hundredth."""
    keeping = "test -f left && echo 0.2 > out/time || cp src/time out/time; touch left\n"
    result = "printf '{\"time\": %s}' $(cat out/time)\n"
    report = await make({"bench.sh": keeping + result}).evaluate(CANDIDATE)
    assert report.score is not None
    (row,) = report.score.configurations
    assert row.throughput == 10 and row.ratio_p20 == row.ratio_p80 == 2


async def test_a_link_out_of_the_base_leads_nowhere(make: Make, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("1")
    (tmp_path / "counter").mkdir()
    (tmp_path / "counter" / "link").symlink_to(secret)
    repository = make({"bench.sh": "test -f link && echo seen; " + RESULT})
    report = await repository.evaluate(CANDIDATE)
    assert report.verdict is Verdict.CORRECT and "seen" not in report.model_dump_json()
    base = take_base(repository.folder, read_project(repository.folder))
    assert base.foreign_links == ("link",)
    repository.write({"build.sh": "cat link\n"})
    repository.adopt()
    report = await repository.evaluate(CANDIDATE)
    assert "; link is a link out of the tree" in report.feedback.summary


def test_a_base_that_is_too_large_says_what_to_leave_out(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without content has any size."""
    repository = make()
    with (repository.folder / "data.bin").open("wb") as file:
        file.truncate(MOST_BASE_BYTES + 1)
    with pytest.raises(EvaluatorError, match='exclude = \\["data"\\]'):
        bases.copied(repository.folder)
    (repository.folder / "avo.toml").unlink()
    given = {"test.command": "true", "benchmark.command": "sh bench.sh"}
    proposed, _ = propose(repository.folder, given)
    assert 'base = "copy"' in proposed  # written before the copy, so that it can be said there
    (repository.folder / "avo.toml").write_text(proposed)
    with pytest.raises(EvaluatorError, match="exclude"):
        pin(repository.folder)
    less = proposed.replace("[build]", 'exclude = ["data.bin"]\n[build]', 1)
    (repository.folder / "avo.toml").write_text(less)
    assert "its base is sha256:" in pin(repository.folder)
    base = take_base(repository.folder, read_project(repository.folder))
    assert "src/time" in base.files and "data.bin" not in base.files
    assert not list(bases.bases().glob(".new-*"))
