"""Takes references in on the meta device, and says which can be expressed and why not the rest.

python benchmarks/reference_intake.py FOLDER...

Every `.py` and `.json` file is derived as `avo task from` does for one CPU thread, in this process
and without the sandbox: give it only files that you trust.
"""

from __future__ import annotations

import collections
import sys
import time
from pathlib import Path

from avo_tui.evaluation.references.adopting import wishes_for
from avo_tui.evaluation.references.deriving import derive
from avo_tui.evaluation.references.formats import read
from avo_tui.evaluation.references.sample import ReferenceError


def main() -> None:
    """Prints a line for each file, and the counts."""
    files = [
        path
        for folder in sys.argv[1:]
        for path in sorted(Path(folder).iterdir())
        if path.suffix in {".py", ".json"}
    ]
    refused: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
            spec = derive(read(text, path.name), wishes_for(path.stem[:60], "cpp", str(path)))
        except ReferenceError as error:
            refused[str(error).partition(" (")[0][:70]] += 1
            print(f"no   {path.name}: {error}", flush=True)
        else:
            kinds = len(spec.distributions)
            print(
                f"yes  {path.name}: axes {', '.join(spec.axes) or 'none'}; {len(spec.hidden)} "
                f"hidden sizes; {kinds} distributions; {spec.scored[0].flops:.2g} operations",
                flush=True,
            )
    print(f"{len(files) - refused.total()} of {len(files)}, {time.monotonic() - began:.0f} s")
    for reason, count in refused.most_common():
        print(f"{count:4}  {reason}")


if __name__ == "__main__":
    main()
