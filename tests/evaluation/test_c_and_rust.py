"""Candidates in C and Rust get the verdicts that those in C++ get."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from avo_tui.domain import tunables
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.compiler_flags import with_flags
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.cpp.toolchain import output_of
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.operators.toolbox.variants import defined
from tests.evaluation.asking import evaluated
from tests.evaluation.toolchains import no_rust

FILES = {"c": "attention.c", "rust": "attention.rs"}
FLAGS = {"c": "-O2", "rust": "-Copt-level=2"}


NO_RUST = no_rust()
both = pytest.mark.parametrize(
    "language",
    [
        pytest.param("c", marks=pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")),
        pytest.param("rust", marks=pytest.mark.skipif(bool(NO_RUST), reason=NO_RUST or "there")),
    ],
)
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pipeline() -> AsyncIterator[Pipeline]:
    pipeline = Pipeline(None)
    yield pipeline
    await pipeline.close()


async def judged(pipeline: Pipeline, language: str, *changes: tuple[str, str]) -> EvaluationReport:
    """The report on the seed with some text replaced, from the cases that are not scored."""
    task = find_tasks().get(f"attention_cpu@{language}")
    text = task.seed().files[FILES[language]]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    candidate = Candidate(files={FILES[language]: text})
    return await evaluated(pipeline, task.name, candidate, "check", lambda _: None, quick=True)


@both
async def test_the_seed_is_right_with_every_kind_of_tunable(
    pipeline: Pipeline, language: str
) -> None:
    task = find_tasks().get(f"attention_cpu@{language}")
    assert [t.name for t in tunables.parse(task.seed())] == ["LANES", "BLOCK_KEYS"]
    changed = tunables.apply(task.seed(), {"LANES": "4", "BLOCK_KEYS": "64"})
    assert "4" in changed.files[FILES[language]]
    report = await evaluated(pipeline, task.name, changed, "check", lambda _: None)
    assert report.verdict is Verdict.CORRECT, report.feedback


WRONG = {
    "c": ("causal ? i + 1 : sequence", "sequence"),
    "rust": ("if causal { i + 1 } else { rows }", "rows"),
}
END = "    free(p);"
BEHIND = {
    "c": (END, f"    out[batch * heads * sequence * D] = 1;\n{END}"),
    "rust": (END, f"    *out.add((batch * heads) as usize * rows * D) = 1.0;\n{END}"),
}
NO_END = {
    "c": ("    free(p);", "    for (volatile int turn = 0; turn < 1;) {\n    }\n    free(p);"),
    "rust": ("    free(p);", "    loop {\n        core::hint::black_box(p);\n    }"),
}
BROKEN = {"c": ("free(p);", "free(p"), "rust": ("free(p);", "free(p")}
FORBIDDEN = {
    "c": (
        "    free(p);",
        "    extern int getpid(void);\n    out[0] += getpid() * 0;\n    free(p);",
    ),
    "rust": ("    fn expf", "    fn getpid() -> i32;\n    fn expf"),
}


@both
@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        (WRONG, Verdict.WRONG_RESULT),
        (BEHIND, Verdict.ILLEGAL_ACCESS),
        (NO_END, Verdict.TIMEOUT),
        (BROKEN, Verdict.COMPILE_ERROR),
    ],
    ids=["ignores_a_flag", "writes_behind", "no_end", "does_not_compile"],
)
async def test_what_is_wrong_gets_its_verdict(
    pipeline: Pipeline, language: str, changes: dict[str, tuple[str, str]], verdict: Verdict
) -> None:
    report = await judged(pipeline, language, changes[language])
    assert report.verdict is verdict, report.feedback
    if verdict is Verdict.COMPILE_ERROR:
        assert FILES[language] in report.feedback.log


@both
async def test_a_forbidden_function_is_named(pipeline: Pipeline, language: str) -> None:
    changes = [FORBIDDEN[language]]
    if language == "rust":
        changes.append(("    free(p);", "    *out += (getpid() * 0) as f32;\n    free(p);"))
    report = await judged(pipeline, language, *changes)
    assert report.verdict is Verdict.SUSPICIOUS
    assert "getpid" in report.feedback.summary


@both
async def test_a_flag_is_from_the_list(pipeline: Pipeline, language: str) -> None:
    wanted = {"c": "-fplugin=evil.so", "rust": "-Clinker=evil"}[language]
    report = await judged(
        pipeline, language, ("// Row by row", f"// flags: {wanted}\n// Row by row")
    )
    assert report.verdict is Verdict.COMPILE_ERROR
    assert f"{wanted}, which is not allowed" in report.feedback.summary


REACHING = {
    "c": [
        '#include "/etc/passwd"\n',
        'asm(".incbin \\"/etc/passwd\\"");\n',
        f'asm(".incbin \\"{Path(__file__).resolve()}\\"");\n',
    ],
    "rust": [
        'const _: &[u8] = include_bytes!("/etc/passwd");\n',
        'core::arch::global_asm!(".incbin \\"/etc/passwd\\"");\n',
        f'const _: &str = include_str!("{Path(__file__).resolve()}");\n',
        '#[path = "/etc/passwd"]\nmod secrets;\n',
        'const _: &str = env!("USER");\n',
    ],
}


@both
async def test_a_source_reaches_no_file_outside_its_folder(
    pipeline: Pipeline, language: str
) -> None:
    """Neither the system's nor the project's: the path of this test is no path for a compiler."""
    task = find_tasks().get(f"attention_cpu@{language}")
    name = FILES[language]
    for line in REACHING[language]:
        text = task.seed().files[name]
        candidate = Candidate(files={name: line + text})
        report = await evaluated(pipeline, task.name, candidate, "compile", lambda _: None)
        assert report.verdict is Verdict.COMPILE_ERROR, (line, report.feedback)
        assert "root:" not in report.model_dump_json(), line


SWEPT = {
    "c": '#include "task.h"\n\nint broken(void) { return TILE + missing; }\n',
    "rust": "// a kernel\nconst TILE: usize = 16; // tune: 16 32\n"
    "pub fn broken() -> usize { TILE + missing }\n",
}


@both
async def test_a_log_quotes_the_lines_that_the_author_wrote(
    pipeline: Pipeline, language: str
) -> None:
    """Also behind what a sweep over constants or flags adds."""
    origin = Candidate(files={FILES[language]: SWEPT[language]})
    for changed in (defined(origin, {"TILE": "32"}), with_flags(origin, FLAGS[language])):
        report = await evaluated(
            pipeline, f"attention_cpu@{language}", changed, "compile", lambda _: None
        )
        log = report.feedback.log
        assert f"{FILES[language]}:3:" in log, log
        assert SWEPT[language].splitlines()[2] in log and "#include" not in log


@pytest.mark.skipif(bool(NO_RUST), reason=NO_RUST or "there")
@pytest.mark.parametrize(
    "call",
    [
        "std::time::Instant::now().elapsed().as_nanos() as f32",
        'std::fs::read_dir("/").map_or(0.0, |_| 1.0)',
        "std::thread::spawn(|| 1.0).join().unwrap()",
        "std::env::vars().count() as f32",
    ],
)
async def test_the_standard_library_of_rust_brings_nothing_in(
    pipeline: Pipeline, call: str
) -> None:
    """A candidate can link it although its crate is without it: clocks, files, threads."""
    uses = ("    free(p);", f"    *out += ({call}) * 0.0;\n    free(p);")
    task = find_tasks().get("attention_cpu@rust")
    text = "extern crate std;\n" + task.seed().files["attention.rs"].replace(*uses)
    candidate = Candidate(files={"attention.rs": text})
    report = await evaluated(pipeline, task.name, candidate, "compile", lambda _: None)
    assert report.verdict in (Verdict.SUSPICIOUS, Verdict.COMPILE_ERROR), report.feedback


async def test_a_warning_of_the_compiler_is_no_part_of_its_answer() -> None:
    assert await output_of("sh", "-c", "echo beware >&2; echo 1.90", trouble="no") == "1.90"
