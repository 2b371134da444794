"""The process that first runs a reference, in the sandbox: reads a request, writes a spec.

`python -m avo_tui.evaluation.references.child request.json reply.json`, with both files in the
current folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

PROGRESS = "progress.txt"
"""In the current folder: what is looked at, one line for each part."""


def main() -> None:
    """Derives one reference. The reply has `spec` or `error`."""
    from avo_tui.evaluation.references.deriving import Wishes, derive
    from avo_tui.evaluation.references.files import Companions
    from avo_tui.evaluation.references.formats import read
    from avo_tui.evaluation.references.sample import BadReferenceError

    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    wishes = Wishes(**request["wishes"])

    def tell(what: str) -> None:
        with Path(PROGRESS).open("a", encoding="utf-8") as file:
            file.write(f"{what}\n")

    try:
        reference = read(
            request["text"],
            request["file"],
            evaluation_mode=wishes.evaluation_mode,
            companions=Companions.model_validate(request["companions"]),
        )
        spec = derive(reference, wishes, tell)
        reply: dict[str, object] = {"spec": spec.model_dump(mode="json")}
    except BadReferenceError as error:
        reply = {"error": str(error)}
    Path(sys.argv[2]).write_text(json.dumps(reply), encoding="utf-8")


if __name__ == "__main__":
    main()
