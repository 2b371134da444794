"""Starts the engine as a process: detached from any terminal, or in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import logging.handlers
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from avo_tui.domain import events as ev
from avo_tui.domain.records import LIVE_STATES, Author, RunState
from avo_tui.domain.secrets import redact
from avo_tui.evolution.redact import RedactingFormatter
from avo_tui.evolution.run import EngineMode
from avo_tui.operators.ports import StepOutcome, Workbench
from avo_tui.store import (
    DiskTrouble,
    NotAllowed,
    SessionReader,
    SessionWriter,
    StoreError,
    engine_status,
    known_sessions,
)
from avo_tui.store.files import open_own, set_aside

START_SECONDS = 30.0
POLL_SECONDS = 0.03
BLINK_SECONDS = 15.0
"""A disk that refuses while a session is opened is asked again for so long. Later the person who
starts the run is told, who is there; a run that goes on unattended waits as long as it is told."""
LOG_BYTES = 2 << 20
READY = "avo-engine-ready"


class EngineFailed(Exception):  # noqa: N818 - a contract's name
    """The engine could not start; the message is the one that the engine reported."""


def start_engine(
    folder: Path, *, resume: bool = False, inbox_only: bool = False, restarts: int = 0
) -> int:
    """Start the engine of a session in its own process session; returns its pid.

    Waits until the engine holds the session's lock. `restarts` is the number of times the engine
    was lost and restarted; it is recorded and shown. Raises EngineFailed with the engine's message,
    and for a session that was made elsewhere and not agreed to.
    """
    folder = folder.absolute()
    _require_known(folder)
    arguments = [sys.executable, "-m", "avo_tui.evolution", str(folder), "--known"]
    if resume:
        arguments.append("--resume")
    if inbox_only:
        arguments.append("--inbox-only")
    if restarts:
        arguments += ["--restarts", str(restarts)]
    log = folder / "engine.log"
    read_end, write_end = os.pipe()
    try:
        process = detached(
            [*arguments, "--ready-fd", str(write_end)], log, "the engine", (write_end,)
        )
    except EngineFailed:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        os.set_blocking(pipe.fileno(), False)
        word = _await_word(pipe.fileno(), process)
    if word.startswith(READY):
        return process.pid
    process.terminate()
    raise EngineFailed(word or f"the engine ended at once; its last messages are in {log}")


def detached(
    arguments: list[str], log: Path, what: str, pass_fds: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Start a process in a process session of its own, which writes to `log`.

    `what` is its name in a sentence. Raises EngineFailed.
    """
    try:
        with open_private(log) as output:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=pass_fds,
            )
    except OSError as error:
        raise EngineFailed(f"{what} cannot be started: {error.strerror or error}") from error
    # waits for its exit, so that a long-lived caller keeps no zombie process
    threading.Thread(target=process.wait, daemon=True, name=what).start()
    return process


def _require_known(folder: Path) -> None:
    """Raises EngineFailed for a session that was made elsewhere and not agreed to: not even a log
    is written into its folder."""
    try:
        known_sessions.require_known(folder)
    except known_sessions.NotTrusted as error:
        raise EngineFailed(str(error)) from error


KEEPER_LOCK = "keeper.lock"


def keeper_lock(folder: Path) -> int | None:
    """Take the lock that only one keeper of a session can hold.

    Returns a file descriptor, or None if another process holds the lock. On a file system without
    locks every caller gets it. Raises OSError.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(folder / KEEPER_LOCK, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        return descriptor
    return descriptor


def is_kept(folder: Path) -> bool:
    """Whether a keeper process will restart the engine of this session when it is lost."""
    try:
        descriptor = keeper_lock(folder)
    except OSError:
        return False
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def start_keeper(folder: Path) -> int | None:
    """Start the keeper process, which restarts a lost engine; returns its pid.

    Returns None if a keeper is running already. Raises EngineFailed.
    """
    if is_kept(folder):
        return None
    _require_known(folder)
    arguments = [sys.executable, "-m", "avo_tui.evolution.keep", str(folder), "--known"]
    return detached(arguments, folder / "engine.log", "the keeper process").pid


def take_inbox(folder: Path) -> None:
    """Start a short-lived engine that carries out the commands in the inbox of a stopped session.

    Returns when it runs, or when another engine has taken the commands. Raises EngineFailed.
    """
    deadline = time.monotonic() + START_SECONDS
    again = True
    while any((folder / "inbox").glob("*.json")):
        try:
            start_engine(folder, inbox_only=True)
            return
        except EngineFailed:
            # another engine may be about to end and may have read the inbox for the last time;
            # one that has just let go of the session is no reason to fail either, once
            held = engine_status(folder / "engine.lock").alive
            if not (held or again) or time.monotonic() > deadline:
                raise
            again = held
        time.sleep(POLL_SECONDS)


def start_after_inbox(folder: Path) -> int:
    """Resume a session that has ended; returns the pid of its engine.

    If a short-lived engine is handling the inbox (`take_inbox`), waits for it to end. Raises
    EngineFailed.
    """
    deadline = time.monotonic() + START_SECONDS
    again = True
    while True:
        try:
            return start_engine(folder, resume=True)
        except EngineFailed:
            held = engine_status(folder / "engine.lock").alive
            over = SessionReader.open(folder).state.session.state not in LIVE_STATES
            # Only a short engine holds a session whose run is over on record. One that has just
            # let go of it is no reason to fail either, once.
            if not over or not (held or again) or time.monotonic() > deadline:
                raise
            again = held
        wait_for_end(folder, deadline - time.monotonic())


def _await_word(descriptor: int, process: subprocess.Popen[bytes]) -> str:
    """The message that the engine writes to the pipe: that it is ready, or why it failed."""
    deadline = time.monotonic() + START_SECONDS
    text = b""
    while time.monotonic() < deadline:
        try:
            part = os.read(descriptor, 4096)
            if not part:
                break
            text += part
            if text.endswith(b"\n"):
                break
        except BlockingIOError:
            if process.poll() is not None:
                break
            time.sleep(POLL_SECONDS)
    else:
        return f"the engine did not start within {START_SECONDS:.0f} s"
    return text.decode(errors="replace").strip()


def run_engine(
    folder: Path,
    *,
    listeners: Iterable[Callable[[ev.Event], None]] = (),
    resume: bool = False,
    ready: Callable[[str], None] | None = None,
    log_to_file: bool = True,
    mode: EngineMode | None = None,
) -> RunState:
    """Run the engine of a session in this process until it ends; returns the last state.

    Raises StoreError (session held by another engine, damaged, made elsewhere and not agreed to, …)
    or ValueError (the operator cannot be created), each with one sentence.
    """
    from avo_tui.domain.commands import Resume
    from avo_tui.evaluation.evaluators import make_evaluator
    from avo_tui.evolution.engine import Engine
    from avo_tui.evolution.library import SessionKnowledge
    from avo_tui.evolution.options import disk_patience
    from avo_tui.operators.registry import make_operator
    from avo_tui.store import send_command
    from avo_tui.store.session_secret import secret_of

    mode = mode or EngineMode()
    known_sessions.require_known(folder)
    writer = _open_patiently(folder)
    knowledge = SessionKnowledge(folder, writer.state.session.task)
    handler = _log_to(writer.log_path) if log_to_file else None
    try:
        session = writer.state.session
        disk_patience(session.settings)
        # an engine that only handles the inbox makes no steps, so it needs no API key for an
        # operator
        absent = AbsentOperator(session.settings.operator)
        operator = absent if mode.only_inbox else make_operator(session.settings)
        whose = f"{session.name} {session.created.isoformat()}"
        evaluator = make_evaluator(
            session.settings, session.task.name, whose, begins=not writer.state.versions
        )
        evaluator.drawn_by = secret_of(session)
        if resume and session.state in {"paused", "pausing", "parked"}:
            send_command(folder, Resume())
        if ready is not None:
            ready(READY)
        engine = Engine(
            writer, evaluator, operator, knowledge, listeners=tuple(listeners), mode=mode
        )
        return asyncio.run(_with_signals(engine.run, engine.stop))
    finally:
        writer.close()
        knowledge.close()
        if handler is not None:
            logging.getLogger().removeHandler(handler)
            with contextlib.suppress(OSError):  # there may be no room for its log either
                handler.close()


class AbsentOperator:
    """Takes the operator's place in an engine that makes no steps."""

    def __init__(self, author: Author) -> None:
        self.author = author

    async def vary(self, bench: Workbench) -> StepOutcome:
        return StepOutcome(outcome="nothing", reason="this engine makes no steps")


def _open_patiently(folder: Path) -> SessionWriter:
    """Open a session, retrying for a while if the disk fails. Raises StoreError."""
    deadline = time.monotonic() + BLINK_SECONDS
    while True:
        try:
            return SessionWriter.open(folder)
        except DiskTrouble as error:
            # whoever starts the engine can mend the permissions, so need not wait to be told
            if isinstance(error, NotAllowed) or time.monotonic() > deadline:
                raise
            time.sleep(1.0)


async def _with_signals(
    run: Callable[[], asyncio.Future[RunState]] | Callable[[], object],
    stop: Callable[[str], None],
) -> RunState:
    """Run the engine; SIGTERM, SIGINT and SIGHUP end it in an orderly way."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        name = signal.Signals(number).name
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop, f"the engine was asked to end ({name})")
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return await run()  # type: ignore[misc,no-any-return]


def open_private(path: Path) -> BinaryIO:
    """Open a file for appending that only its owner may read. What is no file is renamed first.

    Raises OSError.
    """
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        set_aside(path)
    descriptor = open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab")


class PrivateLog(logging.handlers.RotatingFileHandler):
    """A log that only its owner may read, however the umask is set."""

    def _open(self) -> TextIOWrapper:
        return TextIOWrapper(open_private(Path(self.baseFilename)), encoding=self.encoding)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Write nothing where the disk is full: logging would print the message, keys and all."""


def _log_to(path: Path) -> logging.Handler:
    try:
        handler: logging.Handler = PrivateLog(
            path, maxBytes=LOG_BYTES, backupCount=2, encoding="utf-8"
        )
    except OSError as error:  # a missing log must not end the run
        handler = logging.StreamHandler()
        logging.getLogger(__name__).warning("engine.log cannot be written: %s", error)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    return handler


def main(arguments: list[str] | None = None) -> int:
    """`python -m avo_tui.evolution FOLDER`; `--help` lists its options."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m avo_tui.evolution")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resume", action="store_true", help="end a pause that is on record")
    parser.add_argument("--inbox-only", action="store_true", help="take the inbox, then end")
    parser.add_argument("--restarts", type=int, default=0, help="how often it was lost before")
    parser.add_argument("--known", action="store_true", help="whoever starts it vouches for it")
    parser.add_argument("--ready-fd", type=int, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.known:
        known_sessions.vouch_for(options.folder)
    announced = False

    def say(word: str) -> None:
        nonlocal announced
        if options.ready_fd is not None and not announced:
            announced = True
            with contextlib.suppress(OSError), os.fdopen(options.ready_fd, "wb") as pipe:
                pipe.write(" ".join(word.split()).encode() + b"\n")

    try:
        run_engine(
            options.folder,
            resume=options.resume,
            ready=say,
            mode=EngineMode(only_inbox=options.inbox_only, restarts=options.restarts),
        )
    except (StoreError, ValueError) as error:
        sentence = redact(str(error))
        say(sentence)
        print(sentence, file=sys.stderr)
        return 1
    except Exception as error:
        logging.getLogger(__name__).exception("the engine ends")
        say(redact(f"the engine failed: {type(error).__name__}: {error}"))
        print(redact(f"the engine failed: {type(error).__name__}: {error}"), file=sys.stderr)
        return 1
    return 0


def wait_for_end(folder: Path, seconds: float) -> bool:
    """Wait until no engine holds the session; returns False if that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not engine_status(folder / "engine.lock").alive:
            return True
        time.sleep(POLL_SECONDS)
    return False
