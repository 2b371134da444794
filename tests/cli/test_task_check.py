"""`avo task check`: what is wrong is said before what is weak, and what is looked at meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.cli import task as task_commands
from tests.cli.command_line import Result
from tests.evaluation.rowsum_task import TASK

Avo = Callable[..., Result]
SEED = """\
extern "C" void rowsum(const float* x, float* out, long rows, bool fast, float eps) {
    for (long r = 0; r < rows; r++) {
        out[r] = 0;
        for (int c = 0; c < 32; c++) out[r] += x[32 * r + c];
    }
}
"""


@pytest.fixture
def rowsum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a sound task that is found under `rowsum`."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("AVO_KERNELS", str(tmp_path / "tasks"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "tasks" / "rowsum"
    (folder / "seed").mkdir(parents=True)
    (folder / "task.py").write_text(TASK)
    (folder / "seed" / "rowsum.cpp").write_text(SEED)
    return folder


def test_progress_is_told_beside_the_result(avo: Avo, rowsum: Path) -> None:
    done = avo("task", "check", "rowsum")
    assert done.code == 0, done.err
    assert "running its methods on 2 of 2 kinds of inputs: rows-64, normal" in done.err
    assert "compiling its seed" in done.err and "trying wrong outputs on 1 of 1" in done.err
    assert "wrong:" not in done.out and "weak: No case is run twice" in done.out
    assert done.out.endswith("rowsum: nothing is wrong; it has 2 check cases, 1 of them hidden\n")
    assert avo("task", "check", "rowsum", "--strict").code == 1
    shown = avo("task", "show", "rowsum").out
    assert "checked on: 2 check cases, 1 of them hidden" in shown


def test_a_task_that_cannot_be_loaded_is_wrong(avo: Avo, rowsum: Path) -> None:
    text = TASK.replace("    def bytes_moved(", "    def bytes(")
    (rowsum / "task.py").write_text(text)
    done = avo("task", "check", "rowsum")
    assert done.code == 1 and done.out.startswith(f"wrong: {rowsum / 'task.py'} (line ")
    assert "define bytes_moved(self, configuration) in this class" in done.out
    body = avo("task", "check", "rowsum", "--json").json
    assert "bytes_moved" in body["faults"][0] and body["gaps"] == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("void rowsum", "void sums", 'no extern "C" function rowsum'),
        ("const float* x", "const double* x", "it must be: extern"),
        ("out[r] = 0;", "out[r] = 0", "does not compile"),
    ],
)
def test_a_seed_that_is_no_kernel_of_the_task_is_wrong(
    avo: Avo, rowsum: Path, old: str, new: str, says: str
) -> None:
    (rowsum / "seed" / "rowsum.cpp").write_text(SEED.replace(old, new))
    done = avo("task", "check", "rowsum", "--json")
    (fault,) = done.json["faults"]
    assert done.code == 1 and str(rowsum / "seed") in fault and says in fault
    assert done.err == ""


@pytest.mark.parametrize("way", ["sys.exit(0)", "raise SystemExit", "os._exit(0)"])
def test_a_task_that_ends_the_program_is_told_so(avo: Avo, rowsum: Path, way: str) -> None:
    head, definition, rest = TASK.partition("    def reference(")
    signature, newline, body = rest.partition(":\n")
    text = f"{head}{definition}{signature}{newline}        {way}\n{body}"
    (rowsum / "task.py").write_text(f"import os, sys\n{text}")
    done = avo("task", "check", "rowsum", "--json")
    assert done.code == 1 and "ended the program" in done.json["error"]


def test_a_method_that_never_comes_back_is_told(
    avo: Avo, rowsum: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_commands, "PATIENCE", 3.0)
    endless = TASK.replace("        generator =", "        while True: pass\n        generator =")
    (rowsum / "task.py").write_text(endless)
    done = avo("task", "check", "rowsum")
    assert done.code == 1 and "not come back after 3 s" in done.out + done.err


def test_baselines_without_the_reference_baseline_are_named(avo: Avo, rowsum: Path) -> None:
    _, before, rest = TASK.partition('        return {"torch": lambda')
    text = TASK.replace(before + rest.partition("\n")[0], "        return {}")
    (rowsum / "task.py").write_text(text)
    assert "baselines has no 'torch', the reference baseline" in avo("task", "check", "rowsum").out
