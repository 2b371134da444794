import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.cuda.includes import scan


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
