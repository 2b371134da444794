"""Notification channels: a command of the person, or a message by apprise (ntfy, Slack, mail,
…)."""

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
from avo_tui.notify.alerts import Alert, Kind

HOOK_SECONDS = 30.0
"""Seconds after which a running hook is ended."""
WORDS = 300
"""Largest number of characters kept of a hook's last output."""


@dataclass(frozen=True)
class Delivery:
    """Whether a message was delivered."""

    channel: str
    """Name of the channel, without its secrets."""
    ok: bool
    why: str = ""
    """Why the delivery failed, in one sentence; empty if it succeeded."""


class Channel(Protocol):
    """One channel for notifications."""

    @property
    def name(self) -> str:
        """Name of the channel, without its secrets."""
        ...

    def send(self, message: Sequence[Alert]) -> Delivery | None:
        """Send one alert, or several together; None if the channel does not handle them. Never
        raises."""
        ...


@dataclass(frozen=True)
class Hook:
    """A command of the person, run by the shell, with each alert as JSON on its standard input."""

    kind: Kind
    command: str

    @property
    def name(self) -> str:
        """The kind of alert that the hook handles."""
        return f"the hook of {self.kind}"

    def send(self, message: Sequence[Alert]) -> Delivery | None:
        """Run the command once for each alert of its kind, and once for a test."""
        mine = [one for one in message if one.kind in {self.kind, "test"}]
        failed = [why for one in mine if (why := self._run(one))]
        return Delivery(self.name, not failed, "; ".join(failed)) if mine else None

    def _run(self, one: Alert) -> str:
        """Why it failed; empty if it succeeded."""
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
    link: str = ""
    """Where the app is seen in a browser: the last line of a message. It holds no token, as a
    message is read by many: who opened a link of `avo web` there before is known by a cookie."""

    @property
    def name(self) -> str:
        """Name of the service, without host, user and password."""
        return f"the {self.url.split('://', 1)[0]} message"

    def check(self) -> str:
        """Why the URL cannot be used; empty if it can."""
        try:
            apprise = _apprise()
        except ImportError:
            return "apprise is not installed: pip install 'avo-tui[notify]'"
        well = apprise.Apprise.instantiate(self.url, suppress_exceptions=True) is not None
        return "" if well else "apprise does not know such a URL"

    def send(self, message: Sequence[Alert]) -> Delivery | None:
        """Send one message."""
        why = self.check()
        if why:
            return Delivery(self.name, False, why)
        apprise = _apprise()
        title, text = worded(message)
        text = "\n".join(filter(None, (text, self.link)))
        sender = apprise.Apprise()
        sender.add(self.url)
        with apprise.LogCapture(level=logging.WARNING) as captured:
            ok = bool(sender.notify(title=title, body=text, body_format=apprise.NotifyFormat.TEXT))
            words = " ".join(captured.getvalue().split())[-WORDS:]
        why = "" if ok else words.replace(self.url, self.name) or "the service did not take it"
        return Delivery(self.name, ok, redact(why))


def worded(message: Sequence[Alert]) -> tuple[str, str]:
    """Title and text of a message."""
    if len(message) == 1:
        one = message[0]
        return redact(one.title), redact(one.text)
    title = f"avo: {len(message)} things happened"
    return title, redact("\n\n".join(f"{one.title}\n{one.text}" for one in message))
