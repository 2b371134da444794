"""A scripted agent that speaks the Agent Client Protocol over its standard input and output.

python acp_agent.py MODE

Modes: `step` makes a whole step over the MCP server that it is given; `direct` the same over the
seat's socket, without MCP; `idle` only talks; `dies`, `login`: cannot go on; `endless` works until
it is cancelled.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from acp import (
    Agent,
    Client,
    RequestError,
    plan_entry,
    run_agent,
    schema,
    start_tool_call,
    update_agent_message_text,
    update_agent_thought_text,
    update_plan,
    update_tool_call,
)

from avo_tui.operators.seat.wire import Hello
from avo_tui.seat.client import SeatClient

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("begin_step", {}),
    ("replace_text", {"old": "UNROLL = 1", "new": "UNROLL = 4"}),
    ("evaluate", {"title": "four at a time"}),
    ("submit", {"summary": "four at a time is faster"}),
)


class Scripted:
    """One session; what it does is told by the mode."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.turns = 0
        self.server: schema.McpServerStdio | None = None
        self.cancelled = asyncio.Event()

    def on_connect(self, conn: Client) -> None:
        self.client = conn

    async def initialize(
        self, protocol_version: int, *more: Any, **fields: Any
    ) -> schema.InitializeResponse:
        return schema.InitializeResponse(
            protocol_version=protocol_version,
            agent_info=schema.Implementation(name="scripted", version="1"),
        )

    async def new_session(self, cwd: str, *more: Any, **fields: Any) -> schema.NewSessionResponse:
        if self.mode == "login":
            raise RequestError.auth_required()
        (self.server,) = fields["mcp_servers"]
        return schema.NewSessionResponse(session_id="s1")

    async def cancel(self, session_id: str, **fields: Any) -> None:
        self.cancelled.set()

    async def prompt(
        self, session_id: str, prompt: list[Any], *more: Any, **fields: Any
    ) -> schema.PromptResponse:
        self.turns += 1
        if self.mode == "dies":
            sys.stderr.write("the account has no credit\n")
            sys.stderr.flush()
            os._exit(3)
        if self.mode == "idle":
            await self.say(session_id, "Shall I go on?")
            return schema.PromptResponse(stop_reason="end_turn")
        if self.mode == "endless" and self.turns == 1:
            await self.say(session_id, "I think for a long time.")
            await self.cancelled.wait()
            await self.say(session_id, "I stop.")
            return schema.PromptResponse(stop_reason="cancelled")
        await self.step(session_id)
        usage = schema.Usage(
            total_tokens=1100 * self.turns,
            input_tokens=1000 * self.turns,
            output_tokens=100 * self.turns,
        )
        return schema.PromptResponse(stop_reason="end_turn", usage=usage)

    async def say(self, session_id: str, text: str) -> None:
        await self.client.session_update(session_id, update_agent_message_text(text))

    async def step(self, session_id: str) -> None:
        update = self.client.session_update
        if self.turns == 1 or self.mode == "endless":
            await update(session_id, update_agent_thought_text("Loads wait."))
            await self.say(session_id, "I unroll the loop.")
            entries = [
                plan_entry("unroll", status="in_progress"),
                plan_entry("measure", status="pending"),
            ]
            await update(session_id, update_plan(entries))
            await self.own_tool(session_id)
            cost = schema.Cost(amount=0.25, currency="USD")
            await update(
                session_id,
                schema.UsageUpdate(session_update="usage_update", used=1, size=9, cost=cost),
            )
        calls = CALLS if not await self.head_is_fast() else (CALLS[0],)
        if self.mode == "step":
            await self.over_mcp(session_id, calls)
        else:
            await self.over_the_socket(calls)

    async def head_is_fast(self) -> bool:
        return self.turns > (2 if self.mode == "endless" else 1)

    async def own_tool(self, session_id: str) -> None:
        call = schema.ToolCallUpdate(tool_call_id="t1", title="rm -rf build", kind="execute")
        options = [
            schema.PermissionOption(option_id="yes", name="Allow", kind="allow_once"),
            schema.PermissionOption(option_id="no", name="Reject", kind="reject_once"),
        ]
        answer = await self.client.request_permission(session_id, call, options)
        chosen = answer.outcome
        word = chosen.option_id if isinstance(chosen, schema.AllowedOutcome) else "cancelled"
        await self.client.session_update(
            session_id, start_tool_call("t1", "rm -rf build", kind="execute")
        )
        status: Any = "completed" if word == "yes" else "failed"
        await self.client.session_update(session_id, update_tool_call("t1", status=status))

    async def over_the_socket(self, calls: Any) -> None:
        assert self.server is not None
        folder = Path(self.server.args[self.server.args.index("mcp") + 1])
        client = await SeatClient.sit_down(folder, Hello(client="scripted 1", way="acp"))
        async with client:
            for tool, arguments in calls:
                await client.call(tool, arguments)

    async def over_mcp(self, session_id: str, calls: Any) -> None:
        from mcp import ClientSession, StdioServerParameters
        from mcp.client.stdio import stdio_client

        assert self.server is not None
        environment = {each.name: each.value for each in self.server.env}
        parameters = StdioServerParameters(
            command=self.server.command, args=self.server.args, env=environment
        )
        async with (
            stdio_client(parameters) as (read, write),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            for number, (tool, arguments) in enumerate(calls):
                name = f"m{number}"
                await self.client.session_update(session_id, start_tool_call(name, f"avo_{tool}"))
                answer = await session.call_tool(tool, arguments)
                await self.client.session_update(
                    session_id, update_tool_call(name, status="completed")
                )
                sys.stderr.write(json.dumps(answer.structured_content)[:200] + "\n")


if __name__ == "__main__":
    asyncio.run(run_agent(cast("Agent", Scripted(sys.argv[1]))))
