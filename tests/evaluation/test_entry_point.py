"""An entry point of other types than the task's does not compile, and says which it must have."""

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.c import CDriver
from avo_tui.evaluation.backends.cpp.compiler import Compiler
from avo_tui.evaluation.backends.cpp.driver import Driver
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Argument, Task
from avo_tui.evaluation.tasks import find_tasks
from tests.evaluation.evaluation_support import needs_compiler

pytestmark = needs_compiler
ARGUMENTS = (
    Argument("x", "input", "float16"),
    Argument("mask", "input", "bool"),
    Argument("codes", "input", "uint8"),
    Argument("out", "output", "int64"),
    Argument("n", "size"),
    Argument("fast", "flag"),
    Argument("eps", "real"),
)
RIGHT = "const _Float16* x, const bool* mask, const uint8_t* codes, int64_t* out, int64_t n, "
RIGHT += "bool fast, float eps"


class Codes(type(find_tasks().get("attention_cpu"))):  # type: ignore[misc]
    """A task with an argument of many kinds."""

    entry = "codes_of"
    arguments = ARGUMENTS


async def compile_(driver: Driver, text: str) -> None:
    task: Task = Codes()
    compiler = Compiler(await driver.toolchain(), driver)
    candidate = Candidate(files={f"kernel{driver.suffixes[0]}": text})
    await compiler.candidate(task, candidate, Sandbox(allow_weak=True))


@pytest.mark.parametrize(
    "text",
    [
        f'#include <cstdint>\nextern "C" void codes_of({RIGHT}) {{}}',
        f'#include "task.h"\nvoid codes_of({RIGHT}) {{}}',  # the header says that it is C's
        f'#include <cstdint>\nextern "C" __attribute__((hot)) void codes_of({RIGHT}) {{}}'.replace(
            "int64_t* out", "long* __restrict__ const out"
        ),
    ],
)
async def test_other_ways_to_say_the_same_compile(text: str) -> None:
    await compile_(Driver(), text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("const uint8_t* codes", "const int8_t* codes"),
        ("int64_t* out", "int32_t* out"),
        (", float eps", ""),
        (", float eps", ", double eps"),
        ("void codes_of", "int codes_of"),
        ("int64_t n, bool fast", "bool fast, int64_t n"),
    ],
)
async def test_other_types_do_not(old: str, new: str) -> None:
    text = f'#include <cstdint>\nextern "C" void codes_of({RIGHT}) {{}}'
    assert old in text
    with pytest.raises(Rejected) as caught:
        await compile_(Driver(), text.replace(old, new).replace(") {}", ") { throw 1; }"))
    assert caught.value.verdict is Verdict.COMPILE_ERROR
    told = caught.value.feedback.summary
    assert "codes_of has other types than the task's" in told
    assert f'extern "C" void codes_of({RIGHT})' in told


async def test_in_c_too() -> None:
    headers = "".join(f"#include <{name}.h>\n" for name in ("stdbool", "stdint", "math"))
    text = f"#define _GNU_SOURCE\n{headers}void codes_of({RIGHT})"
    await compile_(CDriver(), text + "{ float s, c; sincosf(eps, &s, &c); out[0] = s + c; }")
    with pytest.raises(Rejected) as caught:
        await compile_(CDriver(), text.replace("int64_t* out", "int32_t* out") + " {}")
    assert f"it must be: void codes_of({RIGHT})" in caught.value.feedback.summary


async def test_a_missing_one_is_told_with_its_types() -> None:
    with pytest.raises(Rejected, match="defines no extern") as caught:
        await compile_(Driver(), "namespace own { void codes_of() {} }")
    assert f'it must be: extern "C" void codes_of({RIGHT})' in caught.value.feedback.summary
