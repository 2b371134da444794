"""Speaks the GPU process's protocol without a GPU; `stub_answers` has the answers.

It hands its descriptors to `stub_forks`, which has imported torch already, and waits.
"""

import os
import socket
import sys


def main() -> int:
    forks = socket.socket(socket.AF_UNIX)
    forks.connect(os.environ["AVO_STUB_FORKS"])
    reply, shared, size = sys.argv[1:]
    socket.send_fds(forks, [size.encode()], [0, 1, 2, int(reply), int(shared)])
    os.close(int(reply))  # else its reader would not see that the answers have ended
    status = forks.recv(1)
    return status[0] if status else 1


sys.exit(main())
