"""Expressions in a launch manifest and in a domain: integer arithmetic on named sizes.

`+ - * // %`, comparisons, `and or not`, `a if c else b`, `ceil_div`, `min` and `max`. They are
evaluated by simpleeval with all other node types removed and limits on length and magnitude; never
by eval.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from simpleeval import InvalidExpression, SimpleEval

MAX_LENGTH = 240
"""Characters of one expression."""
MAX_MAGNITUDE = 1 << 62

Number = int | float
Names = Mapping[str, Number]


class ExpressionError(ValueError):
    """The expression is not allowed or has no integer value; the message says why."""


def ceil_div(a: int, b: int) -> int:
    """Smallest integer not below a / b."""
    return -(-a // b)


def _bounded(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(a: Any, b: Any) -> Any:
        value = function(a, b)
        if abs(value) > MAX_MAGNITUDE:
            raise ExpressionError("a value beyond 2^62 comes up")
        return value

    return apply


_INTEGER_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _bounded(operator.add),
    ast.Sub: _bounded(operator.sub),
    ast.Mult: _bounded(operator.mul),
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_REAL_OPERATORS = {**_INTEGER_OPERATORS, ast.Div: operator.truediv}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"ceil_div": ceil_div, "min": min, "max": max}
_NODES = (
    ast.Expr,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.Call,
    ast.Name,
    ast.Constant,
)


def _evaluate(text: str, names: Names, operators: dict[type[ast.AST], Callable[..., Any]]) -> Any:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters")
    if ";" in text:
        raise ExpressionError("holds a ';', which no expression has")
    evaluator = SimpleEval(operators=operators, functions=_FUNCTIONS, names=dict(names))
    allowed = set(_NODES)
    for node in [n for n in evaluator.nodes if n not in allowed]:
        del evaluator.nodes[node]
    try:
        return evaluator.eval(text)
    except ExpressionError:
        raise
    except ZeroDivisionError as error:
        raise ExpressionError("divides by zero") from error
    except InvalidExpression as error:
        known = ", ".join(sorted(names))
        reason = re.sub(
            r"^Sorry, (\w+) is not available.*", r"\1 is not allowed here", _first_line(error)
        )
        reason = re.sub(r"^Operator '<ast\.(\w+).*", r"operator \1 is not allowed here", reason)
        raise ExpressionError(f"{reason}; names: {known}") from error
    except SyntaxError as error:
        raise ExpressionError(f"is not an expression ({error.msg})") from error
    except (TypeError, ValueError, KeyError, RecursionError, MemoryError) as error:
        raise ExpressionError(_first_line(error) or type(error).__name__) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else ""


def evaluate_integer(expression: int | str, names: Names) -> int:
    """The integer value of `expression`.

    Raises ExpressionError, with a reason, for anything that is not an integer in range.
    """
    if isinstance(expression, int):
        value: Any = int(expression)
    else:
        value = _evaluate(expression, names, _INTEGER_OPERATORS)
    if isinstance(value, bool):
        value = int(value)
    if not isinstance(value, int):
        raise ExpressionError(f"has the value {value!r}, which is not an integer")
    if abs(value) > MAX_MAGNITUDE:
        raise ExpressionError("its value is beyond 2^62")
    return value


def evaluate_real(expression: int | float | str, names: Names) -> float:
    """The value of `expression` as a float; `/` and fractional literals are allowed here."""
    if isinstance(expression, int | float):
        return float(expression)
    value = _evaluate(expression, names, _REAL_OPERATORS)
    if not isinstance(value, int | float):
        raise ExpressionError(f"has the value {value!r}, which is not a number")
    return float(value)


def evaluate_condition(expression: bool | str, names: Names) -> bool:
    """The truth of `expression`, such as `CAUSAL and SEQ >= 8192`."""
    if isinstance(expression, bool):
        return expression
    value = _evaluate(expression, names, _INTEGER_OPERATORS)
    if not isinstance(value, int):
        raise ExpressionError(f"has the value {value!r}, which is neither true nor false")
    return bool(value)
