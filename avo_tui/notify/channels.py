"""Ways to a person: a command of theirs, or a message by apprise (ntfy, Slack, mail, …)."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from avo_tui.domain.secrets import redact
from avo_tui.notify.happenings import Happening, Kind

HOOK_SECONDS = 30.0
"""A hook that runs longer is ended."""
WORDS = 300
"""Characters of a hook's last words that are kept."""


@dataclass(frozen=True)
class Delivery:
    """Whether a message came through."""

    channel: str
    """Which one, without its secrets."""
    ok: bool
    why: str = ""
    """Why it did not, in one sentence."""


class Channel(Protocol):
    """A way to a person."""

    @property
    def name(self) -> str:
        """Which one, without its secrets."""
        ...

    def send(self, message: Sequence[Happening]) -> Delivery | None:
        """Tell one thing, or several together. None where it is not told of these. Never raises."""
        ...


@dataclass(frozen=True)
class Hook:
    """A command of the person, run by the shell, with each happening as JSON on its input."""

    kind: Kind
    command: str

    @property
    def name(self) -> str:
        """Its kind."""
        return f"the hook of {self.kind}"

    def send(self, message: Sequence[Happening]) -> Delivery | None:
        """Run it once for each happening of its kind, and once for a test."""
        mine = [one for one in message if one.kind in {self.kind, "test"}]
        failed = [why for one in mine if (why := self._run(one))]
        return Delivery(self.name, not failed, "; ".join(failed)) if mine else None

    def _run(self, one: Happening) -> str:
        """Why it failed; "" where it did not."""
        environment = {**os.environ, "AVO_EVENT": one.kind, "AVO_SESSION": one.session}
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", self.command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            return f"it cannot be started: {error.strerror}"
        try:
            output, _ = process.communicate(one.model_dump_json().encode(), timeout=HOOK_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"it was ended after {HOOK_SECONDS:.0f} s"
        if process.returncode == 0:
            return ""
        words = " ".join(output.decode("utf-8", "replace").split())[-WORDS:]
        return redact(f"exit code {process.returncode}" + (f": {words}" if words else ""))


def _apprise() -> Any:
    """The library, an extra. Raises ImportError."""
    return importlib.import_module("apprise")


@dataclass(frozen=True)
class Messages:
    """One URL of apprise, such as `ntfy://ntfy.example/topic`."""

    url: str

    @property
    def name(self) -> str:
        """Its service, without host, user and password."""
        return f"the {self.url.split('://', 1)[0]} message"

    def check(self) -> str:
        """Why the URL cannot be used; "" where it can."""
        try:
            apprise = _apprise()
        except ImportError:
            return "apprise is not installed: pip install 'avo-tui[notify]'"
        well = apprise.Apprise.instantiate(self.url, suppress_exceptions=True) is not None
        return "" if well else "apprise does not know such a URL"

    def send(self, message: Sequence[Happening]) -> Delivery | None:
        """Send one message."""
        why = self.check()
        if why:
            return Delivery(self.name, False, why)
        apprise = _apprise()
        title, text = worded(message)
        sender = apprise.Apprise()
        sender.add(self.url)
        with apprise.LogCapture(level=logging.WARNING) as captured:
            ok = bool(sender.notify(title=title, body=text, body_format=apprise.NotifyFormat.TEXT))
            words = " ".join(captured.getvalue().split())[-WORDS:]
        why = "" if ok else words.replace(self.url, self.name) or "the service did not take it"
        return Delivery(self.name, ok, redact(why))


def worded(message: Sequence[Happening]) -> tuple[str, str]:
    """Title and text of a message."""
    if len(message) == 1:
        one = message[0]
        return redact(one.title), redact(one.text)
    title = f"avo: {len(message)} things happened"
    return title, redact("\n\n".join(f"{one.title}\n{one.text}" for one in message))
