"""The documentation as a book: every page has its place, every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from avo_tui.cli.docs import contents

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *DOCS.glob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("benchmarks/**/*.md"),
        *ROOT.glob("kernels/*/README.md"), *ROOT.glob("plugins/*/README.md"),
        *ROOT.glob("knowledge/*.md"),
        ROOT / "sessions" / "README.md",
    ]
)  # fmt: skip
MOST_WORDS = 1500
MOST_OF_A_PARAGRAPH = 700  # characters
WHY_LONG = "A long page in one piece:"


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))


def anchors(page: Path) -> set[str]:
    """The names that GitHub and the site give the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    plain = (re.sub(r"[^\w\- ]", "", h.lower()) for h in re.findall(r"^#+ (.+)$", text, re.M))
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue  # elsewhere
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert not lost


def test_every_page_stands_once_in_the_index() -> None:
    parts = contents((DOCS / "index.md").read_text(encoding="utf-8"))
    listed = [name for rows in parts.values() for name in rows]
    assert sorted(listed) == sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "index")
    assert next(iter(parts)) == "Start" and len(parts["Start"]) == 4


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda path: path.stem)
def test_a_long_page_says_why(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text.split()) <= MOST_WORDS or WHY_LONG in text


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda path: path.stem)
def test_no_paragraph_is_a_wall(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    parts = re.split(r"\n\s*(?=\n)|\n(?=\s*(?:[-*|] ?|\d+\. ))", text)
    assert not [part.strip()[:80] for part in parts if len(part.strip()) > MOST_OF_A_PARAGRAPH]


@pytest.mark.slow
def test_the_site_is_built(tmp_path: Path) -> None:
    pytest.importorskip("material")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    commands = (tmp_path / "commands.html").read_text(encoding="utf-8")
    assert "avo campaign" in commands and "--against" in commands
    assert "From nothing to a CUDA kernel" in (tmp_path / "search/search_index.json").read_text()
    markdown = re.compile(r"<p>```|^(- |\d+\. )<", re.MULTILINE)  # a list needs a blank line
    pages = {page.name: page.read_text(encoding="utf-8") for page in tmp_path.glob("*.html")}
    unread = [name for name, text in pages.items() if markdown.search(text)]
    assert not unread, "blocks of code or lists that are shown as text"
    assert "softmax.cpp</span>" in pages["first-kernel.html"]
