"""Speaks the GPU process's protocol without a GPU: for tests of what watches it."""

import json
import mmap
import os
import signal
import subprocess
import sys
import time


def main() -> None:
    reply = os.fdopen(int(sys.argv[1]), "w")
    shared = mmap.mmap(int(sys.argv[2]), int(sys.argv[3]))

    def say(**body: object) -> None:
        reply.write(json.dumps(body) + "\n")
        reply.flush()

    say(ready=True)
    while line := sys.stdin.readline():  # ends: with its input
        request = json.loads(line)
        if request["op"] == "echo":
            shared[:5] = b"hello"
            say(ok=True, environment=sorted(os.environ), said=request["text"])
        elif request["op"] == "events":
            say(event="alive")
            say(event="verify")
            assert json.loads(sys.stdin.readline()) == {"op": "go"}
            say(ok=True)
        elif request["op"] == "print":
            print(request["text"], flush=True)
            say(ok=True)
        elif request["op"] == "start":
            say(ok=True, child=subprocess.Popen(["sleep", "1000"]).pid)
        elif request["op"] == "hang":
            time.sleep(1000)
        elif request["op"] == "signal":
            os.kill(os.getpid(), signal.SIGSEGV)
        else:
            sys.exit("gone")


main()
