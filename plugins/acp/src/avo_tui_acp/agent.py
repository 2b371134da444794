"""The agent's process and the connection to it over the Agent Client Protocol."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import TypeVar, cast

from acp import PROTOCOL_VERSION, Client, RequestError, connect_to_agent, schema, text_block

from avo_tui import __version__
from avo_tui.domain.plain import plain
from avo_tui.domain.secrets import redact
from avo_tui_acp.client import AcpClient
from avo_tui_acp.panes import SERVER
from avo_tui_acp.settings import AcpSettings

T = TypeVar("T")

STOP_SECONDS = 5.0
"""Seconds to wait for the agent to exit after its input was closed, and again after SIGTERM."""

LINE_BYTES = 64 << 20
"""Largest size of one message from the agent, in bytes."""

AUTH_REQUIRED = -32000
"""The protocol's error code for an agent whose user has to log in first."""


class AgentProblemError(Exception):
    """The agent cannot continue; the message is one sentence for the person."""


class AgentProcess:
    """One running process of the agent's program, with one protocol session."""

    def __init__(self, settings: AcpSettings, session: Path, client: AcpClient) -> None:
        """`session` is the folder of the session in whose seat the agent works."""
        self._settings = settings
        self._session = session
        self._client = client
        self._process: asyncio.subprocess.Process | None = None
        self._folder: Path | None = None
        self._errors: deque[str] = deque(maxlen=20)
        self._reader: asyncio.Task[None] | None = None
        self._id = ""
        self.name = Path(settings.command()[0]).name
        """Name that the agent reports; before it is started, the name of its program."""

    # -- starting and stopping

    async def start(self) -> None:
        """Start the program and open a session with the seat's tools. Raises AgentProblemError."""
        words = self._settings.command()
        cwd = self._settings.place()
        if cwd is None:
            cwd = self._folder = Path(tempfile.mkdtemp(prefix="avo-agent-"))
        try:
            self._process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=cwd,
                limit=LINE_BYTES,
                start_new_session=True,
            )
        except OSError as error:
            why = error.strerror or str(error)
            raise AgentProblemError(f"the agent {words[0]!r} cannot be started: {why}") from error
        self._reader = asyncio.create_task(self._read_errors())
        self._connection = connect_to_agent(
            cast("Client", self._client), self._process.stdin, self._process.stdout
        )
        try:
            async with asyncio.timeout(self._settings.start_seconds):
                await self._unless_it_ends(self._open(str(cwd)))
        except TimeoutError as error:
            raise AgentProblemError(
                f"{self.name} did not open a session within {self._settings.start_seconds:g} s"
                " (acp.start_seconds)" + self._last_error()
            ) from error

    async def _open(self, cwd: str) -> None:
        try:
            hello = await self._connection.initialize(
                protocol_version=PROTOCOL_VERSION,
                client_capabilities=schema.ClientCapabilities(),
                client_info=schema.Implementation(name="avo", version=__version__),
            )
            if hello.agent_info is not None:
                info = hello.agent_info
                self.name = plain(f"{info.title or info.name} {info.version}".strip(), 60)
            opened = await self._connection.new_session(cwd=cwd, mcp_servers=[self._seat()])
        except RequestError as error:
            if error.code == AUTH_REQUIRED:
                raise AgentProblemError(
                    f"{self.name} wants you to log in: start it once by itself, log in, then resume"
                ) from error
            raise AgentProblemError(
                f"{self.name} refused to open a session: {_words(error)}{self._last_error()}"
            ) from error
        self._id = opened.session_id

    def _seat(self) -> schema.McpServerStdio:
        """How the agent has to start the MCP server that offers the seat's tools."""
        return schema.McpServerStdio(
            name=SERVER,
            command=sys.executable,
            args=["-m", "avo_tui.cli", "mcp", str(self._session), "--way", "acp"],
            env=[
                schema.EnvVariable(name=name, value=os.environ[name])
                for name in ("AVO_SESSIONS", "PATH", "PYTHONPATH", "HOME")
                if name in os.environ
            ],
        )

    async def close(self) -> None:
        process = self._process
        if process is not None:
            with contextlib.suppress(Exception):  # errors while closing do not matter
                await self._connection.close()
            assert process.stdin is not None
            process.stdin.close()
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STOP_SECONDS):
                        await process.wait()
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, number)
            await process.wait()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    # -- turns

    async def turn(self, text: str) -> schema.PromptResponse:
        """Send a prompt and wait for the end of the answer. Raises AgentProblemError."""
        try:
            return await self._unless_it_ends(
                self._connection.prompt(session_id=self._id, prompt=[text_block(text)])
            )
        except RequestError as error:
            raise AgentProblemError(
                f"{self.name} could not answer: {_words(error)}{self._last_error()}"
            ) from error

    async def cancel(self) -> None:
        with contextlib.suppress(ConnectionError, OSError, RequestError):
            await self._connection.cancel(session_id=self._id)

    async def _unless_it_ends(self, work: Awaitable[T]) -> T:
        """The result of `work`. Raises AgentProblemError if the program ends before it is
        complete."""
        assert self._process is not None
        task = asyncio.ensure_future(work)
        ended = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            if task.done() and isinstance(task.exception(), (ConnectionError, EOFError)):
                # a closed output usually means that the program is about to exit
                await asyncio.wait({ended}, timeout=STOP_SECONDS)
                if not ended.done():
                    raise AgentProblemError(f"{self.name} has closed its output, but runs on")
            elif task.done():
                return task.result()
            assert self._reader is not None
            await asyncio.wait({self._reader}, timeout=STOP_SECONDS)
            raise AgentProblemError(
                f"{self.name} has ended with status {ended.result()}{self._last_error()}"
            )
        finally:
            for each in (task, ended):
                each.cancel()
            await asyncio.gather(task, ended, return_exceptions=True)

    # -- standard error

    async def _read_errors(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        stream = self._process.stderr
        with contextlib.suppress(ValueError, ConnectionError):
            while piece := await stream.read(4096):
                for line in piece.decode(errors="replace").splitlines():
                    if line.strip():
                        self._errors.append(line.strip())

    def _last_error(self) -> str:
        """The agent's last words on standard error, formatted as the end of a sentence."""
        words = last_words(self._errors)
        return f": {redact(plain(words, 300))}" if words else ""


def last_words(lines: Iterable[str]) -> str:
    """The last line of standard error that says something.

    What is left out are the lines of an object that a program dumps over several, since the line
    that tells the cause stands before them.
    """
    told = [line for line in lines if any(c.isalnum() for c in line)]
    plainly = [line for line in told if not line.endswith(("{", "}", "[", "]", ","))]
    return (plainly or told or [""])[-1]


def _words(error: RequestError) -> str:
    """The agent's error message for a request that it could not answer."""
    data = f" ({error.data})" if error.data else ""
    return redact(plain(f"{error}{data}", 400))
