"""Exported sources for the processor, compiled by their own command and called as C calls them."""

from pathlib import Path

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.tasks import find_tasks
from tests.evaluation.single_source_support import agrees_with_torch, compiled, written
from tests.evaluation.toolchains import no_rust


def test_a_cpp_kernel_of_several_files_called_from_c(tmp_path: Path) -> None:
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
    agrees_with_torch(compiled(source, tmp_path))


def test_a_kernel_in_c_called_from_c(tmp_path: Path) -> None:
    text = find_tasks().get("attention_cpu@c").seed().files["attention.c"]
    files = {"attention.c": f'#include "task.h"\n#include "parts/more.h"\n{text}'}
    files["parts/more.h"] = "#pragma once\n// flags: -fno-math-errno\n"
    source = written("attention_cpu@c", Candidate(files=files))
    assert source.name == "attention.c"
    assert {"-std=gnu17", "-fno-math-errno", "-lm"} <= set(source.command)
    agrees_with_torch(compiled(source, tmp_path))


@pytest.mark.skipif(bool(no_rust()), reason=no_rust() or "rustc is there")
def test_a_crate_of_several_modules_called_from_c(tmp_path: Path) -> None:
    text = find_tasks().get("attention_cpu@rust").seed().files["attention.rs"]
    assert "* 0.125" in text
    files = {
        "lib.rs": "//! The crate.\n#![allow(dead_code)]\npub mod scaling;\n"
        + text.replace("* 0.125", "* scaling::factors::SCALE"),
        "scaling/mod.rs": "// flags: -Ccodegen-units=2\npub(crate) mod factors;\n",
        "scaling/factors.rs": "// mod missing;\npub const SCALE: f32 = 0.125;\n",
    }
    source = written("attention_cpu@rust", Candidate(files=files))
    assert source.name == "attention.rs"
    assert "-Ccodegen-units=2" in source.command
    agrees_with_torch(compiled(source, tmp_path))


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
