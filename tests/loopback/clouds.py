"""The clouds' ways of serving the Messages API, on loopback: paths, credentials, streams."""

import asyncio
import base64
import binascii
import json
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.loopback.rules import refusal
from tests.loopback.server import Body, Server, Status, events_of

TOKEN = "ya29.a-token-of-loopback-0123456789"


class CloudServer(Server):
    """A server that takes the bodies of a cloud and checks them as the first party's would be."""

    def __init__(self, script: Any = ()) -> None:
        super().__init__(script)
        self.refusals: list[str] = []

    def _next(self, body: Body) -> Any:
        path = unquote(self.paths[-1])
        plain = {k: v for k, v in body.items() if k not in {"anthropic_version", "anthropic_beta"}}
        if body.get("anthropic_version") is None:
            self.refusals.append("anthropic_version is missing")
        if "model" in body:
            self.refusals.append("model belongs into the path")
        message = refusal({"model": path, **plain})
        if message is not None:
            self.refusals.append(message)
            return Status(400, "invalid_request_error", message)
        return super()._next(body)


class BedrockServer(CloudServer):
    """Answers in AWS's binary event stream."""

    async def _behave(self, what: Any, writer: asyncio.StreamWriter) -> None:
        if isinstance(what, Status):
            await super()._behave(what, writer)
            return
        kind = "application/vnd.amazon.eventstream"
        writer.write(
            f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n".encode()
        )
        if isinstance(what, str):  # the name of an exception in mid-stream
            writer.write(
                _frame(
                    {":message-type": "exception", ":exception-type": what},
                    {"message": "slow down"},
                )
            )
            await writer.drain()
            return
        for name, data in events_of(what):
            line = json.dumps({"type": name, **data}).encode()
            headers = {
                ":message-type": "event",
                ":event-type": "chunk",
                ":content-type": "application/json",
            }
            writer.write(_frame(headers, {"bytes": base64.b64encode(line).decode()}))
            await writer.drain()


def _frame(headers: dict[str, str], payload: dict[str, str]) -> bytes:
    """One message of `application/vnd.amazon.eventstream`, with its checksums."""
    packed = b"".join(
        struct.pack(">B", len(k)) + k.encode() + struct.pack(">BH", 7, len(v)) + v.encode()
        for k, v in headers.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", len(packed) + len(body) + 16, len(packed))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + packed + body
    return message + struct.pack(">I", binascii.crc32(message))


class TokenServer:
    """Gives out an access token for a service account's signed assertion, as Google does."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._server: asyncio.Server | None = None
        self.url = ""

    async def __aenter__(self) -> "TokenServer":
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/token"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = next(int(row[15:]) for row in head.split("\r\n") if row.startswith("content-length"))
        self.asked.append((await reader.readexactly(size)).decode())
        body = json.dumps({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
        writer.write(
            f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
            f"\r\nconnection: close\r\n\r\n{body}".encode()
        )
        await writer.drain()
        writer.close()


def service_account(folder: Path, token_url: str) -> Path:
    """A key file of a service account that nobody has, made here and now."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "project-of-loopback",
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": "nobody@example.com",
        "token_uri": token_url,
    }
    file = folder / "account.json"
    file.write_text(json.dumps(account))
    return file
