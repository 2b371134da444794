"""Messages arrive at real servers on loopback; hooks are real processes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from email import message_from_bytes
from email.header import decode_header, make_header
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from avo_tui.cli.main import run
from avo_tui.notify import Alert, Hook, Messages, channels
from avo_tui.settings import settings

ONE = Alert(
    kind="approval", session="mha", folder="/x", key="approval 2.1", title="mha: waits", text="A é"
)
TWO = ONE.model_copy(update={"kind": "new_best", "title": "mha: v3 is the best"})


class Posted(ThreadingHTTPServer):
    """Takes what is posted, as a server of ntfy does."""

    status = 200

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), Taker)
        Thread(target=self.serve_forever, daemon=True).start()


class Taker(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Posted)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.got.append((self.path, dict(self.headers), body))
        self.send_response(server.status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"id":"x","event":"message"}')

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def server() -> Iterator[Posted]:
    with Posted() as posted:
        yield posted
        posted.shutdown()


def test_ntfy(server: Posted) -> None:
    pytest.importorskip("apprise")
    channel = Messages(f"ntfy://127.0.0.1:{server.server_port}/kernels", "https://desk.example")
    delivery = channel.send([ONE])
    assert delivery is not None and delivery.ok, delivery
    ((_, _, body),) = server.got
    sent = json.loads(body)
    assert (sent["topic"], sent["title"], sent["message"]) == (
        "kernels",
        "mha: waits",
        "A é\nhttps://desk.example",
    )


def test_several_together_and_what_is_refused(server: Posted) -> None:
    pytest.importorskip("apprise")
    channel = Messages(f"json://user:secret@127.0.0.1:{server.server_port}/hook")
    delivery = channel.send([ONE, TWO])
    assert delivery is not None and delivery.ok
    sent = json.loads(server.got[0][2])
    assert "2 things" in sent["title"] and "v3 is the best" in sent["message"]
    server.status = 500
    delivery = channel.send([ONE])
    assert delivery is not None and not delivery.ok and delivery.why
    assert "secret" not in delivery.why + delivery.channel


class Box:
    def __init__(self) -> None:
        self.got: list[bytes] = []

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        self.got.append(envelope.content)
        return "250 OK"


def test_mail() -> None:
    pytest.importorskip("apprise")
    box, smtp = Box(), pytest.importorskip("aiosmtpd.controller")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = smtp.Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        url = f"mailto://127.0.0.1:{port}?from=avo@here.example&to=me@there.example&mode=insecure"
        delivery = Messages(url).send([ONE])
    finally:
        controller.stop()
    assert delivery is not None and delivery.ok, delivery
    mail = message_from_bytes(box.got[0])
    assert str(make_header(decode_header(mail["Subject"]))) == "mha: waits"
    part = next(p for p in mail.walk() if not p.is_multipart())
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes) and "A é" in payload.decode()


def test_a_hook_gets_json(tmp_path: Path) -> None:
    file = tmp_path / "got.json"
    hook = Hook("approval", f"cat > {file}; echo $AVO_SESSION >> {file}")
    delivery = hook.send([ONE, TWO])
    assert delivery is not None and delivery.ok
    text, name = file.read_text().rsplit("}", 1)
    assert json.loads(text + "}")["key"] == "approval 2.1" and name.strip() == "mha"
    assert hook.send([TWO]) is None


@pytest.mark.parametrize(
    ("command", "why"), [("echo no; exit 3", "exit code 3: no"), ("/nonexistent", "exit code 127")]
)
def test_a_hook_that_fails_says_why(command: str, why: str) -> None:
    delivery = Hook("approval", command).send([ONE])
    assert delivery is not None and not delivery.ok and why in delivery.why


def test_a_hook_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "HOOK_SECONDS", 0.2)
    delivery = Hook("approval", "sleep 60 & sleep 60").send([ONE])
    assert delivery is not None and "was ended" in delivery.why


def test_the_command_says_what_came_through(
    tmp_path: Path,
    server: Posted,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("apprise")
    config = tmp_path / "config.toml"
    monkeypatch.setenv("AVO_CONFIG", str(config))
    url = f"ntfy://127.0.0.1:{server.server_port}/kernels"
    config.write_text(f'[notify]\nurls = ["{url}"]\n[hooks]\nfinished = "exit 1"\n')
    assert run(["notify", "test"]) == 1
    out = capsys.readouterr().out
    assert "ntfy message: came through" in out and "hook of finished: exit code 1" in out
    config.write_text('[hooks]\nfinishd = "true"\n')
    settings.cache_clear()
    assert run(["notify", "test"]) != 0
    assert "there is no kind 'finishd'" in capsys.readouterr().err
    assert len(server.got) == 1
