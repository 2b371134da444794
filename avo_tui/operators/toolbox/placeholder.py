"""Placeholders for a tool's arguments and result after they were cleared from a conversation."""

from __future__ import annotations

from typing import Any

LONG = 300
"""Shortest argument or result that is cleared, in characters."""

MARK = "[cleared to save context"


def cleared_result(call: str, text: str) -> str:
    """The placeholder for a cleared result; a short text is returned unchanged."""
    if len(text) <= LONG:
        return text
    return f'{MARK}; read_result(call="{call}") shows it again]'


def cleared_input(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with every long text replaced by a pointer to what it became."""
    return {name: _short(value) for name, value in arguments.items()}


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONG:
        return f"{MARK}: {len(value)} characters; read_candidate shows the file as it is now]"
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_short(v) for v in value]
    return value


def is_placeholder(text: str) -> bool:
    """Whether a text is a copied placeholder; models imitate what they see in the conversation."""
    return text.lstrip().startswith(MARK) and len(text) < 2 * LONG
