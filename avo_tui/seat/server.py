"""The MCP server of a seat: tools, resources and prompts, over stdio or streamable HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError
from starlette.types import ASGIApp, Receive, Scope, Send

from avo_tui import __version__
from avo_tui.domain.records import Hint
from avo_tui.operators.agent.prompts.opening import hint_text
from avo_tui.operators.seat.step import RESUMED, tool_specs
from avo_tui.operators.seat.wire import Answer, Hello, Letter, Way
from avo_tui.seat.client import SeatClient, SeatError
from avo_tui.seat.resources import PAGES, SCHEME, TEMPLATES, Library
from avo_tui.seat.slow_calls import PATIENCE, PatientCalls, SitDown

INSTRUCTIONS = (
    "You sit in the seat of a supervised evolution of a compute kernel: you are its variation"
    " operator. Call begin_step first; it tells how things stand. The resource avo:///brief says"
    " how to work here. Words of the person come with the answers of the tools and outrank your"
    " plan. A tool that takes long says so: call wait for its answer."
)

READ_ONLY = frozenset({
    "list_versions", "read_version", "diff_versions", "list_attempts", "read_attempt",
    "search_knowledge", "read_knowledge", "list_knowledge", "read_candidate", "show_diff",
    "recall", "read_result",
})  # fmt: skip

IDLE_SECONDS = 1800.0
"""Seconds without a call after which an HTTP client leaves the seat."""


class SeatServer:
    """Serves one session. Each client has calls of its own; the seat lets one of them in."""

    def __init__(
        self,
        library: Library,
        sit_down: SitDown,
        *,
        waiting: Callable[[], str],
        way: Way = "mcp",
        take_over: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        """`waiting` returns a line that says what a running tool waits for."""
        self._library = library
        self._sit_down = sit_down
        self._waiting = waiting
        self._way: Way = way
        self._take_over = take_over
        self._patience = patience
        self._clients: dict[str, PatientCalls] = {}
        self.server: Server[Any] = Server(
            "avo",
            version=__version__,
            title="avo: the seat of a kernel evolution",
            instructions=INSTRUCTIONS,
            on_list_tools=self._tools,
            on_call_tool=self._call,
            on_list_resources=self._resources,
            on_list_resource_templates=self._templates,
            on_read_resource=self._read,
            on_list_prompts=self._prompts,
            on_get_prompt=self._prompt,
        )

    async def close(self) -> None:
        """Leave the seat."""
        for calls in self._clients.values():
            await calls.close()
        self._clients.clear()

    # -- tools

    async def _tools(
        self, context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=spec.name,
                    description=spec.description,
                    input_schema=spec.input_schema,
                    annotations=types.ToolAnnotations(
                        read_only_hint=spec.name in READ_ONLY,
                        destructive_hint=False,
                        open_world_hint=False,
                    ),
                )
                for spec in tool_specs(self._library.state.session.settings)
            ]
        )

    async def _call(
        self, context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        calls = await self._calls(context)

        async def progress(seconds: float, doing: str) -> None:
            await context.session.report_progress(seconds, message=doing or self._waiting())

        hello = Hello(client=_name_of(context), way=self._way)
        given = params.arguments or {}
        try:
            known = await self._library.after_the_run(params.name, given) if calls.idle else None
            if known is not None:
                answer, running = known, False
            else:
                answer, running = await calls.call(hello, params.name, given, progress)
        except (SeatError, OSError) as error:
            known = await self._library.after_the_run(params.name, given)  # it ended meanwhile
            answer, running = known or Answer(id=0, ok=False, text=f"{error}."), False
        answer = self._completed(answer, calls, running=running)
        structured = {
            **answer.model_dump(mode="json", exclude={"id"}),
            "still_running": running,
        }
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=answer.whole())],
            structured_content=structured,
            is_error=not answer.ok,
        )

    def _completed(self, answer: Answer, calls: PatientCalls, *, running: bool) -> Answer:
        """An answer with what only the session's record says: the step, the run's end, and, while
        a tool runs, what the person has said since."""
        state = self._library.state
        letters, text = answer.letters, answer.text
        if running:
            hints = [hint for hint in state.hints.values() if hint.state == "queued"]
            news = {hint.id: Letter(sender="person", text=_in_advance(hint)) for hint in hints}
            if state.session.state == "pausing":
                news["pause"] = Letter(sender="run", text=_PAUSING)
            elif state.session.state == "paused":
                text = f"{text}\n{_HELD}"
                calls.told.add("pause")
            letters = (*letters, *(news[key] for key in news if key not in calls.told))
            calls.told.update(news)
        resumed = Letter(sender="run", text=RESUMED)
        if "pause" in calls.told and state.session.state not in {"pausing", "paused"}:
            calls.told.discard("pause")
            letters = letters if resumed in letters else (*letters, resumed)
        if not running:
            calls.told.clear()
        return answer.replaced(
            text=text,
            letters=letters,
            step=answer.step or state.session.step,
            run_ended=answer.run_ended or self._library.is_over(),
            run_state=self._library.run_state,
        )

    async def _calls(self, context: ServerRequestContext[Any]) -> PatientCalls:
        """The calls of this client; those of clients that have long been silent are closed."""
        now = asyncio.get_running_loop().time()
        for key, calls in list(self._clients.items()):
            if calls.idle and now - calls.used > IDLE_SECONDS:
                await self._clients.pop(key).close()
        key = _client_key(context)
        if key not in self._clients:
            self._clients[key] = PatientCalls(self._take_seat, self._patience)
        return self._clients[key]

    async def _take_seat(self, hello: Hello) -> SeatClient:
        """Sit down. Only the first time is somebody sent away for it: who takes the seat later
        keeps it, whatever this client calls then."""
        client = await self._sit_down(hello.replaced(take_over=self._take_over))
        self._take_over = False
        return client

    # -- resources

    async def _resources(
        self, context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        return types.ListResourcesResult(
            resources=[
                types.Resource(
                    name=page.path,
                    title=page.title,
                    uri=SCHEME + page.path,
                    description=page.description,
                    mime_type="text/markdown",
                )
                for page in self._library.offered(PAGES)
            ]
        )

    async def _templates(
        self, context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    name=page.path.partition("/")[0],
                    title=page.title,
                    uri_template=SCHEME + page.path,
                    description=page.description,
                    mime_type="text/markdown",
                )
                for page in self._library.offered(TEMPLATES)
            ]
        )

    async def _read(
        self, context: ServerRequestContext[Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        uri = str(params.uri)
        try:
            text = self._library.read(uri)
        except KeyError as error:
            raise MCPError(code=types.INVALID_PARAMS, message=str(error.args[0])) from None
        page = types.TextResourceContents(uri=uri, mime_type="text/markdown", text=text)
        return types.ReadResourceResult(contents=[page])

    # -- prompts

    async def _prompts(
        self, context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        prompt = types.Prompt(
            name="step", title="Make a step", description="How to work here, and: begin."
        )
        return types.ListPromptsResult(prompts=[prompt])

    async def _prompt(
        self, context: ServerRequestContext[Any], params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        if params.name != "step":
            raise MCPError(code=types.INVALID_PARAMS, message="the only prompt is `step`")
        text = f"{self._library.read(SCHEME + 'brief')}\n\nNow call begin_step, and go on."
        message = types.PromptMessage(
            role="user", content=types.TextContent(type="text", text=text)
        )
        return types.GetPromptResult(messages=[message])


_PAUSING = "The person pauses the run: once this tool is done, the next one is held."
_HELD = "The run is paused: the call is held until the person resumes it."


def _in_advance(hint: Hint) -> str:
    """A hint, for who waits for a tool that runs; it counts as delivered with the tool's answer."""
    return f"{hint_text(hint)}\n(It comes once more with the answer of the tool that runs.)"


def _name_of(context: ServerRequestContext[Any]) -> str:
    """Name that the client reports."""
    params = context.session.client_params
    if params is None:
        return "MCP client"
    info = params.client_info
    return f"{info.name} {info.version}".strip()[:80] or "MCP client"


def _client_key(context: ServerRequestContext[Any]) -> str:
    """A key that identifies an HTTP client; over stdio there is only one client."""
    headers = getattr(context.request, "headers", None)
    return str(headers.get("mcp-session-id", "http")) if headers is not None else "stdio"


async def serve_stdio(seat: SeatServer) -> None:
    """Serve the client at the other end of standard input and output until it leaves."""
    from mcp.server.stdio import stdio_server

    try:
        async with stdio_server() as (read, write):
            await seat.server.run(read, write, seat.server.create_initialization_options())
    finally:
        await seat.close()


async def serve_http(seat: SeatServer, port: int, token: str, ready: Callable[[int], None]) -> None:
    """Serve clients on the loopback interface that show the token, until cancelled.

    `ready` is told the port, which is chosen where `port` is 0. Raises OSError.
    """
    import socket

    import uvicorn

    with socket.create_server(("127.0.0.1", port)) as listener:
        app = TokenGuard(seat.server.streamable_http_app(host="127.0.0.1"), token)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on")
        ready(listener.getsockname()[1])
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await uvicorn.Server(config).serve(sockets=[listener])
        finally:
            await seat.close()


class TokenGuard:
    """Lets requests through that carry `Authorization: Bearer TOKEN`; others get a 401."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of ASGI."""
        if scope["type"] != "http" or self._known(scope):
            await self._app(scope, receive, send)
            return
        await _refuse(send)

    def _known(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, self._expected)


async def _refuse(send: Callable[[Any], Awaitable[None]]) -> None:
    body = b'{"error": "send the token that avo mcp printed: Authorization: Bearer TOKEN"}'
    headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
