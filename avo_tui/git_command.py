"""The program git, called so that nothing of a person's settings or hooks has a say."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from avo_tui.domain.plain import plain


class GitError(ValueError):
    """Git is not there, or could not do it; the text is one sentence."""


def git(
    folder: Path, *arguments: str, given: bytes = b"", more: Mapping[str, str] | None = None
) -> bytes:
    """What git prints. It runs no hooks, asks nothing, and writes only what the arguments say;
    `more` are variables of its environment. Raises GitError."""
    program = shutil.which("git")
    if program is None:
        raise GitError("there is no git on this machine; install it (Debian: apt install git)")
    settings = {"core.hooksPath": "/dev/null", "core.fsmonitor": "false", "core.autocrlf": "false",
                "commit.gpgsign": "false", "user.name": "avo-tui",
                "user.email": "avo@avo-tui.invalid"}  # fmt: skip
    flags = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    done = subprocess.run([program, *flags, *arguments], cwd=folder, input=given,
                          env={**environment, **(more or {})}, capture_output=True,
                          check=False)  # fmt: skip
    if done.returncode:
        why = plain(done.stderr.decode(errors="replace"), 300)
        raise GitError(f"git {arguments[0]} failed: {why}")
    return done.stdout


def committed(folder: Path, message: str, branch: str) -> None:
    """Make a folder a git repository with one commit on a branch. Raises GitError."""
    git(folder, "init", "--quiet", "--template=", f"--initial-branch={branch}", ".")
    git(folder, "add", "--all", "--force", ".")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
