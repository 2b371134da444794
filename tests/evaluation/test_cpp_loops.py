"""What the innermost loops of compiled C++ consist of."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.evaluation.backends.cpp.loops import CHAIN, innermost_loops, loops_text, natural_loops

LISTING = """\
0000000000001100 <attention>:
    1100:\tpush   %rbp
    1104:\tvmovaps %ymm1,%ymm2
    1108:\tvfmadd231ps %ymm0,%ymm1,%ymm2
    110c:\tvmovaps %ymm2,-0x20(%rsp)
    1110:\tcmp    %rax,%rbx
    1114:\tjne    1104 <attention+0x4>
    1118:\tjmp    1100 <attention>
0000000000001200 <other>:
    1200:\tret
"""


def test_an_innermost_loop_is_counted_and_the_outer_one_is_not() -> None:
    (loop,) = innermost_loops(LISTING)
    assert (loop.function, loop.first, len(loop.lines)) == ("attention", 0x1104, 5)
    assert (loop.stack, loop.moves, loop.multiplies) == (1, 1, 1)
    assert "1 fma 256-bit" in loops_text(LISTING)
    assert "no loop" in loops_text("0000000000001200 <other>:\n    1200:\tret\n")
    assert "no loop" in loops_text("")


NESTED = """\
0000000000002000 <kernel>:
    2000:\tvmulps %ymm0,%ymm1,%ymm2
    2004:\tvmulps %ymm0,%ymm1,%ymm3
    2008:\tjne    2000 <kernel>
    2010:\txor    %eax,%eax
    2014:\txor    %ebx,%ebx
    2018:\tvfmadd231ps %ymm0,%ymm1,%ymm2
    201c:\tadd    %rax,%rbx
    2020:\tjne    2018 <kernel+0x18>
    2024:\tjl     2018 <kernel+0x18>
    2028:\tjb     2014 <kernel+0x14>
    202c:\tja     2010 <kernel+0x10>
"""


def test_what_is_nested_deeply_comes_before_a_tail_with_more_multiplications() -> None:
    """Two jumps back to the same place are one loop."""
    inner, tail = innermost_loops(NESTED)
    assert (inner.first, inner.depth, inner.multiplies) == (0x2018, 3, 1)
    assert (tail.first, tail.depth, tail.multiplies) == (0x2000, 1, 2)
    assert loops_text(NESTED).splitlines()[1].startswith("- kernel at 2018: 3 deep")


CALLED = """\
0000000000003000 <product<6>>:
    3000:\tvmovups (%rdi),%ymm0
    3004:\tvfmadd231ps (%rsi),%ymm1,%ymm0
    3008:\tvmovups %ymm0,(%rdi)
    300c:\tvfmadd213ps 0x20(%rsi),%ymm1,%ymm2
    3010:\tvmovups %ymm2,0x20(%rdi){%k1}
    3014:\tadd    $0x1,%rdi
    3018:\tcmpq   $0x0,0x8(%rsp)
    301c:\tjne    3000 <product<6>>
    3020:\tret
0000000000004000 <entry>:
    4000:\txor    %eax,%eax
    4004:\txor    %ebx,%ebx
    4008:\tnotrack jmp *%rax
    400c:\tcall   3000 <product<6>>
    4010:\tjmp    4018 <entry+0x18>
    4014:\tnopw   0x0(%rax,%rax,1)
    4018:\tinc    %rbx
    401c:\tjne    4008 <entry+0x8>
    4020:\tvmulps %ymm0,%ymm1,%ymm2
    4024:\tvmulps %ymm0,%ymm1,%ymm2
    4028:\tvmulps %ymm0,%ymm1,%ymm2
    402c:\tjne    4020 <entry+0x20>
    4030:\tjmp    4004 <entry+0x4>
"""


def test_loops_around_the_call_of_a_function_count() -> None:
    """The call stands in two loops, one of which goes through a table of jumps."""
    hot, tail, table = innermost_loops(CALLED)
    assert (hot.function, hot.depth) == ("product<6>", 3)
    assert (tail.first, tail.depth, table.first, table.depth) == (0x4020, 2, 0x4008, 2)


def test_accumulators_that_go_through_memory_are_seen() -> None:
    hot = innermost_loops(CALLED)[0]
    assert hot.memory == (4, 2)  # three operands of vectors and a comparison; two stores
    assert "2 fma 256-bit, 4 loads, 2 stores, 1 stack accesses" in loops_text(CALLED)


def test_every_function_is_shown_before_a_second_loop_of_another() -> None:
    busy = "0000000000001000 <busy>:\n" + "".join(
        f"    {0x1000 + 16 * i:x}:\tvmulps %ymm0,%ymm1,%ymm2\n"
        f"    {0x1004 + 16 * i:x}:\tvmulps %ymm0,%ymm1,%ymm2\n"
        f"    {0x1008 + 16 * i:x}:\tjne    {0x1000 + 16 * i:x} <busy>\n"
        for i in range(40)
    )
    lines = loops_text(busy + CALLED).splitlines()
    assert sum(line.startswith("- busy") for line in lines) == 13
    assert any(line.startswith("- entry") for line in lines)
    assert "27 more are left out" in lines[-1]


def test_calls_in_a_circle_end() -> None:
    pair = "".join(
        f"000000000000{a}000 <f{a}>:\n"
        f"    {a}000:\tcall   {b}000 <f{b}>\n"
        f"    {a}004:\tvmulps %ymm0,%ymm1,%ymm2\n"
        f"    {a}008:\tjne    {a}000 <f{a}>\n"
        for a, b in ((1, 2), (2, 1))
    )
    assert [loop.depth for loop in innermost_loops(pair)] == [1 + CHAIN, 1 + CHAIN]


@st.composite
def graphs(draw: st.DrawFn) -> list[list[int]]:
    """Blocks with up to two followers each, as functions of machine code have them."""
    size = draw(st.integers(1, 9))
    followers = st.lists(st.integers(0, size - 1), max_size=2, unique=True)
    return draw(st.lists(followers, min_size=size, max_size=size))


def _reached(following: list[list[int]], start: int, without: int | None = None) -> set[int]:
    seen: set[int] = set()
    stack = [start] if start != without else []
    while stack:
        block = stack.pop()
        if block not in seen:
            seen.add(block)
            stack += [t for t in following[block] if t != without]
    return seen


@given(graphs())
def test_natural_loops_are_those_of_the_definition(following: list[list[int]]) -> None:
    """A jump back leads to a block without which its source cannot be reached; the loop is what
    reaches such a source without passing that block."""
    reachable = _reached(following, 0)
    expected: dict[int, set[int]] = {}
    for block in reachable:
        for header in following[block]:
            if block in _reached(following, 0, without=header) and header != block:
                continue
            inside = {b for b in reachable if b != header}
            body = {b for b in inside if block in _reached(following, b, without=header)}
            expected.setdefault(header, {header}).update(body)
    assert natural_loops(following) == expected


@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs binutils")
def test_the_loop_of_a_real_compilation_is_found(tmp_path: Path) -> None:
    source = tmp_path / "k.cpp"
    source.write_text(
        'extern "C" void scale(float* x, long n) { for (long i = 0; i < n; ++i) x[i] *= 3.f; }\n'
    )
    library = tmp_path / "k.so"
    build = [
        "g++",
        "-O2",
        "-fno-tree-vectorize",
        "-shared",
        "-fPIC",
        str(source),
        "-o",
        str(library),
    ]
    subprocess.run(build, check=True)
    command = ["objdump", "-d", "-C", "--no-show-raw-insn", "-j", ".text", str(library)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    loops = [loop for loop in innermost_loops(listing) if loop.function == "scale"]
    assert loops and loops[0].multiplies == 1 and loops[0].stack == 0
