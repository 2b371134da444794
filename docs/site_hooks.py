"""What mkdocs does besides the pages' own text: `make site`.

The order of the site is that of index.md; a page of all commands is made from their `--help`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer import Context
from typer.main import get_command

from avo_tui.cli.docs import contents
from avo_tui.cli.main import app

COMMANDS = "commands.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    parts = contents((Path(config.docs_dir) / "index.md").read_text(encoding="utf-8"))
    nav: list[Any] = [{"avo-tui": "index.md"}]
    nav += [{p: [{t: f"{n}.md"} for n, t in rows.items()]} for p, rows in parts.items()]
    next(part["Reference"] for part in nav if "Reference" in part).insert(0, {"Commands": COMMANDS})
    config.nav = nav
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    program: Any = get_command(app)
    text = "\n".join(["# Commands", "", *_help(program, Context(program, info_name="avo"))])
    files.append(File.generated(config, COMMANDS, content=text))
    return files


def _help(command: Any, context: Any) -> Iterator[str]:
    """The help of a command and of all below it, each under a heading."""
    context.terminal_width = 100
    yield from (f"## {context.command_path}", "", "```text", command.get_help(context), "```", "")
    for name in getattr(command, "commands", {}):
        inner = command.commands[name]
        if not inner.hidden:
            yield from _help(inner, Context(inner, info_name=name, parent=context))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Of links to files of the repository outside of docs/, which have no place on the site, the
    words stay; `file=NAME` behind a fence, which superfences does not know, is a block's title."""
    markdown = re.sub(r"^(```\w+) file=(\S+)$", r'\1 title="\2"', markdown, flags=re.MULTILINE)
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", r"\1", markdown)
