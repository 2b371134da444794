"""The guard before the app in a browser, over HTTP on loopback; and what who looks on cannot do."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("textual_serve", reason="extra web")

import aiohttp
from aiohttp import web

from avo_tui.ui.services import Services
from avo_tui.web.serving import COOKIE, HOST, GuardedServer
from tests.ui.make_session import MemorySource
from tests.ui.pilots import SERVICES, make_app, running

TOKEN = "a-token"
PROGRAM = "import sys\nwhile (d := sys.stdin.buffer.read1()) and b'quit' not in d: pass"
COMMAND = shlex.join([sys.executable, "-c", PROGRAM])
"""Stands in for the app: ends when it is told to."""


@asynccontextmanager
async def served(viewers: int = 2) -> AsyncIterator[str]:
    """The address of a server."""
    application = await GuardedServer(COMMAND, TOKEN, viewers).application()
    runner = web.AppRunner(application, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def browser(**cookies: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        cookies=cookies,
        cookie_jar=aiohttp.CookieJar(unsafe=True),
        timeout=aiohttp.ClientTimeout(60),
    )


@pytest.mark.parametrize("path", ["/", "/?token=wrong", "/ws", "/static/js/textual.js"])
async def test_without_the_token_nothing_is_served(path: str) -> None:
    async with served() as address, browser() as someone, someone.get(address + path) as answer:
        assert answer.status == 403
        assert TOKEN not in await answer.text()


async def test_the_link_gives_a_cookie_and_leaves_no_token_in_the_address() -> None:
    async with served() as address, browser() as someone:
        async with someone.get(f"{address}/?token={TOKEN}") as answer:
            assert answer.status == 200 and str(answer.url) == f"{address}/"
            page = await answer.text()
        assert address.replace("http", "ws") + "/ws" in page and TOKEN not in page
        async with someone.get(f"{address}/static/js/textual.js") as script:
            assert script.status == 200
        (cookie,) = someone.cookie_jar
        assert cookie["httponly"] and cookie["samesite"] == "Strict"


@pytest.mark.parametrize(
    "header", [{"Host": "elsewhere.example"}, {"Origin": "http://elsewhere.example"}]
)
async def test_another_page_cannot_use_the_cookie(header: dict[str, str]) -> None:
    async with (
        served() as address,
        browser(**{COOKIE: TOKEN}) as someone,
        someone.get(f"{address}/ws", headers=header) as answer,
    ):
        assert answer.status == 403


async def test_no_more_browsers_than_allowed() -> None:
    async with served(viewers=1) as address, browser(**{COOKIE: TOKEN}) as someone:
        async with someone.ws_connect(f"{address}/ws"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await someone.ws_connect(f"{address}/ws")
            assert refused.value.status == 503
        async with asyncio.timeout(60):  # its place is free again once it is gone
            while True:
                try:
                    async with someone.ws_connect(f"{address}/ws"):
                        break
                except aiohttp.WSServerHandshakeError:
                    await asyncio.sleep(0.01)


async def test_who_looks_on_can_change_nothing() -> None:
    source = MemorySource(state="running")
    app = make_app(source, services=Services(), read_only=True)
    async with running(app) as hands:
        for key in ("p", "S", "h", "w", "e", "m", "N", "r", "x", "b", "A", "X", "R"):
            hands.said.clear()
            await hands.press(key)
            assert hands.said, f"{key} says nothing"
            assert len(app.screen_stack) == 2, f"{key} opened {app.screen}"
    assert source.sent == []


async def test_with_every_service_too_no_command_is_sent() -> None:
    source = MemorySource(state="running")
    async with running(make_app(source, services=SERVICES, read_only=True)) as hands:
        await hands.press("p", "M")
        await hands.home()
        assert any("only looks on" in text for text in hands.said)
    assert source.sent == []
