"""`avo web` in a real headless Chromium: what it shows, what its keys do, what is refused.

    python benchmarks/web_in_chromium.py SESSION --picture page.png [--phone] [--chromium PATH]

Starts `avo web`, opens its link in Chromium through the DevTools protocol, waits for the run screen
in the websocket's frames, presses keys, and prints a table. With `--phone` the page is 390 by 844
points with touch, and tabs and the last row are tapped instead. Needs the extra `web` and Chromium
(Debian: chromium); Chromium is started without its own sandbox, as root must.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

PATIENCE = 60.0


class Page:
    """One page of Chromium, with all text that its websockets have received."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.received, self.frames, self.opened = "", 0, False
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told.get("result", {}))
            elif told["method"] == "Network.webSocketFrameReceived":
                self._frame(told["params"]["response"])

    def _frame(self, frame: dict[str, Any]) -> None:
        payload = frame["payloadData"]
        data = base64.b64decode(payload) if frame["opcode"] == 2 else payload.encode()
        self.received += data.decode("utf-8", "replace")
        self.frames += 1

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        return await asyncio.wait_for(answer, PATIENCE)

    async def until(self, text: str, after: int = 0) -> float:
        """Seconds until a text was received; raises TimeoutError."""
        began = time.monotonic()
        while text not in self.received[after:]:
            if time.monotonic() - began > PATIENCE:
                raise TimeoutError(f"{text!r} was not received; the last: {self.received[-600:]!r}")
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def press(self, key: str, text: str) -> float:
        """Press a key; seconds until `text` comes because of it."""
        after = len(self.received)
        for kind in ("keyDown", "keyUp"):
            typed = {"text": key} if kind == "keyDown" else {}
            await self.ask("Input.dispatchKeyEvent", type=kind, key=key, **typed)
        return await self.until(text, after)

    async def become_phone(self) -> None:
        # The scale is given to Chromium: a scale that DevTools pretends is not what canvases get.
        metrics = {"width": 390, "height": 844, "deviceScaleFactor": 0, "mobile": True}
        await self.ask("Emulation.setDeviceMetricsOverride", **metrics)
        await self.ask("Emulation.setTouchEmulationEnabled", enabled=True)

    async def tap(self, x: float, y: float, text: str) -> float:
        """Tap a place, as shares of the terminal; seconds until `text` comes because of it."""
        after = len(self.received)
        told = await self.ask("Runtime.evaluate", expression=RECTANGLE, returnByValue=True)
        left, top, width, height = told["result"]["value"]
        point = {"x": left + x * width, "y": top + y * height}
        await self.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=[point])
        await self.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        return await self.until(text, after)

    async def picture(self) -> bytes:
        shot = await self.ask("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])


async def debugger(session: aiohttp.ClientSession, folder: Path) -> str:
    """Address of the first page's debugger, once Chromium listens."""
    port_file = folder / "DevToolsActivePort"
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        if port_file.exists() and port_file.read_text().strip():
            port = port_file.read_text().split()[0]
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
        await asyncio.sleep(0.1)
    raise TimeoutError("Chromium does not listen")


async def look(
    link: str, name: str, folder: Path, phone: bool
) -> tuple[list[tuple[str, str]], bytes]:
    """What was seen, and a picture; Chromium keeps its profile in `folder`."""
    rows: list[tuple[str, str]] = []
    async with aiohttp.ClientSession() as session:
        address = await debugger(session, folder)
        async with session.ws_connect(address, max_msg_size=0) as socket:
            page = Page(socket)
            await page.ask("Network.enable")
            if phone:
                await page.become_phone()
            began = time.monotonic()
            await page.ask("Page.navigate", url=link)
            if not phone:  # its status line has no room for the name
                await page.until(name)
            await page.until("Lineage")
            rows.append(("first picture", f"{time.monotonic() - began:.1f} s"))
            where = await page.ask("Runtime.evaluate", expression="location.href")
            rows.append(("address shown", str(where["result"]["value"])))
            if not phone:
                await page.ask("Runtime.evaluate", expression=FOCUS)
            await asyncio.sleep(1.0)  # what is left of the first picture
            for x, y, text, what in TAPS if phone else ():
                seconds = await page.tap(x, y, text)
                rows.append((f"tap: {what}", f"{seconds:.2f} s"))
            for key, text, what in KEYS if not phone else ():
                seconds = await page.press(key, text)
                rows.append((f"key {key}: {what}", f"{seconds:.2f} s"))
            await asyncio.sleep(1.0)
            rows.append(("received", f"{len(page.received)} characters"))
            return rows, await page.picture()


def in_chromium(link: str, arguments: argparse.Namespace) -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        scale = 3 if arguments.phone else 1
        chromium = subprocess.Popen(
            [
                arguments.chromium, "--headless=new", "--no-sandbox", "--disable-gpu",
                "--remote-debugging-port=0", f"--user-data-dir={folder}",
                "--window-size=1280,800", f"--force-device-scale-factor={scale}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            rows, picture = asyncio.run(
                look(link, arguments.session, Path(folder), arguments.phone)
            )
        finally:
            chromium.terminate()
            chromium.wait()
    arguments.picture.write_bytes(picture)
    return rows


FOCUS = "document.querySelector('textarea').focus()"
RECTANGLE = """(() => {
  const r = document.querySelector('.xterm-screen').getBoundingClientRect();
  return [r.left, r.top, r.width, r.height];
})()"""
TAPS = (
    (0.9, 0.04, "Score", "the tab of the score"),
    (0.62, 0.99, "Help", "the help"),
)
"""Where in the terminal, what comes, what that is."""
KEYS = (
    ("p", "nothing", "pause is refused"),
    ("e", "nothing", "no editor is started"),
    ("M", "Memory", "the notes open"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("session")
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--phone", action="store_true")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    arguments = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, "-m", "avo_tui.cli", "web", arguments.session, "--port", "0"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        link = server.stdout.readline().strip()
        for name, value in in_chromium(link, arguments):
            print(f"{name:28} {value}")
    finally:
        server.terminate()
        print(f"avo web ended with status {server.wait(60)}")


if __name__ == "__main__":
    main()
