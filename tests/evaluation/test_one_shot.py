"""`python -m avo_tui.evaluation`: one evaluation, its exit codes and its JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluation.evaluation_support import TASKS, needs_compiler

pytestmark = needs_compiler
TASK = "tiny_attention"


def run_once(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "avo_tui.evaluation", *words, "--kernels", str(TASKS)],
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip


def test_one_evaluation_from_the_command_line(scratch_base: Path) -> None:
    done = run_once(TASK, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {"task", "candidate", "device", "sandbox", "verdict", "feedback", "resources"} <= set(
        report
    )
    assert report["verdict"] == "correct"
    assert report["score"]["correct"] is True and report["score"]["aggregate"] > 0
    assert {"compile", "check", "benchmark", "other"} <= set(report["seconds"])
    told = {c["distribution"]: c["error_ratio"] for c in report["checks"] if c["error_ratio"]}
    assert report["score"]["error_ratios"].keys() == told.keys() and "" not in told


def test_wrong_use_is_one_line(scratch_base: Path, tmp_path: Path) -> None:
    for words in (("nothing",), (TASK, str(tmp_path / "nothing.cpp"))):
        done = run_once(*words)
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_bad_candidate_ends_with_one(scratch_base: Path, tmp_path: Path) -> None:
    (tmp_path / "kernel.cpp").write_text("int x = ;\n")
    done = run_once(TASK, str(tmp_path / "kernel.cpp"))
    assert done.returncode == 1
    assert "compile_error" in done.stdout and "kernel.cpp:1" in done.stdout


def test_no_compiler_is_one_clear_sentence(
    scratch_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "a-compiler-that-is-not-there")
    done = run_once(TASK)
    assert done.returncode == 1
    assert "harness_error" in done.stdout
    assert "the compiler $CXX=a-compiler-that-is-not-there is not there" in done.stdout


def test_no_room_for_scratch_is_one_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVO_SCRATCH", str(tmp_path / "nothing"))
    done = run_once(TASK)
    assert "no scratch folder can be made in" in done.stdout and "AVO_SCRATCH" in done.stdout
