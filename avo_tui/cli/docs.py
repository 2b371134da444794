"""`avo docs`: the documentation, in the terminal."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer

from avo_tui.cli.errors import Failure


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(epilog="Example: avo docs first-kernel")(docs)


def folder() -> Path:
    """Where the pages are: in the checkout, or in the installed package."""
    import avo_tui

    package = Path(avo_tui.__file__).resolve().parent
    shipped = package / "data" / "docs"
    return shipped if shipped.is_dir() else package.parent / "docs"


def docs(
    page: Annotated[str | None, typer.Argument(help="A page; without one they are listed.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="The page's text as it is.")] = False,
) -> None:
    """Read a page of the documentation."""
    from avo_tui.cli.opening import in_terminal

    pages = {path.stem: path for path in sorted(folder().glob("*.md"))}
    if not pages:
        raise Failure(f"the documentation is not there: {folder()} has no pages")
    if page is None:
        from avo_tui.cli.queries import table

        table([[name, _title(path)] for name, path in pages.items()], ["page", "about"])
        return
    name = page.removesuffix(".md").removeprefix("docs/")
    if name not in pages:
        near = difflib.get_close_matches(name, pages, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(pages)}"
        raise Failure(f"there is no page {name!r}; {hint}")
    text = pages[name].read_text(encoding="utf-8")
    if plain or not in_terminal():
        typer.echo(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    with console.pager(styles=True):
        console.print(Markdown(text))


def _title(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            return line[2:]
    return ""
