"""The same mistake gets the same verdict in every language.

The candidates are run by `test_cpp_verdicts` and, where there is a GPU, by `cuda/test_gpu` and
`benchmarks/gpu_check.py`; here it is seen that both are asked for the same.
"""

import re
import tomllib

import pytest

from tests.evaluation.evaluation_support import CANDIDATES

CUDA = tomllib.loads((CANDIDATES.parent / "cuda" / "verdicts.toml").read_text())
KINDS = {
    "an honest kernel": ("honest", "honest", "correct"),
    "outputs never written": ("never_writes", "writes_nothing", "wrong_result"),
    "a constant": ("constant", "zeros", "wrong_result"),
    "the mean of the values": ("mean_of_values", "mean_of_values", "wrong_result"),
    "keys left out": ("skips_keys", "skips_blocks_of_keys", "wrong_result"),
    "no mask": ("ignores_causal", "ignores_the_mask", "wrong_result"),
    "the future": ("sees_the_future", "mask_off_by_one", "wrong_result"),
    "a faint trace of the future": ("faint_future", "trace_of_the_future", "wrong_result"),
    "low precision": ("bf16", "weights_in_fp8", "wrong_result"),
    "memory never set": ("uninitialised", "workspace_taken_for_zero", "wrong_result"),
    "runs that differ": ("differs_between_runs", "race", "wrong_result"),
    "some shapes only": ("only_even_shapes", "assumes_long_sequences", "wrong_result"),
    "inputs changed": ("modifies_inputs", "changes_its_inputs", "illegal_access"),
    "writes behind a buffer": ("writes_behind", "writes_past_the_end", "illegal_access"),
    "writes before a buffer": ("writes_before", "writes_before_the_start", "illegal_access"),
    "a null pointer": ("null_pointer", "null_pointer", "illegal_access"),
    "no end": ("loops_for_ever", "endless_loop", "timeout"),
    "source that does not compile": ("compile_error", "syntax_error", "compile_error"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_both_languages_are_asked_for_the_same_verdict(kind: str) -> None:
    cpp, cuda, verdict = KINDS[kind]
    text = (CANDIDATES / f"{cpp}.cpp").read_text()
    asked = re.search(r"^// verdict: (.*)$", text, re.MULTILINE)
    assert asked is not None
    assert asked[1] == verdict
    assert CUDA[cuda]["verdict"] == [verdict]
