"""Our side of the Agent Client Protocol: takes the agent's reports and answers its questions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from acp import RequestError, schema

from avo_tui.domain.events import ToolCalled, ToolReturned
from avo_tui.domain.secrets import redact
from avo_tui.operators.acp.panes import Panes, of_the_seat
from avo_tui.operators.acp.settings import Permissions
from avo_tui.operators.agent.words import clean_text

Asked = Callable[[str], Awaitable[bool]]
"""Asks the person a question; True where it is allowed."""

RISKY = frozenset({"execute", "edit", "delete", "move", "fetch"})
"""Kinds of tool calls that are none of the seat's, whatever their title says."""


class AcpClient:
    """Reports go to the panes. Files and terminals are not offered: the agent uses its own.

    What it has no method for, the library answers with "method not found".
    """

    def __init__(self, panes: Panes, rule: Callable[[], Permissions], ask: Asked) -> None:
        self._panes = panes
        self._rule = rule
        self._ask = ask
        self._questions = 0

    async def session_update(self, session_id: str, update: Any, **kwargs: Any) -> None:
        """A report of the agent."""
        self._panes.update(update)

    async def request_permission(
        self,
        session_id: str,
        tool_call: schema.ToolCallUpdate,
        options: list[schema.PermissionOption],
        **kwargs: Any,
    ) -> schema.RequestPermissionResponse:
        """Whether a tool may run, by the option `acp.permissions`; the question is shown."""
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
        """Extensions of an agent that we do not know."""
        raise RequestError.method_not_found(method)

    async def ext_notification(self, method: str, params: dict[str, Any]) -> None:
        """Extensions of an agent that we do not know are passed over."""


def _answer(
    options: list[schema.PermissionOption], *, allowed: bool
) -> schema.RequestPermissionResponse:
    """The offered option that says so for this one time, else for ever; else cancelled."""
    for kind in ("allow_once", "allow_always") if allowed else ("reject_once", "reject_always"):
        for option in options:
            if option.kind == kind:
                chosen = schema.AllowedOutcome(option_id=option.option_id, outcome="selected")
                return schema.RequestPermissionResponse(outcome=chosen)
    return schema.RequestPermissionResponse(outcome=schema.DeniedOutcome(outcome="cancelled"))
