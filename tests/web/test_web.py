"""The guard before the app in a browser, over HTTP on loopback; and what who looks on cannot do."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("textual_serve", reason="extra web")

import aiohttp
from aiohttp import web

from avo_tui.ui.dialogs import Confirm
from avo_tui.ui.services import Services
from avo_tui.web.serving import COOKIE, HOST, LINK_SECONDS, GuardedServer
from tests.ui.make_session import MemorySource
from tests.ui.pilots import SERVICES, make_app, running

PROGRAM = "import sys\nwhile (d := sys.stdin.buffer.read1()) and b'quit' not in d: pass"
COMMAND = shlex.join([sys.executable, "-c", PROGRAM])
"""Stands in for the app: ends when it is told to."""


@asynccontextmanager
async def served(viewers: int = 2, **options: Any) -> AsyncIterator[tuple[GuardedServer, str]]:
    """A server and its address."""
    server = GuardedServer(COMMAND, viewers, **options)
    runner = web.AppRunner(await server.application(), shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield server, f"http://{HOST}:{runner.addresses[0][1]}"
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
    async with (
        served() as (server, address),
        browser() as someone,
        someone.get(address + path) as answer,
    ):
        assert answer.status == 403
        assert server._cookie not in await answer.text()


async def test_the_link_gives_a_cookie_and_leaves_no_token_in_the_address() -> None:
    async with served() as (server, address), browser() as someone:
        link = server.new_link(int(address.rpartition(":")[2]))
        async with someone.get(link) as answer:
            assert answer.status == 200 and str(answer.url) == f"{address}/"
            page = await answer.text()
        assert address.replace("http", "ws") + "/ws" in page and server._cookie not in page
        assert "width=device-width" in page and "<svg" not in page and "googleapis" not in page
        async with someone.get(f"{address}/static/js/textual.js") as script:
            assert script.status == 200
        (cookie,) = someone.cookie_jar
        assert cookie["httponly"] and cookie["samesite"] == "Strict"
        async with someone.get(link) as again:
            assert again.status == 200, "who was let in may open the link again"


async def test_a_link_opens_once_and_not_for_long() -> None:
    moment, used = 0.0, list[int]()
    async with served(clock=lambda: moment, used=lambda: used.append(1)) as (server, address):

        async def opened(link: str) -> int:
            async with browser() as someone, someone.get(link) as answer:
                return answer.status

        link = server.new_link(int(address.rpartition(":")[2]))
        assert [await opened(link), await opened(link)] == [200, 403]
        assert await opened(f"{address}/?token=") == 403
        link = server.new_link(int(address.rpartition(":")[2]))
        moment = LINK_SECONDS + 1
        assert await opened(link) == 403
    assert used == [1]


async def test_a_tunnel_has_its_address_in_link_and_page() -> None:
    async with served(address="https://desk.example") as (server, address), browser() as someone:
        link = server.new_link(1)
        assert link.startswith("https://desk.example/?token=")
        tunnel = {"Host": "desk.example", "Origin": "https://desk.example"}
        token = link.rpartition("/")[2]
        async with someone.get(
            f"{address}/{token}", headers=tunnel, allow_redirects=False
        ) as answer:
            assert answer.status == 302 and answer.cookies[COOKIE]["secure"]
        tunnel["Cookie"] = f"{COOKIE}={server._cookie}"
        async with someone.get(address, headers=tunnel) as page:
            assert "wss://desk.example/ws" in await page.text()


@pytest.mark.parametrize(
    "header", [{"Host": "elsewhere.example"}, {"Origin": "http://elsewhere.example"}]
)
async def test_another_page_cannot_use_the_cookie(header: dict[str, str]) -> None:
    async with (
        served() as (server, address),
        browser(**{COOKIE: server._cookie}) as someone,
        someone.get(f"{address}/ws", headers=header) as answer,
    ):
        assert answer.status == 403


async def test_no_more_browsers_than_allowed() -> None:
    async with (
        served(viewers=1) as (server, address),
        browser(**{COOKIE: server._cookie}) as someone,
    ):
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


async def test_a_tap_in_a_browser_is_asked_about_and_there_is_a_way_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = MemorySource(state="running")
    app = make_app(source, services=SERVICES)
    async with running(app, (41, 44)) as hands:
        monkeypatch.setattr(type(app), "is_web", True)
        for key, sent in (("escape", 0), ("enter", 0), ("tab", 1)):
            await hands.click("#actions", offset=(1, 0))
            assert isinstance(app.screen, Confirm)
            await hands.press(*([key, "enter"] if key == "tab" else [key]))
            assert len(source.sent) == sent
        await hands.press("M")
        assert "back" in hands.rows()[-1]
