"""Calls of tools whose success or failure is expected."""

from typing import Any

from avo_tui.operators.toolbox import Toolbox


async def ok(box: Toolbox, name: str, /, **arguments: Any) -> str:
    result = await box.call(name, arguments)
    assert result.ok, result.text
    return result.text


async def bad(box: Toolbox, name: str, /, **arguments: Any) -> str:
    result = await box.call(name, arguments)
    assert not result.ok, result.text
    return result.text
