"""What the innermost loops of compiled C++ consist of."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from avo_tui.evaluation.backends.cpp.loops import innermost_loops, loops_text

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
