"""`avo knowledge`: the commands that search, read, add and list documents."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from avo_tui.knowledge.base import KnowledgeBase
from avo_tui.knowledge.model import AddReport, KnowledgeError, Progress

app = typer.Typer(
    name="knowledge",
    help="Search and extend K, the documents that the agent can read.",
    no_args_is_help=True,
)

Session = Annotated[
    str | None, typer.Option("--session", "-s", help="Name or folder of a session.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
#: Skipped files that are printed one by one; further ones are counted by reason.
_NAMED = 20


def session_folder(session: str | None) -> Path | None:
    """The folder of a session given by path, or by name below `$AVO_SESSIONS` or `sessions/`."""
    if session is None:
        return None
    roots = [Path(root) for root in (os.environ.get("AVO_SESSIONS"), "sessions") if root]
    for folder in (*(root / session for root in roots), Path(session)):
        if (folder / "session.json").is_file() or (folder / "journal").is_dir():
            return folder
    _fail(f"there is no session {session!r}; give its folder or its name under sessions/")
    return None


def _fail(message: str) -> None:
    typer.echo(f"avo knowledge: {message}", err=True)
    raise typer.Exit(1)


def _open(session: str | None) -> KnowledgeBase:
    return KnowledgeBase.open(session=session_folder(session))


@app.command()
def search(
    query: Annotated[list[str], typer.Argument(help="Words or identifiers.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=50)] = 8,
    session: Session = None,
    as_json: Json = False,
) -> None:
    """Search all libraries. Example: avo knowledge search wgmma descriptor swizzle"""
    try:
        with _open(session) as base:
            hits = base.search(" ".join(query), limit)
    except KnowledgeError as error:
        _fail(str(error))
        return
    if as_json:
        typer.echo(json.dumps({"query": " ".join(query), "hits": [asdict(hit) for hit in hits]}))
        return
    for hit in hits:
        typer.echo(f"{hit.heading}\n  {hit.id}\n  {hit.snippet}\n")
    if not hits:
        typer.echo("nothing found; fewer or other words may help", err=True)


@app.command()
def read(
    id: Annotated[str, typer.Argument(help="A document or section as search prints it.")],
    session: Session = None,
) -> None:
    """Print a document or section. Example: avo knowledge read builtin:hopper-wgmma.md"""
    try:
        with _open(session) as base:
            offset: int | None = 0
            while offset is not None:
                passage = base.read(id, offset, 40_000)
                typer.echo(passage.text, nl=False)
                offset = passage.next_offset
    except KnowledgeError as error:
        _fail(str(error))


@app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    session: Session = None,
    as_json: Json = False,
) -> None:
    """Index files and folders, again only where they changed, into your own library.

    With --session they go into that session's library.
    Example: avo knowledge add ~/src/flash-attention
    """
    library = "session" if session else "user"
    reports: list[tuple[Path, AddReport]] = []
    try:
        with _open(session) as base:
            for path in paths:
                report = base.add(path, library=library, progress=None if as_json else _draw)
                reports.append((path, report))
                if not as_json:
                    _print(path, report)
    except KnowledgeError as error:
        _fail(str(error))
    if as_json:
        typer.echo(
            json.dumps({"added": [{"path": str(path), **asdict(item)} for path, item in reports]})
        )


def _draw(progress: Progress) -> None:
    if not sys.stderr.isatty() or (progress.done % 50 and progress.path):
        return
    end = "\n" if not progress.path else ""
    sys.stderr.write(f"\r{progress.done:,} of {progress.total:,} files{end}")
    sys.stderr.flush()


def _print(path: Path, report: AddReport) -> None:
    typer.echo(
        f"{path}: {report.indexed:,} indexed, {report.unchanged:,} unchanged, "
        f"{report.removed:,} removed, {sum(report.reasons.values()):,} skipped; "
        f"{report.sections:,} sections in {report.seconds:.1f} s"
    )
    for skipped in report.skipped[:_NAMED]:
        typer.echo(f"  skipped {skipped.path}: {skipped.reason}")
    if len(report.skipped) > _NAMED:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in _most(report.reasons))
        typer.echo(f"  and others; in all: {counts}")


def _most(reasons: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(((name, count) for name, count in reasons.items()), key=lambda item: -item[1])[:8]


@app.command("list")
def list_(session: Session = None, as_json: Json = False) -> None:
    """List the documents of all libraries. Example: avo knowledge list"""
    try:
        with _open(session) as base:
            documents = base.documents()
    except KnowledgeError as error:
        _fail(str(error))
        return
    if as_json:
        typer.echo(json.dumps({"documents": [asdict(item) for item in documents]}))
        return
    for item in documents:
        typer.echo(f"{item.id}  {item.title}  ({item.sections} sections, {item.kind})")
