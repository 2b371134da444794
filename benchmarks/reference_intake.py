"""Takes references in on the meta device, and says which can be expressed and why not the rest.

python benchmarks/reference_intake.py [--look] FOLDER...

Every `.py` and `.json` file, and every problem in GPU MODE's layout below a folder, is derived as
`avo task from` does for one CPU thread, in this process and without the sandbox: give it only files
that you trust. With `--look` each runs once only, at the sizes as given: whether it can be read and
run is told, and not which sizes may vary.
"""

from __future__ import annotations

import collections
import sys
import time
from pathlib import Path

from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.references.adopting import wishes_for
from avo_tui.evaluation.references.deriving import derive, look
from avo_tui.evaluation.references.files import gather, is_problem_folder
from avo_tui.evaluation.references.formats import read
from avo_tui.evaluation.references.source import BadReferenceError


def problems(folder: Path) -> list[Path]:
    """Files and folders that may be a problem; files that belong to a folder's are left out."""
    folders = sorted(p.parent for p in folder.rglob("reference.py") if is_problem_folder(p.parent))
    files = sorted(p for p in folder.iterdir() if p.suffix in {".py", ".json"})
    return folders or files


def main() -> None:
    """Prints a line for each file, and the counts."""
    folders = [word for word in sys.argv[1:] if word != "--look"]
    once = "--look" in sys.argv
    files = [path for folder in folders for path in problems(Path(folder))]
    refused: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    for path in files:
        try:
            text, companions = gather(path)
            reference = read(text, path.name, companions=companions)
            if once:
                shown = look(reference, dict(reference.small))
                if shown.random:
                    raise BadReferenceError(f"the reference draws random numbers ({shown.random})")
                print(f"yes  {path.name}: {shown.flops:.2g} operations", flush=True)
                continue
            spec = derive(reference, wishes_for(path.stem[:60], "cpp", str(path)))
        except (BadReferenceError, EvaluatorError) as error:
            refused[str(error).replace(path.name, "it").partition(" (")[0][:70]] += 1
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
