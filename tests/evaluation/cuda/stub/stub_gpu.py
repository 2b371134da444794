"""Speaks the GPU process's protocol without a GPU; `stub_answers` has the answers."""

import json
import os
import sys


def main() -> None:
    reply = os.fdopen(int(sys.argv[1]), "w")
    print(json.dumps({"ready": True}), file=reply, flush=True)
    line = sys.stdin.readline()
    if not line:
        return
    # importing torch takes seconds: not in a process that is kept ready and never asked
    from tests.evaluation.cuda.stub.stub_answers import Stub

    stub = Stub(reply)
    while line:
        request = json.loads(line)
        answer = getattr(stub, f"do_{request['op']}")(request)
        if answer is not None:  # else it has said what went wrong itself
            stub.say(ok=True, **answer)
        line = sys.stdin.readline()


main()
