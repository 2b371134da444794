"""A compiler without a shared C++ runtime library: one that was moved, for instance, so that the
links in its folder lead nowhere. It links the archive, whose code calls what no candidate may."""

import shutil
import subprocess
from pathlib import Path

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cpp.compiler import Compiler
from avo_tui.evaluation.backends.cpp.doctor import examine_compiler
from avo_tui.evaluation.backends.cpp.toolchain import find_toolchain
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.tasks import find_tasks
from tests.evaluation.asking import evaluated
from tests.evaluation.evaluation_support import CANDIDATES, TASKS

COMPILER = shutil.which("g++")


def _archive(name: str) -> Path | None:
    if COMPILER is None:
        return None
    command = [COMPILER, f"-print-file-name={name}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return Path(answer) if Path(answer).is_absolute() else None


OPENMP, RUNTIME = _archive("libgomp.a"), _archive("libstdc++.a")
pytestmark = [
    pytest.mark.skipif(OPENMP is None or RUNTIME is None, reason="no g++ with its archives"),
    pytest.mark.asyncio,
]


@pytest.fixture(autouse=True)
def moved(scratch_base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$CXX: links archives of libstdc++ and libgomp, as no shared ones are found."""
    prefix = scratch_base / "moved"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib").mkdir()
    assert OPENMP is not None
    (prefix / "lib" / "libgomp.a").symlink_to(OPENMP)
    compiler = prefix / "bin" / "g++"
    compiler.write_text(
        f'#!/bin/sh\nexec {COMPILER} -static-libstdc++ -L"{prefix}/lib" "$@"\n', encoding="utf-8"
    )
    for path in (prefix, prefix / "bin", prefix / "lib", compiler):
        path.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    return compiler


def candidate(name: str, *more: str) -> Candidate:
    text = "\n".join([*more, (CANDIDATES / f"{name}.cpp").read_text()])
    helpers = {path.name: path.read_text() for path in CANDIDATES.glob("*.h")}
    return Candidate(files={f"{name}.cpp": text, **helpers})


async def refusal(candidate: Candidate) -> str:
    """Why a candidate is refused for what it uses; empty if it is not."""
    task = find_tasks(TASKS).get("tiny_attention")
    try:
        compiled = await Compiler(await find_toolchain()).candidate(task, candidate, Sandbox())
    except Rejected as rejected:
        return f"{rejected.verdict}: {rejected.feedback.summary}"
    assert compiled.own_object is not None
    # of the candidate, not of the 100 KB that were linked to it
    assert 0 < (compiled.resources.code_bytes or 0) < 30_000
    assert 0 < compiled.resources.instructions["instructions"] < 5_000
    return ""


async def test_an_honest_candidate_is_checked_as_elsewhere(quick: None) -> None:
    """It asks for the number of processors, for which the library would read a file."""
    pipeline = Pipeline(TASKS)
    text = candidate("honest_sorts")
    report = await evaluated(pipeline, "tiny_attention", text, "check", lambda _: None, quick=True)
    await pipeline.close()
    assert report.verdict == "correct", report.feedback


async def test_what_the_runtime_library_calls_is_not_held_against_a_candidate() -> None:
    assert await refusal(candidate("honest_exceptions", "// flags: -flto")) == ""


async def test_a_call_that_only_link_time_optimisation_makes_is_seen() -> None:
    """The compiler knows a constant once both files are one: then there is a call."""
    hides = """
        #include <unistd.h>
        __attribute__((visibility("hidden"))) int number();
        __attribute__((always_inline)) static inline int asks(int x) {
            return __builtin_constant_p(x) ? getppid() : 0;
        }
        extern "C" int hidden() { return asks(number()); }
    """
    entry = candidate("honest_exceptions", "// flags: -flto", hides).files
    why = await refusal(
        Candidate(
            files={
                **entry,
                "b.cpp": '__attribute__((visibility("hidden"))) int number() { return 1; }\n',
            }
        )
    )
    # and what the library calls besides, such as `_ZGTtnam`, is not named
    assert why.startswith("suspicious")
    assert why.partition(";")[0].endswith("not allowed: getppid"), why


async def test_doctor_says_what_the_compiler_lacks(moved: Path) -> None:
    finding = await examine_compiler()
    assert finding.state == "warn" and str(moved) in finding.text
    assert "the C++ runtime library is linked into each candidate" in finding.text
    assert "one that uses OpenMP does not compile" in finding.text
    assert f"set CXX to {COMPILER}" in finding.text
