"""`avo docs`: the documentation, in the terminal."""

import difflib
import re
from pathlib import Path
from typing import Annotated

from typer import Argument, Option, Typer

import avo_tui
from avo_tui.cli.errors import Failure
from avo_tui.cli.parameters import completing
from avo_tui.cli.terminal import in_terminal, say

app = Typer()


def folder() -> Path:
    """Where the pages are: in the checkout, or in the installed package."""
    package = Path(avo_tui.__file__).resolve().parent
    shipped = package / "data" / "docs"
    return shipped if shipped.is_dir() else package.parent / "docs"


def pages() -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder().glob("*.md"))}


def contents(index: str) -> dict[str, dict[str, str]]:
    """Part of the book → its pages in their order, with what each is about; `index` is index.md."""
    parts: dict[str, dict[str, str]] = {}
    for line in index.splitlines():
        if line.startswith("## "):
            parts[line[3:]] = {}
        elif page := re.fullmatch(r"- \[(.+)\]\((.+)\.md\)", line):
            parts[next(reversed(parts))][page[2]] = page[1]
    return parts


@app.command(epilog="Example: avo docs first-kernel")
def docs(
    page: Annotated[
        str | None,
        Argument(
            help="A page; without one they are listed.",
            autocompletion=completing(lambda _: pages()),
        ),
    ] = None,
    plain: Annotated[bool, Option("--plain", help="The page's text as it is.")] = False,
) -> None:
    """Read a page of the documentation."""
    there = pages()
    if not there:
        raise Failure(f"the documentation is not there: {folder()} has no pages")
    if page is None:
        width = max(map(len, there))
        for part, rows in contents(there["index"].read_text(encoding="utf-8")).items():
            say(f"{part}:", *(f"  {name:{width}}  {about}" for name, about in rows.items()), "")
        say("avo docs PAGE shows one")
        return
    name = page.removesuffix(".md").removeprefix("docs/")
    if name not in there:
        near = difflib.get_close_matches(name, there, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(there)}"
        raise Failure(f"there is no page {name!r}; {hint}")
    text = there[name].read_text(encoding="utf-8")
    if plain or not in_terminal():
        say(text)
        return
    from rich.console import Console  # what the list of pages and completion need not wait for
    from rich.markdown import Markdown

    console = Console()
    with console.pager(styles=True):
        console.print(Markdown(text))
