"""The exported source of a C++ kernel, compiled by its own command and called as C calls it."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.tasks import find_tasks
from tests.evaluation.single_source_support import compiled, written


def test_a_cpp_kernel_of_several_files_called_from_c(tmp_path: Path) -> None:
    import torch

    plain = read_candidate(find_tasks().get("attention_cpu").folder / "plain")
    text = plain.files["attention.cpp"]
    files = {
        "attention.cpp": text.replace("0.125f", "SCALE") + "\n// flags: -fno-math-errno\n",
        "parts/scale.h": "#pragma once\nconstexpr float SCALE = 0.125f;\n",
    }
    files["attention.cpp"] = '#include "parts/scale.h"\n' + files["attention.cpp"]
    assert "SCALE" in files["attention.cpp"]
    source = written("attention_cpu", Candidate(files=files))
    assert "-fno-math-errno" in source.command
    library = ctypes.CDLL(str(compiled(source, tmp_path)))
    q, k, v = (torch.randn(2, 1, 33, 64) for _ in range(3))
    out = torch.full_like(q, float("nan"))
    pointers = [ctypes.c_void_p(t.data_ptr()) for t in (q, k, v, out)]
    sizes = [ctypes.c_int64(n) for n in (2, 1, 33)]
    library.attention(*pointers, *sizes, ctypes.c_bool(True))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.allclose(out, expected, atol=1e-5)


def test_what_cannot_be_written_is_refused_in_a_sentence() -> None:
    cpu, cuda = (find_tasks().get(name).seed() for name in ("attention_cpu", "mha_forward"))
    with pytest.raises(EvaluatorError, match="leave out the architecture"):
        written("attention_cpu", cpu, architectures=["sm_90a"])
    with pytest.raises(EvaluatorError, match="of one architecture; name one"):
        written("mha_forward", cuda, architectures=["sm_90a", "sm_100a"])
    with pytest.raises(EvaluatorError, match="is not an architecture"):
        written("mha_forward", cuda, architectures=["hopper"])
    with pytest.raises(EvaluatorError, match="does not compile"):
        written("attention_cpu", Candidate(files={"attention.cpp": "int x"}))
