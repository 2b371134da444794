"""The launcher: a small process that confines one command, watches it and ends its whole tree.

Started by `sandbox.run` as `python -I -S -c … SPEC`; imports nothing but `os`, `select` and
`ctypes`. It stays outside the sandbox as the command's supervisor:

    worker ── launcher (subreaper, watches memory and time) ── init (pid 1 inside) ── command

Without pid namespaces there is no init; the launcher, being a subreaper, still sees every
descendant and kills until none is left. The worker holds the other end of a *lifeline* pipe: when
it closes, because the worker cancelled or died, the tree is killed. What happened is written to
the status pipe as lines `key=value`.
"""

# pathlib would take longer to import than the rest of the launcher
# ruff: noqa: PTH110

from __future__ import annotations

import marshal
import os
import select
import sys
import time

from avo_tui.evaluation.sandbox import confine, linux, tree

TYPE_CHECKING = False  # `typing` would cost each command 15 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Spec = dict[str, Any]


def _say(fd: int, **values: object) -> None:
    """Writes facts for the worker; one write, so that lines of two processes never mix."""
    text = "".join(f"{key}={str(value).replace(chr(10), ' ')}\n" for key, value in values.items())
    try:
        os.write(fd, text.encode())
    except BrokenPipeError:  # the worker is gone; the lifeline ends us
        return


def _command(spec: Spec, status: int) -> None:
    """The innermost process: takes its last restrictions and becomes the command."""
    try:
        applied = confine.restrict(spec)
        os.chdir(spec["scratch"])
        _say(status, **applied, began=time.monotonic())
        os.execve(spec["command"][0], spec["command"], spec["environment"])  # noqa: S606
    except OSError as error:
        _say(status, error=f"cannot start {spec['command'][0]}: {error}")
    os._exit(127)


def _report(status: int, state: int) -> None:
    if os.WIFSIGNALED(state):
        _say(status, signal=os.WTERMSIG(state))
    else:
        _say(status, exit=os.WEXITSTATUS(state), ended_at=time.monotonic())


def _init(spec: Spec, status: int, mounts: bool) -> None:
    """Process 1 of a pid namespace: mounts, starts the command, reaps, reports, ends."""
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, 9)
        if mounts:
            confine.enter_root(spec)
    except OSError as error:
        _say(status, error=f"cannot build the sandbox's file system: {error}")
        os._exit(126)
    pid = os.fork()
    if pid == 0:
        _command(spec, status)
    reason = None
    if os.path.exists("/proc/1"):
        reason = _watch(spec, pid, None, tree.everyone_else, spec["scratch"])
    if reason:
        _say(status, reason=reason)
    else:
        while True:
            ended, state = os.waitpid(-1, 0)
            if ended == pid:
                break
        _report(status, state)
    os._exit(0)  # with it the kernel ends whatever is left in the namespace


def _spawn(body: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os._exit(125)
    return pid


def _watch(
    spec: Spec, pid: int, lifeline: int | None, members: Callable[[], list[int]], folder: str
) -> str | None:
    """Waits for `pid` to end (None), a limit to be passed or the lifeline to close (its name).

    It looks rarely enough to use a few per cent of a core, and often enough on a busy machine.
    """
    descriptor = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if lifeline is not None:
        poll.register(lifeline, select.POLLIN | select.POLLHUP)
    deadline = time.monotonic() + spec["seconds"]
    interval = 0.02
    while True:
        left = deadline - time.monotonic()
        ready = {fd for fd, _ in poll.poll(max(0.0, min(left, interval)) * 1000)}
        if descriptor in ready:
            return None
        if lifeline in ready:
            return "cancelled"
        if left <= 0:
            return "time"
        began = time.process_time()
        reason = tree.excess(members(), folder, spec)
        if reason:
            return reason
        interval = min(max(0.05, 30 * (time.process_time() - began)), 0.5)


def main(text: str) -> None:
    """Runs the command that `text` (a marshalled spec, in hexadecimal) describes."""
    spec: Spec = marshal.loads(bytes.fromhex(text))  # noqa: S302  our own worker made it
    status, lifeline = int(spec["status_fd"]), int(spec["lifeline_fd"])
    os.set_inheritable(status, False)
    os.set_inheritable(lifeline, False)
    if spec.get("inside"):  # bubblewrap made the namespaces; this is the rest
        _init(spec, status, mounts=False)
    own = os.getpid()
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    isolation = spec["isolation"]
    spec["process_limit"] = confine.process_limit(spec)
    try:
        if isolation == "namespaces":
            confine.unshare_namespaces(spec["network"])
            pid = _spawn(lambda: _init(spec, status, mounts=True))
        elif isolation == "bubblewrap":
            os.set_inheritable(status, True)
            os.set_inheritable(lifeline, True)
            command = confine.bubblewrap_command(spec)
            pid = _spawn(lambda: os.execve(command[0], command, {}))  # noqa: S606
            os.set_inheritable(status, False)
        else:
            pid = _spawn(lambda: _command(spec, status))
    except OSError as error:
        _say(status, error=f"cannot isolate: {error}")
        sys.exit(1)
    if isolation != "processes":  # the init inside watches too, and sees fewer processes
        spec["seconds"] += 1.0
    reason = _watch(spec, pid, lifeline, lambda: tree.descendants(own), spec["outer_scratch"])
    if reason:
        _say(status, reason=reason)
    state = tree.end(own, pid)
    if reason is None and tree.full(spec["outer_scratch"], spec):
        _say(status, reason="scratch")  # written between the last look and the end
    if isolation == "processes" and state is not None:
        _report(status, state)
    _say(status, ended=1)
