from pathlib import Path

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.cuda import toolkit
from avo_tui.evaluation.backends.cuda.includes import needing_cutlass, scan


def reasons(text: str, **others: str) -> list[str]:
    return [i.reason for i in scan(Candidate(files={"a.cu": text, **others}))]


@pytest.mark.parametrize(
    "text",
    [
        "#include <cuda_bf16.h>",
        "#include <cuda/ptx>",
        "#include <cuda/std/cstdint>",
        "  #  include  <cooperative_groups/reduce.h>",
        '#include "tile.cuh"',
        "#include <cub/block/block_reduce.cuh>",
        "#include <cstdint>",
        "#include <mma.h>",
    ],
)
def test_allowed(text: str) -> None:
    assert reasons(text, **{"tile.cuh": ""}) == []


@pytest.mark.parametrize(
    "text",
    [
        '#include "/etc/passwd"',
        "#include </etc/passwd>",
        '#include "../secret.h"',
        "#include <cuda/../../etc/passwd>",
        "#include <cuda/std//etc>",
        '#include "other.cuh"',
        "#include <cstdlib>",
        "#include <vector>",
        "#include NAME",
        "#/* */include /* */ </etc/passwd>",
        '#inc\\\nlude "/etc/passwd"',
        '%:include "/etc/passwd"',
        '??=include "/etc/passwd"',
        "#include_next <stdio.h>",
        '#import "/etc/passwd"',
        '#embed "/etc/passwd"',
        '#if __has_include("/etc/passwd")\n#endif',
        'asm(".incbin \\"/etc/passwd\\"");',
        'const char *a = "/*";\n#include "/etc/passwd"\n// */',
        '#include\\\n"/etc/passwd"',
        '#   in??/\nclude "/etc/passwd"',
    ],
)
def test_refused(text: str) -> None:
    assert reasons(text, **{"tile.cuh": ""})


def test_the_line_is_told() -> None:
    (issue,) = scan(Candidate(files={"a.cu": '\n\n#include "x.h"\n'}))
    assert (issue.file, issue.line) == ("a.cu", 3)


def test_headers_of_cutlass_are_named_where_they_are_missing() -> None:
    text = '#include <cuda_bf16.h>\n  # include <cute/tensor.hpp>\n#include "cute/own.cuh"\n'
    candidate = Candidate(files={"kernel.cu": text, "cute/own.cuh": ""})
    (issue,) = needing_cutlass(candidate)
    assert (issue.file, issue.line) == ("kernel.cu", 2)
    assert "avo-tui[cutlass]" in issue.reason and "CUTLASS_PATH" in issue.reason


@pytest.mark.parametrize("below", ["include", ""])
def test_a_checkout_of_cutlass_is_taken_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    header = tmp_path / below / "cute" / "tensor.hpp"
    header.parent.mkdir(parents=True)
    header.touch()
    monkeypatch.setenv("CUTLASS_PATH", str(tmp_path))
    toolkit.cutlass_folder.cache_clear()
    try:
        assert toolkit.cutlass_folder() == str(tmp_path / below)
    finally:
        toolkit.cutlass_folder.cache_clear()


def test_without_the_compiler_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolkit, "missing_packages", lambda: ("cuda-core",))
    with pytest.raises(toolkit.ToolkitError, match=r"cuda-core.*avo-tui\[cuda\]"):
        toolkit.require_compiler()
