"""The same mistake gets the same verdict in every language.

`evaluation/conformance.py` lists the kinds. The candidates of C++ and CUDA are run by
`test_cpp_verdicts` and, on a GPU, by `cuda/test_gpu` and `benchmarks/gpu_check.py`; here
it is seen that each kind is among them, with the verdict that is asked of every backend.
`tests/plugins` runs the suite itself, on a backend that somebody else installed.
"""

import re
import tomllib
from pathlib import Path

import pytest

from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.conformance import KINDS, excuses
from tests.evaluation.evaluation_support import CANDIDATES

CUDA = tomllib.loads((CANDIDATES.parent / "cuda" / "verdicts.toml").read_text())
CANDIDATES_OF = {
    "honest": ("honest", "honest"),
    "never_writes": ("never_writes", "writes_nothing"),
    "constant": ("constant", "zeros"),
    "mean": ("mean_of_values", "mean_of_values"),
    "part_left_out": ("skips_keys", "skips_blocks_of_keys"),
    "ignores_a_flag": ("ignores_causal", "ignores_the_mask"),
    "off_by_one": ("sees_the_future", "mask_off_by_one"),
    "faint": ("faint_future", "trace_of_the_future"),
    "low_precision": ("bf16", "weights_in_fp8"),
    "unset_memory": ("uninitialised", "workspace_taken_for_zero"),
    "unsteady": ("differs_between_runs", "race"),
    "some_shapes": ("only_even_shapes", "assumes_long_sequences"),
    "changes_inputs": ("modifies_inputs", "changes_its_inputs"),
    "writes_behind": ("writes_behind", "writes_past_the_end"),
    "writes_before": ("writes_before", "writes_before_the_start"),
    "null_pointer": ("null_pointer", "null_pointer"),
    "no_end": ("loops_for_ever", "endless_loop"),
    "does_not_compile": ("compile_error", "syntax_error"),
}
"""Kind → candidate in C++ and in CUDA."""


@pytest.mark.parametrize("kind", KINDS)
def test_both_languages_are_asked_for_the_same_verdict(kind: str) -> None:
    cpp, cuda = CANDIDATES_OF[kind]
    text = (CANDIDATES / f"{cpp}.cpp").read_text()
    asked = re.search(r"^// verdict: (.*)$", text, re.MULTILINE)
    assert asked is not None
    assert asked[1] == KINDS[kind]
    assert CUDA[cuda]["verdict"] == [KINDS[kind]]


def test_only_a_known_kind_is_excused(tmp_path: Path) -> None:
    (tmp_path / "conformance.toml").write_text('[cannot]\nflies = "no wings"\n')
    with pytest.raises(ValueError, match="there is no kind 'flies'"):
        excuses(tmp_path)
    assert excuses(tmp_path / "nowhere") == {}
    assert KINDS["honest"] is Verdict.CORRECT
