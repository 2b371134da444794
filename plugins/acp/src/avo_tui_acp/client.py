"""The client side of the Agent Client Protocol: handles the agent's reports and questions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from acp import RequestError, schema

from avo_tui.domain.events import ToolCalled, ToolReturned
from avo_tui.domain.secrets import redact
from avo_tui.operators.agent.words import clean_text
from avo_tui_acp.panes import Panes, of_the_seat
from avo_tui_acp.settings import Permissions

Asked = Callable[[str], Awaitable[bool]]
"""Asks the person a question; returns True if the person allows it."""

RISKY = frozenset({"execute", "edit", "delete", "move", "fetch"})
"""Kinds of tool calls that are never calls of the seat's tools, whatever their title says."""


class AcpClient:
    """Passes the agent's reports to the panes.

    File access and terminals are not offered, because the agent uses its own. For any other request
    the library answers "method not found".
    """

    def __init__(self, panes: Panes, rule: Callable[[], Permissions], ask: Asked) -> None:
        self._panes = panes
        self._rule = rule
        self._ask = ask
        self._questions = 0

    async def session_update(self, session_id: str, update: Any, **kwargs: Any) -> None:
        self._panes.update(update)

    async def request_permission(
        self,
        session_id: str,
        tool_call: schema.ToolCallUpdate,
        options: list[schema.PermissionOption],
        **kwargs: Any,
    ) -> schema.RequestPermissionResponse:
        """Decides by the option `acp.permissions` whether a tool may run; shows the question."""
        title = " ".join(clean_text(tool_call.title or tool_call.tool_call_id).split())[:200]
        own = tool_call.kind not in RISKY and of_the_seat(title)
        if own:
            return _answer(options, allowed=True)
        self._questions += 1
        call = f"ask-{self._questions}"
        shown = redact(title)
        self._panes.flush()
        self._panes.record(ToolCalled(call=call, tool="asks permission", arguments={"for": shown}))
        rule = self._rule()
        allowed = rule == "all" or (rule == "ask" and await self._ask(shown))
        self._panes.record(
            ToolReturned(
                call=call,
                tool="asks permission",
                ok=allowed,
                summary=f"{'allowed' if allowed else 'refused'} (acp.permissions={rule}): {shown}",
            )
        )
        return _answer(options, allowed=allowed)

    async def ext_method(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        raise RequestError.method_not_found(method)

    async def ext_notification(self, method: str, params: dict[str, Any]) -> None:
        """Ignores notifications of protocol extensions."""


def _answer(
    options: list[schema.PermissionOption], *, allowed: bool
) -> schema.RequestPermissionResponse:
    """The offered option that answers for this one time, else for always; else `cancelled`."""
    for kind in ("allow_once", "allow_always") if allowed else ("reject_once", "reject_always"):
        for option in options:
            if option.kind == kind:
                chosen = schema.AllowedOutcome(option_id=option.option_id, outcome="selected")
                return schema.RequestPermissionResponse(outcome=chosen)
    return schema.RequestPermissionResponse(outcome=schema.DeniedOutcome(outcome="cancelled"))
