"""Serves a command that runs a Textual app to browsers that opened a link with a token.

textual-serve runs the command once for each browser and speaks to it over a websocket. It asks
nobody who they are; what is here does: a token in the link, which is exchanged for a cookie once,
and a check that requests are made to this address and by its own page.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, cast
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

HOST = "127.0.0.1"
OURS = frozenset({HOST, "localhost"})
"""Names under which a request may ask for this server: any other is a page elsewhere whose name was
made to point here."""

COOKIE = "avo-web"

HEAD = """<head>
<meta name="viewport" content="width=device-width, initial-scale=1">
<script>
  new MutationObserver((_, waiting) => {
    const keys = document.querySelector("textarea");
    if (keys) waiting.disconnect();
    if (keys && matchMedia("(pointer: fine)").matches) keys.focus();
  }).observe(document, { childList: true, subtree: true });
</script>"""
"""A page as wide as the phone. With a mouse, keys go to the app at once; on a touch screen they
wait for a touch, as the focus opens a keyboard over half of the app."""
_OF_TEXTUAL = re.compile(r"<svg.*?</svg>|<link[^>]*googleapis[^>]*>|background-image:[^;]*;", re.S)
"""Its logo, its picture, and a font from elsewhere."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


LINK_SECONDS = 3600.0
"""Seconds for which a link can be opened."""


class GuardedServer(Server):
    """textual-serve's server for those who opened a link, at most `viewers` at a time.

    `address` is where a tunnel of the person's leads to this server, such as
    `https://desk.example`. `used` is called when a link was opened: it opens only once.
    """

    def __init__(
        self,
        command: str,
        viewers: int,
        address: str = "",
        used: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(command, host=HOST, title="avo")
        self._free, self._address, self._used, self._clock = viewers, address, used, clock
        self._cookie, self._token, self._until = secrets.token_urlsafe(24), "", 0.0

    def new_link(self, port: int) -> str:
        """A link that opens once, within `LINK_SECONDS`; the one before opens no more."""
        self._token, self._until = secrets.token_urlsafe(24), self._clock() + LINK_SECONDS
        return f"{self._address or f'http://{HOST}:{port}'}/?token={self._token}"

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
        if host not in OURS and host != urlsplit(self._address).hostname:
            raise web.HTTPForbidden(text="this server answers to its own address only: --address")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text="another page may not use this server")
        knows = _same(request.cookies.get(COOKIE, ""), self._cookie)
        given = request.query.get("token")
        if given is not None and (knows or self._opens(given)):
            answer = web.HTTPFound("/")
            secure = self._public(request).startswith("https")
            answer.set_cookie(COOKIE, self._cookie, httponly=True, samesite="Strict", secure=secure)
            raise answer
        if not knows:
            raise web.HTTPForbidden(text="open the newest link that avo web printed: it opens once")
        answer_ = await handler(request)
        if not answer_.prepared:
            answer_.headers["Cache-Control"] = "no-store"
            answer_.headers["Referrer-Policy"] = "no-referrer"
            answer_.headers["Content-Security-Policy"] = (
                "default-src 'self' 'unsafe-inline' data: blob:; connect-src 'self' ws: wss:;"
                " frame-ancestors 'none'"
            )
        return answer_

    def _opens(self, given: str) -> bool:
        """Whether the link was the newest one; it opens no more then."""
        if not _same(given, self._token) or self._clock() > self._until:
            return False
        self._token = ""
        self._used()
        return True

    def _public(self, request: web.Request) -> str:
        """The address as the browser knows it: a tunnel has its own port."""
        if urlsplit(self._address).netloc == request.host:
            return self._address
        return f"http://{request.host}"

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """The page, for a phone too."""
        self.public_url = self._public(request)
        page: Any = await super().handle_index(request)
        page.text = _OF_TEXTUAL.sub("", page.text or "").replace("<head>", HEAD)
        return cast(web.Response, page)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One browser's app, unless too many look on."""
        if self._free <= 0:
            raise web.HTTPServiceUnavailable(text="too many browsers look on: see --viewers")
        self._free -= 1
        try:
            return await super().handle_websocket(request)
        finally:
            self._free += 1


def _same(given: str, known: str) -> bool:
    return bool(known) and hmac.compare_digest(given.encode(), known.encode())


def serve(
    command: str, *, port: int, viewers: int, address: str, ready: Callable[[str], None]
) -> None:
    """Serves until SIGINT or SIGTERM; `ready` is given each new link, when the one before was
    opened or is too old.

    `command` is run by a shell for each browser. Raises OSError where the port cannot be taken.
    """

    async def main() -> None:
        over, opened, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()
        server = GuardedServer(command, viewers, address, opened.set)

        def end() -> None:
            over.set()
            opened.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end)
        runner = web.AppRunner(
            await server.application(), handle_signals=False, access_log=None, shutdown_timeout=2.0
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, port).start()
            while not over.is_set():
                opened.clear()
                ready(server.new_link(int(runner.addresses[0][1])))
                with suppress(TimeoutError):
                    await asyncio.wait_for(opened.wait(), LINK_SECONDS)
        finally:
            await runner.cleanup()

    asyncio.run(main())
