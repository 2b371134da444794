"""Starts what answers for stub_gpu: imports torch once and forks for each process that asks.

Importing torch takes seconds of a processor, and the tests start twenty of these processes. A fork
has a memory of its own, as a fresh process has; it ends as soon as the process that asked for it.
Usage: `python -m tests.evaluation.cuda.stub.stub_forks SOCKET`, a path; ends with its standard
input.
"""

import contextlib
import fcntl
import os
import select
import signal
import socket
import sys
import traceback

from tests.evaluation.cuda.stub.stub_answers import Stub, serve

DESCRIPTORS = 5
"""Standard input, output and error, the answers, the shared memory: what an asker hands over."""


def attend(asker: socket.socket) -> None:
    """In a process of its own: answers in the asker's place and tells it the exit status."""
    os.setsid()
    message, descriptors, _, _ = socket.recv_fds(asker, 64, DESCRIPTORS)
    # From now on the only news of the asker is its end: SIGIO ends this group of processes then.
    fcntl.fcntl(asker, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(asker, fcntl.F_SETFL, fcntl.fcntl(asker, fcntl.F_GETFL) | os.O_ASYNC)
    with contextlib.suppress(BlockingIOError):  # it is there
        asker.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        return  # it was gone before the signal was ordered
    child = os.fork()
    if child == 0:
        for number, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, number)
        status = 1
        try:
            reply, shared = descriptors[3:]
            with os.fdopen(reply, "w") as answers:
                serve(Stub(answers, shared, int(message)))
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        except BaseException:  # whatever it is, the asker's output tells it
            traceback.print_exc()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(status)
    for descriptor in descriptors:
        os.close(descriptor)
    _, waited = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        asker.sendall(bytes([os.waitstatus_to_exitcode(waited) & 0xFF]))


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that attend
    server = socket.socket(socket.AF_UNIX)
    server.bind(sys.argv[1])
    server.listen(64)
    print("listening", flush=True)
    while True:  # ends: with its parent
        ready, _, _ = select.select([0, server.fileno()], [], [])
        if 0 in ready:
            os._exit(0)
        asker, _ = server.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            server.close()
            attend(asker)
            os._exit(0)
        asker.close()


if __name__ == "__main__":
    main()
