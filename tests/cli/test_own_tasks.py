"""Tasks of one's own from the command line: new ones, trust, and what a suite counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.cli import docs as docs_command
from avo_tui.cli.task import tell_where_to_look
from avo_tui.domain.suites import fast
from avo_tui.evaluation.loading import load_task
from tests.cli.command_line import Result

Avo = Callable[..., Result]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_code_of_a_folder_is_run_only_after_it_was_trusted(avo: Avo, own_folder: Path) -> None:
    folder = own_folder / "kernels" / "evil"
    folder.mkdir(parents=True)
    ran = own_folder / "ran"
    (folder / "task.py").write_text(f"open({str(ran)!r}, 'w')\n")
    listed = avo("tasks")
    assert listed.code == 0 and "evil" not in listed.out and "avo task trust" in listed.err
    for command in (("evaluate", "evil"), ("task", "check", "evil"), ("run", "evil", "--headless")):
        refused = avo(*command)
        assert refused.code == 1 and "was not trusted yet" in refused.err
    assert not ran.exists()
    assert avo("task", "trust", "kernels").code == 0
    assert "evil" in avo("tasks").out and ran.exists()
    assert avo("task", "trust", "nowhere").code == 1


@pytest.mark.parametrize("language", ["cpp", "cuda"])
def test_a_new_task_loads_and_is_listed(avo: Avo, own_folder: Path, language: str) -> None:
    made = avo("task", "new", "mine", "--language", language)
    assert made.code == 0, made.err
    assert load_task(own_folder / "kernels" / "mine").language == language
    row = next(t for t in avo("tasks", "--json").json["tasks"] if t["name"] == "mine")
    assert row["origin"] == "./kernels" and not row["seedless"]
    assert "is there already" in avo("task", "new", "mine").err
    assert "no name for a new task" in avo("task", "new", "1 2").err
    assert "not rust" in avo("task", "new", "other", "--language", "rust").err


def test_docs_lists_pages_prints_one_and_names_near_ones(avo: Avo) -> None:
    listed = avo("docs")
    pages = {line.split()[0] for line in listed.out.splitlines() if line}
    assert {"first-kernel", "tasks", "suites", "evaluation"} <= pages
    page = docs_command.folder() / "tasks.md"
    assert avo("docs", "tasks").out.strip() == page.read_text().strip()
    missing = avo("docs", "task")
    assert missing.code == 1 and "did you mean tasks" in missing.err


def test_a_suite_that_was_never_run(avo: Avo, own_folder: Path) -> None:
    assert "there is no suite 'x'" in avo("suite", "table", "x").err
    (own_folder / "empty").mkdir()
    assert "names no problems" in avo("suite", "run", "empty").err


@given(st.lists(st.one_of(st.none(), st.floats(0.01, 10.0)), min_size=1), st.floats(0, 5))
def test_fast_p_falls_with_p_and_counts_what_failed(ratios: list[float | None], p: float) -> None:
    share = fast(ratios, p)
    assert 0 <= share <= 1 and share >= fast(ratios, p + 1)
    assert fast(ratios, 0) == sum(r is not None for r in ratios) / len(ratios)
    assert fast([*ratios, None], p) <= share


def test_what_a_task_asks_of_its_kernel_is_shown(avo: Avo, tmp_path: Path) -> None:
    """The signature, what is scored, and files to start from, which are not written over."""
    start = tmp_path / "start"
    printed = avo("task", "show", "attention_cpu", "--seed-to", str(start)).out
    assert "attention" in printed and "scored on:" in printed and "of them hidden" in printed
    assert "extern" in (start / "attention.cpp").read_text()
    again = avo("task", "show", "attention_cpu", "--seed-to", str(start))
    assert again.code == 1 and "is there already" in again.err


def test_the_inputs_of_timed_calls_are_written(avo: Avo, tmp_path: Path) -> None:
    to = tmp_path / "new" / "inputs"
    done = avo("task", "inputs", "attention_cpu", "full-256", "--to", str(to), "--json")
    assert done.code == 0 and done.json["kind"] == "normal"
    (q, *_) = done.json["inputs"]
    assert q["shape"] == [1, 4, 256, 64] and Path(q["file"]).stat().st_size == 4 * 256 * 64 * 4
    assert "#define INPUTS_sequence 256" in (to / "inputs.h").read_text()
    wrong = avo("task", "inputs", "attention_cpu", "full-257", "--to", str(to))
    assert wrong.code == 1 and "there are: full-256, causal-256" in wrong.err


def test_a_folder_that_is_not_looked_into_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_where_to_look("attention_cpu", tmp_path)
    assert not capsys.readouterr().out
    tell_where_to_look("of_nobody", tmp_path)
    assert f"export AVO_KERNELS={tmp_path}" in capsys.readouterr().out
