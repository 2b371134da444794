"""Serves a command that runs a Textual app to browsers that know the token.

textual-serve runs the command once for each browser and speaks to it over a websocket. It asks
nobody who they are; what is here does: a token in the link, which is exchanged for a cookie, and a
check that requests are made to this address and by its own page.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import signal
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

HOST = "127.0.0.1"
OURS = frozenset({HOST, "localhost"})
"""Names under which a request may ask for this server: any other is a page elsewhere whose name was
made to point here."""

COOKIE = "avo-web"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class GuardedServer(Server):
    """textual-serve's server, for those that know `token`, at most `viewers` at a time."""

    def __init__(self, command: str, token: str, viewers: int) -> None:
        super().__init__(command, host=HOST, title="avo")
        self._token, self._free = token, viewers

    async def application(self) -> web.Application:
        """The web application with its guard."""
        app = await self._make_app()
        app.middlewares.append(self._guard)
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Print nothing: who serves says where."""

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        host = urlsplit(f"//{request.host}").hostname
        if host not in OURS:
            raise web.HTTPForbidden(text="this server answers to 127.0.0.1 and localhost only")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text="another page may not use this server")
        given = request.query.get("token")
        if given is not None and self._right(given):
            answer = web.HTTPFound("/")
            answer.set_cookie(COOKIE, self._token, httponly=True, samesite="Strict")
            raise answer
        if not self._right(request.cookies.get(COOKIE, "")):
            raise web.HTTPForbidden(text="open the link that avo web printed: it has the token")
        answer_ = await handler(request)
        if not answer_.prepared:
            answer_.headers["Cache-Control"] = "no-store"
            answer_.headers["Referrer-Policy"] = "no-referrer"
            answer_.headers["Content-Security-Policy"] = (
                "default-src 'self' 'unsafe-inline' data: blob:; connect-src 'self' ws:;"
                " frame-ancestors 'none'"
            )
        return answer_

    def _right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """The page, with addresses as the browser knows this server: a tunnel has its own port."""
        self.public_url = f"http://{request.host}"
        page: web.StreamResponse = await super().handle_index(request)
        return page

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One browser's app, unless too many look on."""
        if self._free <= 0:
            raise web.HTTPServiceUnavailable(text="too many browsers look on: see --viewers")
        self._free -= 1
        try:
            return await super().handle_websocket(request)
        finally:
            self._free += 1


async def _serve(
    server: GuardedServer, port: int, ready: Callable[[int], None], over: asyncio.Event
) -> None:
    runner = web.AppRunner(
        await server.application(), handle_signals=False, access_log=None, shutdown_timeout=2.0
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        ready(int(runner.addresses[0][1]))
        await over.wait()
    finally:
        await runner.cleanup()


def serve(command: str, *, port: int, viewers: int, ready: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM; `ready` is given the link with its token.

    `command` is run by a shell for each browser. Raises OSError where the port cannot be taken.
    """
    token = secrets.token_urlsafe(24)
    server = GuardedServer(command, token, viewers)

    async def main() -> None:
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, over.set)
        await _serve(server, port, lambda at: ready(f"http://{HOST}:{at}/?token={token}"), over)

    asyncio.run(main())
