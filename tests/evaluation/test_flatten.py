import pytest

from avo_tui.evaluation.flatten import FlattenError, c_name, c_string, enumerator, flatten


def test_own_includes_are_put_in_place_and_others_first() -> None:
    files = {
        "main.cu": '#include <mma.h>\n#include "parts/a.cuh"\n  # include "b.cuh" // twice\nint m;',
        "parts/a.cuh": '#pragma once\n#include "../b.cuh"\n#include "cuda_bf16.h"\nint a;\n',
        "b.cuh": "#pragma once\n#define WIDTH 4\nint b;",
    }
    flat = flatten(files, ["main.cu"], ignored=["mma.h"])
    code = [line for line in flat.text.splitlines() if not line.startswith("//")]
    assert code == ["#define WIDTH 4", "int b;", "int a;", "int m;"]
    assert flat.headers == ("cuda_bf16.h",)
    assert flat.macros == ("WIDTH",)


def test_a_file_without_a_guard_is_put_in_as_often_as_it_is_included() -> None:
    files = {"main.cpp": '#include "x.inc"\n#include "x.inc"', "x.inc": "f();"}
    assert flatten(files, ["main.cpp"]).text.count("f();") == 2


def test_files_that_include_each_other_are_refused() -> None:
    files = {"a.h": '#include "b.h"', "b.h": '#include "a.h"'}
    with pytest.raises(FlattenError, match="includes itself"):
        flatten(files, ["a.h"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mha-forward", "mha_forward"), ("2nd", "_2nd"), ("long", "long_"), ("shape", "shape_")],
)
def test_names_for_c(name: str, expected: str) -> None:
    assert c_name(name) == expected


def test_text_for_c() -> None:
    assert c_string('a"é\n') == '"a\\042\\303\\251\\012"'
    assert enumerator("attention", "causal-4k") == "ATTENTION_CAUSAL_4K"
