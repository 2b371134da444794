import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.evaluation.expressions import (
    ExpressionError,
    ceil_div,
    evaluate_condition,
    evaluate_integer,
    evaluate_real,
)

NAMES = {"SEQ": 4096, "SMS": 132, "CAUSAL": 1, "SCALE": 0.5}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ceil_div(SEQ, 176) * 2", 48),
        ("min(SMS, SEQ // 128)", 32),
        ("SEQ if CAUSAL else 3", 4096),
        ("-(SEQ % 100) + 7", -89),
        ("not CAUSAL", 0),
        (17, 17),
    ],
)
def test_integers(text: str, value: int) -> None:
    assert evaluate_integer(text, NAMES) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SEQ ** 2", "Pow is not allowed"),
        ("SEQ / 2", "Div is not allowed"),
        ("SEQ.real", "Attribute is not allowed"),
        ("().__class__", "not allowed"),
        ("[1][0]", "not allowed"),
        ("'a' * 9", "str"),
        ("__import__('os')", "not defined"),
        ("SEQQ", "SEQQ"),
        ("1 // 0", "divides by zero"),
        ("4611686018427387904 * 4", "2^62"),
        ("9" * 300, "240 characters"),
        ("1; 2", "';'"),
        ("SCALE", "not an integer"),
        ("(((", "not an expression"),
        ("(lambda: 1)()", "not"),
        ("[x for x in (1, 2)]", "not allowed"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason.replace("^", r"\^")):
        evaluate_integer(text, NAMES)


def test_reals_and_conditions() -> None:
    assert evaluate_real("SCALE / 4", NAMES) == 0.125
    assert evaluate_real(1.5, NAMES) == 1.5
    assert evaluate_condition("CAUSAL and SEQ >= 4096", NAMES) is True
    assert evaluate_condition("CAUSAL and SEQ > 4096", NAMES) is False
    with pytest.raises(ExpressionError):
        evaluate_condition("SCALE", NAMES)


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_ceil_div_is_the_smallest_that_covers(a: int, b: int) -> None:
    found = ceil_div(a, b)
    assert found * b >= a > (found - 1) * b


@given(st.text(alphabet="SEQ0123456789+-*/%().,<>= mincelvdax_'[]{}:", max_size=60))
def test_any_text_gives_an_integer_or_a_reason(text: str) -> None:
    try:
        value = evaluate_integer(text, NAMES)
    except ExpressionError as error:
        assert str(error)
    else:
        assert isinstance(value, int)
        assert abs(value) <= 1 << 62
