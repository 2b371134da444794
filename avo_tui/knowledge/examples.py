"""The code examples of K's documents, assembled so that each can be compiled.

A fence counts as an example when its info string starts with `cuda`, `cpp`, `toml` or `json`. A
comment right before it names it and what it builds on:

    <!-- example: mbarrier uses: prelude -->
    ```cuda sm_90a
    …
    ```

What it builds on may stand in any document. `cuda` is followed by the architecture, `cpp` by
compiler flags.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"(?:^<!-- *example: *(?P<name>[\w-]+)(?: +uses: *(?P<uses>[\w, -]+?))? *-->\n+)?"
    r"^```(?P<language>cuda|cpp|toml|json)(?P<flags>[^\n`]*)\n(?P<code>.*?)^```$",
    re.M | re.S,
)


@dataclass(frozen=True, slots=True)
class Example:
    """One fence. `flags` are what follows the language; `line` is where the fence starts."""

    document: str
    line: int
    name: str
    language: str
    flags: tuple[str, ...]
    uses: tuple[str, ...]
    code: str


def examples(folder: Path) -> list[Example]:
    blocks: list[Example] = []
    for path in sorted(folder.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        for number, match in enumerate(_FENCE.finditer(text), 1):
            blocks.append(
                Example(
                    document=path.relative_to(folder).as_posix(),
                    line=text.count("\n", 0, match.start("language")) + 1,
                    name=match["name"] or f"{path.stem}-{number}",
                    language=match["language"],
                    flags=tuple(match["flags"].split()),
                    uses=tuple(re.findall(r"[\w-]+", match["uses"] or "")),
                    code=match["code"],
                )
            )
    return blocks


def assemble(example: Example, others: Iterable[Example]) -> str:
    """The example after everything it builds on, each once. Raises KeyError for a missing one."""
    by_name = {other.name: other for other in others}
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in order:
            for used in by_name[name].uses:
                visit(used)
            order[name] = None

    visit(example.name)
    return "\n".join(by_name[name].code for name in order)
