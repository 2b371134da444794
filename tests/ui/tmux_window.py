"""A program in a window of tmux: keys go in, the screen comes out."""

import os
import subprocess
import time
from collections.abc import Mapping
from uuid import uuid4


class TmuxWindow:
    """A tmux server of its own with one window, of `size` columns and rows."""

    def __init__(self, command: str, size: tuple[int, int], environment: Mapping[str, str]) -> None:
        self.server = f"avo-{uuid4().hex[:8]}"
        subprocess.run(
            ["tmux", "-L", self.server, "-f", "/dev/null", "new-session", "-d",
             "-x", str(size[0]), "-y", str(size[1]), command],
            env={**os.environ, **environment}, check=True,
        )  # fmt: skip

    def tmux(self, *arguments: str) -> str:
        """What a command of tmux prints."""
        done = subprocess.run(
            ["tmux", "-L", self.server, *arguments], capture_output=True, text=True
        )
        return done.stdout

    def screen(self) -> str:
        """The text of the screen."""
        return self.tmux("capture-pane", "-p")

    def press(self, key: str) -> None:
        """Press a key, by tmux's name for it."""
        self.tmux("send-keys", key)

    def type(self, text: str) -> None:
        """Type a text as it is."""
        self.tmux("send-keys", "-l", text)

    def wait(self, *texts: str, gone: str = "", seconds: float = 60) -> str:
        """The screen, as soon as it shows all texts, and no longer shows `gone`."""
        deadline = time.monotonic() + seconds
        while True:
            seen = self.screen()
            if all(text in seen for text in texts) and not (gone and gone in seen):
                return seen
            wanted = " and ".join(map(repr, texts)) + (f" without {gone!r}" if gone else "")
            assert time.monotonic() < deadline, f"never came: {wanted}; the screen shows:\n{seen}"
            time.sleep(0.05)

    def close(self) -> None:
        """End the program and its window."""
        self.tmux("kill-server")
