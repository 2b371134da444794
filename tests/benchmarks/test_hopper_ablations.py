"""The kernels of the ablations, where there is no GPU."""

import re

import pytest
import torch

from benchmarks.hopper_lineage import race


def test_each_is_a_set_of_macros_that_the_source_knows() -> None:
    kernels = race.ablations()
    assert len({c.id for c in kernels.values()}) == len(kernels) >= 8
    source = kernels["base"].files["attention.cu"]
    for candidate in kernels.values():
        macros = re.findall(r"(\w+) = ", candidate.files["launch.toml"].splitlines()[0][8:])
        assert {"NWG", "BOTTOM"} <= set(macros)
        assert all(f"#ifndef {name}\n" in source for name in macros if name != "NREG_P"), macros


def test_the_ratio_is_that_within_a_round() -> None:
    samples = {"k": [1.0, 2.0, 4.0], "fa3": [2.0, 4.0, 8.0]}
    assert race.ratios(samples, "fa3") == {"k": 2.0, "fa3": 1.0}
    text = race.table({"full-4k": samples, "causal-4k": samples}, "fa3")
    assert text.splitlines()[1].split() == ["k", *["2.0000"] * 4]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert race.main(["--ablations"]) == 1
    assert "needs an NVIDIA GPU" in capsys.readouterr().err
