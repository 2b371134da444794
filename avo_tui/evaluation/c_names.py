"""Names and parameters as C has them, for kernels that are exported as one source."""

from __future__ import annotations

import re
from collections.abc import Sequence

from avo_tui.domain.task import Configuration

_RESERVED = frozenset(
    re.findall(
        r"\w+",
        "alignas alignof auto bool break case char const constexpr continue default delete do "
        "double else enum extern false float for goto if inline int long namespace new nullptr "
        "operator private register restrict return shape short signed sizeof static stream struct "
        "switch template this true typedef union unsigned using virtual void volatile while "
        "workspace",
    )
)
"""Words of C and C++, and the parameters that the functions have beside the task's own."""


def c_name(name: str) -> str:
    """A name that C takes, such as `mha_forward` for `mha-forward`."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII) or "kernel"
    if plain[0].isdigit() or plain in _RESERVED:
        plain = f"{plain}_" if not plain[0].isdigit() else f"_{plain}"
    return plain


def c_string(text: str) -> str:
    """A string literal of C."""
    escaped = "".join(
        chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{escaped}"'


def enumerator(function: str, configuration: str) -> str:
    """The name of a shape's number, such as `ATTENTION_CAUSAL_4K`."""
    return re.sub(r"\W", "_", f"{function}_{configuration}", flags=re.ASCII).upper()


def finder(configurations: Sequence[Configuration]) -> str:
    """Parameters of the function that looks a shape up: all of the task's, in order."""
    kinds = {bool: "int ", int: "int64_t ", float: "double ", str: "const char *"}
    first = configurations[0].parameters
    return ", ".join(f"{kinds[type(v)]}{c_name(n)}" for n, v in first.items()) or "void"


def parameter_lines(function: str, configurations: Sequence[Configuration]) -> str:
    """A Markdown list of shapes, each with its parameters."""
    return "\n".join(
        f"- `{enumerator(function, c.name)}`: "
        + ", ".join(f"{name}={value}" for name, value in c.parameters.items())
        for c in configurations
    )
