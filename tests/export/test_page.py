"""The report page: parsed as a browser would, with hostile text in every field."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from avo_tui.export.chart import attempts_until, lanes
from avo_tui.export.folder import ExportError
from avo_tui.export.page import as_page
from avo_tui.store import SessionReader

VOID = {"meta", "br", "img", "input", "hr", "link"}


class Page(HTMLParser):
    """Elements, links, ids and text; checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in self.open[-1:]:
            self.words.setdefault(tag, []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def html(reader: SessionReader, tmp_path: Path) -> str:
    done = as_page(reader, tmp_path / "report")
    assert done.files == ("index.html",)
    return (done.folder / "index.html").read_text(encoding="utf-8")


@pytest.fixture
def page(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def test_nothing_that_others_wrote_is_markup(page: Page, html: str) -> None:
    assert page.all("script") == []
    assert html.count("&lt;script&gt;alert") >= 8
    assert not set("\x00\x1b\u202e") & set(html)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_the_page_asks_for_nothing_outside_itself(page: Page, html: str) -> None:
    assert not {"link", "img", "iframe", "object", "use", "image"} & {t for t, _ in page.elements}
    assert "default-src 'none'" in html
    assert "http" not in html.replace("http-equiv", "") and "url(" not in html
    links = {str(a["href"]) for a in page.all("a")}
    ids = {str(a["id"]) for _, a in page.elements if "id" in a}
    assert links and {link.removeprefix("#") for link in links} <= ids


def test_every_version_has_its_row_its_point_and_its_story(page: Page, html: str) -> None:
    stories = [a["id"] for a in page.all("p") if "id" in a]
    assert stories == ["v4", "v3", "v2", "v1", "v0"] and len(page.all("details")) == 5
    assert len(page.all("circle")) == 2 * 5
    assert "v2: 0.9000 of torch, 90 GFLOP/s" in html and "5 versions from 10 attempts" in html
    assert "<td>0.900</td>" in html, "the ratio to each baseline is in the table"
    assert '<span class="add">+int tile = 5;</span>' in html
    assert '<span class="cut">-int tile = 4;</span>' in html
    assert "Change to v3: +1 −3 lines" in html, "a removed file is part of the change"
    assert "// no newline at the end" in html, "the seed's source is whole"


def test_supervisor_and_memory_are_told(page: Page, html: str) -> None:
    assert "8 attempts without a commit" in html and "found &lt;script&gt;" in html
    assert '<a href="#v2">v2</a> built on it' in html
    assert "Built on notes of the memory" in html


def test_the_chart_goes_up_where_the_best_did(html: str) -> None:
    path = re.search(r'class="best" d="([^"]+)"', html)
    assert path is not None
    heights = [float(y) for y in re.findall(r"[V ]([\d.]+)", path.group(1))]
    assert len(heights) == 3, "v0, v1 and v2 were the best, v3 and v4 never"
    assert heights == sorted(heights, reverse=True)


def test_effort_and_lines(reader: SessionReader) -> None:
    assert attempts_until(reader.state) == {0: 2, 1: 4, 2: 6, 3: 8, 4: 10}
    assert lanes(reader.state.versions, 4) == {4: 0, 3: 0, 1: 0, 0: 0, 2: 1}


def test_a_session_without_versions_has_nothing_to_report(
    empty: SessionReader, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="nothing to report"):
        as_page(empty, tmp_path / "out")
