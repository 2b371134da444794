"""`avo suite`: which first kernel belongs to which problem."""

from pathlib import Path

import pytest

from avo_tui.cli.suite import first_kernel


@pytest.mark.parametrize("file", ["38_L1Norm_.cpp", "38_L1Norm.cpp", "38_L1Norm.cu", "38_L1Norm_"])
@pytest.mark.parametrize("problem", ["38_L1Norm_", "38_L1Norm"])
def test_a_kernel_is_its_problems_with_or_without_the_underscore(
    tmp_path: Path, file: str, problem: str
) -> None:
    (tmp_path / "38_L1NormOther.cpp").write_text("")
    (tmp_path / file).write_text("")
    assert first_kernel(tmp_path, problem) == tmp_path / file


def test_the_exact_name_comes_first(tmp_path: Path) -> None:
    for name in ("norm_.cpp", "norm.cpp"):
        (tmp_path / name).write_text("")
    assert first_kernel(tmp_path, "norm_") == tmp_path / "norm_.cpp"
    assert first_kernel(tmp_path, "other") is None
