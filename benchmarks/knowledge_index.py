"""How fast K indexes a large tree, and again when little changed, and how fast it then answers.

    python benchmarks/knowledge_index.py TREE [--json]

The index goes to a temporary folder and is removed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from avo_tui.knowledge import KnowledgeBase

QUERIES = (
    "shared memory reduction across a warp",
    "set_block_dimension",
    "c10::intrusive_ptr reset",
    "wgmma descriptor swizzle",
    "how is the grid size chosen",
)


def measure(tree: Path) -> dict[str, object]:
    """Index, index again, and search; seconds are wall clock."""
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index.sqlite"
        with KnowledgeBase.open(user=index) as base:
            calls = 0

            def count(_: object) -> None:
                nonlocal calls
                calls += 1

            first = base.add(tree, progress=count)
            again = base.add(tree)
            times = []
            for query in QUERIES:
                for _ in range(3):
                    began = time.perf_counter()
                    base.search(query, 8)
                    times.append(time.perf_counter() - began)
        size = sum(
            file.stat().st_size
            for file in tree.rglob("*")
            if file.is_file() and not file.is_symlink()
        )
        return {
            "tree": tree.name,
            "files": first.indexed + sum(first.reasons.values()),
            "indexed": first.indexed,
            "skipped": first.reasons,
            "megabytes": round(size / 1e6, 1),
            "text_megabytes": round(first.characters / 1e6, 1),
            "sections": first.sections,
            "seconds": round(first.seconds, 2),
            "again_seconds": round(again.seconds, 2),
            "again_unchanged": again.unchanged,
            "index_megabytes": round(index.stat().st_size / 1e6, 1),
            "progress_calls": calls,
            "search_milliseconds_median": round(1e3 * statistics.median(times), 1),
            "search_milliseconds_most": round(1e3 * max(times), 1),
            "processors": os.cpu_count(),
        }


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tree", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.tree.resolve())
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:28} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
