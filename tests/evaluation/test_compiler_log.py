"""Warnings inside headers that are not the candidate's are counted in a log, and nothing else."""

import subprocess
from pathlib import Path

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.compiler_flags import with_flags
from avo_tui.domain.questions import CompileQuestion, ScratchQuestion
from avo_tui.evaluation.backends.cpp.compiler import without_header_warnings
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.operators.toolbox.variants import defined
from tests.evaluation.evaluation_support import needs_compiler

HEADER = "/usr/lib/gcc/x86_64-linux-gnu/12/include/avx512fintrin.h"
FLOOD = f"""\
In file included from {HEADER.replace("avx512f", "imm")}:49,
                 from ./k.cpp:1:
In function '__m512 _mm512_max_ps(__m512, __m512)',
    inlined from 'void work()' at ./k.cpp:3:41:
{HEADER}:13033:10: warning: '__Y' is used uninitialized [-Wuninitialized]
13033 |   return (__m512) __builtin_ia32_maxps512_mask ((__v16sf) __A,
      |          ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
{HEADER}: In function 'void work()':
{HEADER}:188:10: note: '__Y' was declared here
  188 |   __m512 __Y = __Y;
      |          ^~~
"""
OWN = """\
./k.cpp: In function 'void work()':
./k.cpp:7:9: warning: unused variable 'x' [-Wunused-variable]
    7 |     int x;
      |         ^
"""
ERROR = f"""\
./k.cpp: In function 'void work()':
./k.cpp:9:20: error: no matching function for call to '_mm512_max_ps(int)'
    9 |     _mm512_max_ps(1);
      |     ~~~~~~~~~~~~~^~~
{HEADER}:13031:1: note: candidate: '__m512 _mm512_max_ps(__m512, __m512)'
13031 | _mm512_max_ps (__m512 __A, __m512 __B)
      | ^~~~~~~~~~~~~
"""
INSIDE = f"""\
In file included from ./k.cpp:1:
{HEADER}:10:1: error: inlining failed in call to 'always_inline': target specific option mismatch
   10 | _mm512_abs_ps (__m512 __A)
      | ^~~~~~~~~~~~~
./k.cpp:3:5: note: called from here
    3 |     _mm512_abs_ps(a);
      |     ^
"""


def test_only_warnings_of_headers_are_left_out() -> None:
    told = without_header_warnings(FLOOD + OWN + FLOOD + ERROR + FLOOD + INSIDE)
    left = "(3 warnings inside headers left out)\n"
    assert told == OWN + ERROR + INSIDE + left
    assert without_header_warnings(FLOOD).startswith("(1 warning inside")


def test_a_log_without_them_stays_as_it_is() -> None:
    for log in ("", OWN, ERROR, INSIDE, OWN + ERROR, "ld: cannot find -lfoo\n", "no newline"):
        assert without_header_warnings(log) == log


@pytest.mark.parametrize(
    "line",
    [
        "/tmp/ccX.s:30: Error: no such instruction: `bogusinsn %rax'",
        "/usr/bin/ld: k.o: in function `work': undefined reference to `missing'",
        "collect2: error: ld returned 1 exit status",
        "cc1plus: error: unknown value for -march",
        "g++: fatal error: Killed signal terminated program cc1plus",
        "./k.cpp:5:3: internal compiler error: Segmentation fault",
        "./k.cpp:5:3: sorry, unimplemented: something",
        "./k.cpp:9:3:   required from here",
        "anything else",
    ],
)
def test_what_stands_behind_a_warning_of_a_header_stays(line: str) -> None:
    told = without_header_warnings(f"{FLOOD}{line}\n{FLOOD}")
    assert told == f"{line}\n(2 warnings inside headers left out)\n"
    own = without_header_warnings(f"{FLOOD}{OWN}{line}\n")
    assert own == f"{OWN}{line}\n(1 warning inside headers left out)\n"


def test_a_warning_of_the_systems_headers_is_counted_with_the_line_it_comes_from() -> None:
    log = """\
In file included from /usr/include/string.h:535,
                 from ./k.cpp:2:
In function 'void* memset(void*, int, size_t)',
    inlined from 'void work()' at ./k.cpp:12:9:
/usr/include/bits/string_fortified.h:59:33: warning: writing 8 bytes [-Warray-bounds]
   59 |   return __builtin___memset_chk (__dest, __ch, __len,
      |          ~~~~~~~~~~~~~~~~~~~~~~^~~~~~~~~~~~~~~~~~~~~~
"""
    told = without_header_warnings(log + OWN + FLOOD)
    assert told == OWN + "(2 warnings inside headers left out: 1 -Warray-bounds from k.cpp:12)\n"


REAL = (
    "#if defined(__x86_64__)\n#include <immintrin.h>\n"
    '__attribute__((target("avx512f"))) __m512 f(__m512 a) {\n'
    "    int unused; return _mm512_max_ps(a, _mm512_roundscale_ps(a, 0));\n}\n#else\n"
    "void f() { int unused; }\n#endif\n"
)


@needs_compiler
async def test_the_log_of_an_experiment_is_as_short(pipeline: Pipeline) -> None:
    wanted = ScratchQuestion(files={"x.cpp": f"{REAL}int main() {{ }}\n"}, seconds=1)
    report = await pipeline.ask("tiny_attention", wanted)
    assert report.compiled and "unused" in report.compiler_log
    assert "intrin.h:" not in report.compiler_log


@needs_compiler
def test_what_a_real_compiler_says_of_intrinsics(tmp_path: Path) -> None:
    source = tmp_path / "k.cpp"
    source.write_text(REAL)
    done = subprocess.run(
        ["c++", "-O3", "-Wall", "-Wextra", "-c", "-o", "/dev/null", "./k.cpp"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = without_header_warnings(done.stderr)
    assert "unused" in told and "intrin.h:" not in told


@needs_compiler
async def test_a_log_quotes_the_lines_that_the_author_wrote(pipeline: Pipeline) -> None:
    """The compiler quotes the file's line of a number, which what a sweep puts first shifts."""
    origin = Candidate(files={"k.cpp": '#include "task.h"\n\nint broken() { return TILE + x; }\n'})
    for changed in (defined(origin, {"TILE": "8", "PAD": "1"}), with_flags(origin, "-O2")):
        report = await pipeline.ask("tiny_attention", CompileQuestion(files=changed.files))
        log = report.feedback.log
        assert "k.cpp:3:" in log and "    3 | int broken() { return TILE + x; }\n" in log
        assert "#include" not in log
