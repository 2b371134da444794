"""Reading documents and trees: formats, broken files, changes, links."""

import os
import sqlite3
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from avo_tui.knowledge import KnowledgeBase, KnowledgeError, Progress
from avo_tui.knowledge import ingest as ingest_module
from avo_tui.knowledge.html import parse_html
from avo_tui.knowledge.ingest import parse
from avo_tui.knowledge.markdown import parse_markdown
from avo_tui.knowledge.model import Parsed
from avo_tui.knowledge.text import decode


def pdf(*pages: str) -> bytes:
    """A small PDF with one line of text on each page."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>"]
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects.append(f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode())
    objects.append(b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
    for i, text in enumerate(pages):
        objects.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {5 + 2 * i} 0 R"
            "/Resources<</Font<</F1 3 0 R>>>>>>".encode()
        )
        stream = zlib.compress(f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode())
        head = f"<</Length {len(stream)}/Filter/FlateDecode>>stream\n".encode()
        objects.append(head + stream + b"\nendstream")
    out = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj".encode() + body + b"endobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    out += f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF".encode()
    return out


def covered(parsed: Parsed) -> None:
    """Sections are in order, do not overlap, and leave out nothing but blank space."""
    at = 0
    for section in parsed.sections:
        assert section.start >= at
        assert not parsed.text[at : section.start].strip(" \n\t};")
        assert section.end > section.start
        at = section.end
    assert not parsed.text[at:].strip(" \n\t};")


@pytest.fixture
def base(tmp_path: Path) -> KnowledgeBase:
    empty = tmp_path / "builtin"
    empty.mkdir()
    return KnowledgeBase.open(
        documents=empty, user=tmp_path / "user" / "user.sqlite", session=tmp_path / "session"
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


def test_markdown_sections_follow_headings_and_not_code() -> None:
    text = (
        "intro\n\n# Title\n\nlead\n\n## One `x`\n\n```\n# no heading\n```\n\n"
        "Setext\n------\n\n### Deep\nend\n"
    )
    parsed = parse_markdown(text, "a.md")
    assert parsed.title == "Title"
    assert [section.path for section in parsed.sections] == [
        (),
        (),
        ("One x",),
        ("Setext",),
        ("Setext", "Deep"),
    ]
    covered(parsed)


def test_markdown_with_front_matter_and_without_headings() -> None:
    parsed = parse_markdown("---\ntitle: x\n---\n# Real\ntext\n", "a.md")
    assert parsed.title == "Real"
    assert parse_markdown("only text\n", "note.md").title == "note.md"


def test_long_sections_are_cut_into_parts() -> None:
    text = "# T\n\n## Long\n\n" + "\n\n".join(f"paragraph {i} " + "word " * 60 for i in range(100))
    parsed = parse_markdown(text, "a.md")
    assert max(section.end - section.start for section in parsed.sections) <= 9000
    assert parsed.sections[1].path[0].startswith("Long (part 1 of ")
    covered(parsed)


def test_html_keeps_headings_and_leaves_out_scripts() -> None:
    page = (
        "<html><head><title>T &amp; U</title><style>x{}</style></head><body><h1>A</h1><p>one<br>two"
        "<script>evil()</script><h2>B</h2><pre>a  b\n c</pre><table><tr><td>1<td>2</table><p>open"
    )
    parsed = parse_html(page, "x.html")
    assert parsed.title == "T & U"
    assert [section.path for section in parsed.sections] == [("A",), ("A", "B")]
    assert "evil" not in parsed.text
    assert "a  b\n c" in parsed.text
    covered(parsed)


@pytest.mark.parametrize("tag", ["nav", "svg", "template", "iframe", "noscript"])
def test_what_is_never_closed_hides_nothing(tag: str) -> None:
    parsed = parse_html(f"<p>before</p><{tag}>within<h1>Head</h1><p>after", "x.html")
    assert [word in parsed.text for word in ("before", "Head", "after")] == [True] * 3
    covered(parsed)


def test_a_script_that_is_never_closed_is_no_text() -> None:
    assert parse_html("<p>before<script>var x = 1;", "x.html").text.strip() == "before"


def test_an_unclosed_tag_within_navigation_ends_with_it() -> None:
    parsed = parse_html("<p>before</p><nav>menu<p>x</nav><p>after</p>", "x.html")
    assert "before" in parsed.text
    assert "after" in parsed.text
    assert "menu" not in parsed.text


def test_pdf_pages_become_sections() -> None:
    parsed = parse(Path("a.pdf"), pdf("tensor cores", "second leaf"))
    assert [section.path for section in parsed.sections] == [("page 1",), ("page 2",)]
    assert "tensor cores" in parsed.text


@pytest.mark.parametrize("data", [b"%PDF-1.4\nrubbish", pdf("x")[:200], b"%PDF-", pdf("")])
def test_broken_and_empty_pdfs_are_named(data: bytes) -> None:
    with pytest.raises(KnowledgeError, match=r"broken PDF|no text in the PDF"):
        parse(Path("a.pdf"), data)


def test_python_is_split_by_symbol() -> None:
    text = (
        "import os\n\n@deco\ndef f():\n    return 1\n\nclass A:\n    def m(self): pass\n\nX = 1\n"
    )
    parsed = parse(Path("a.py"), text.encode())
    assert [section.symbol for section in parsed.sections] == ["", "f", "A", ""]
    assert parsed.text[parsed.sections[1].start :].startswith("@deco")
    covered(parsed)
    broken = parse(Path("b.py"), b"def f(:\n  pass\n")
    assert broken.sections


def test_text_is_made_harmless() -> None:
    assert decode(b"a\x1b[31mb\x00\x07c\r\nd\xe2\x80\xaee") == "a[31mbc\nde"
    assert decode("ü".encode("latin-1")) == "ü"
    assert decode("ü".encode("utf-16")) == "ü"


def test_a_tree_with_everything_in_it(base: KnowledgeBase, tree: Path) -> None:
    (tree / "doc.md").write_text("# Guide\n\n## Fences\n\nuse the xylophone fence\n")
    (tree / "kernel.cu").write_text("__global__ void xylophone_kernel(int* p) { *p = 1; }\n")
    (tree / "tool.py").write_text("def xylophone_tool():\n    return 1\n")
    (tree / "page.html").write_text("<h1>Page</h1><p>xylophone page</p>")
    (tree / "paper.pdf").write_bytes(pdf("the xylophone paper"))
    (tree / "broken.pdf").write_bytes(b"%PDF-1.7 nonsense")
    (tree / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    (tree / "empty.txt").write_bytes(b"")
    (tree / "big.json").write_text("[" + "1," * 200_000 + "1]")
    (tree / ".git").mkdir()
    (tree / ".git" / "config").write_text("xylophone")
    report = base.add(tree)
    assert report.indexed == 5
    reasons = {Path(item.path).name: item.reason for item in report.skipped}
    assert reasons["image.png"] == "binary"
    assert reasons["empty.txt"] == "empty"
    assert reasons["broken.pdf"].startswith("broken PDF")
    assert reasons["big.json"].startswith("too large: 0.4 MiB")
    assert len(reasons) == 4
    found = {hit.document for hit in base.search("xylophone", 20)}
    assert found == {
        f"user:tree/{name}" for name in ("doc.md", "kernel.cu", "tool.py", "page.html", "paper.pdf")
    }
    kernel = base.search("xylophone_kernel", 1)[0]
    assert kernel.section == ("kernel xylophone_kernel",)
    assert kernel.line == 1


def test_only_what_changed_is_read_again(base: KnowledgeBase, tree: Path) -> None:
    for number in range(300):
        (tree / f"f{number}.md").write_text(f"# Document {number}\n\nzebra{number}\n")
    seen: list[Progress] = []
    first = base.add(tree, progress=seen.append)
    assert (first.indexed, first.unchanged, first.removed) == (300, 0, 0)
    assert seen[-1].done == seen[-1].total == 300
    assert [item.done for item in seen] == sorted(item.done for item in seen)

    (tree / "f7.md").write_text("# Document 7\n\nquagga\n")
    (tree / "f8.md").unlink()
    os.utime(tree / "f9.md", ns=(1, 1))
    second = base.add(tree)
    assert (second.indexed, second.unchanged, second.removed) == (1, 298, 1)
    assert base.search("quagga", 1)[0].document == "user:tree/f7.md"
    assert base.search("zebra7", 5) == []
    assert base.search("zebra8", 5) == []
    assert base.search("zebra9", 1)[0].document == "user:tree/f9.md"
    assert len(base.documents()) == 299
    assert [report.unchanged for report in base.refresh()] == [299]


def test_skipped_files_are_named_again_without_reading(base: KnowledgeBase, tree: Path) -> None:
    (tree / "bad.pdf").write_bytes(b"%PDF-1.7 nonsense")
    base.add(tree)
    again = base.add(tree)
    assert again.unchanged == 1
    assert again.skipped[0].reason.startswith("broken PDF")


def test_links_do_not_loop_or_lead_out(base: KnowledgeBase, tree: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("# Secret\n\nwombat\n")
    (tree / "a.md").write_text("# A\n\nplain\n")
    (tree / "loop").symlink_to(tree)
    (tree / "out.md").symlink_to(secret)
    (tree / "dangling").symlink_to(tree / "nowhere")
    report = base.add(tree)
    assert report.indexed == 1
    assert report.reasons["symbolic link"] == 3
    assert base.search("wombat", 5) == []
    alias = tmp_path / "alias"
    alias.symlink_to(tree)
    assert base.add(alias).unchanged == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_files_are_named(base: KnowledgeBase, tree: Path) -> None:
    (tree / "a.md").write_text("# A\n\ntext\n")
    (tree / "b.md").write_text("# B\n\ntext\n")
    (tree / "b.md").chmod(0)
    report = base.add(tree)
    assert report.indexed == 1
    assert report.skipped[0].reason.startswith("cannot be read")


def test_special_files_are_named(base: KnowledgeBase, tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    assert base.add(tree).skipped[0].reason == "not a regular file"


def test_a_path_that_is_not_there(base: KnowledgeBase, tree: Path) -> None:
    with pytest.raises(KnowledgeError, match="does not exist"):
        base.add(tree / "nothing")


def test_too_many_files_are_refused(
    base: KnowledgeBase, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_module, "MOST_FILES", 3)
    for number in range(4):
        (tree / f"{number}.md").write_text("# x")
    with pytest.raises(KnowledgeError, match="more than 3 files"):
        base.add(tree)


def test_an_interruption_keeps_what_was_done(base: KnowledgeBase, tree: Path) -> None:
    for number in range(250):
        (tree / f"{number:03}.md").write_text(f"# Document {number}\n\ntext\n")

    def stop(progress: Progress) -> None:
        if progress.done == 220:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        base.add(tree, progress=stop)
    assert len(base.documents()) == 200
    assert base.add(tree).indexed == 50


def test_same_names_from_two_places(base: KnowledgeBase, tmp_path: Path) -> None:
    for side in ("left", "right"):
        folder = tmp_path / side / "docs"
        folder.mkdir(parents=True)
        (folder / "a.md").write_text(f"# Doc\n\n{side}hand\n")
        base.add(folder)
    assert {item.id for item in base.documents()} == {"user:docs/a.md", "user:docs/a.md~2"}
    assert "righthand" in base.read("user:docs/a.md~2").text


def test_a_session_has_its_own_library(base: KnowledgeBase, tree: Path, tmp_path: Path) -> None:
    (tree / "a.md").write_text("# Session note\n\nnumbat\n")
    base.add(tree / "a.md", library="session")
    assert base.search("numbat", 1)[0].id.startswith("session:a.md#")
    base.close()
    empty = tmp_path / "builtin"
    other = KnowledgeBase.open(documents=empty, user=tmp_path / "none.sqlite")
    assert all(hit.library != "session" for hit in other.search("numbat"))
    again = KnowledgeBase.open(documents=empty, session=tmp_path / "session")
    assert again.search("numbat", 1)[0].library == "session"
    with pytest.raises(KnowledgeError, match="no library 'session'"):
        other.add(tree, library="session")


def test_a_damaged_index_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "user.sqlite"
    path.write_bytes(b"not a database, but long enough to be looked at as one" * 20)
    with pytest.raises(KnowledgeError, match="move it away"):
        KnowledgeBase.open(documents=tmp_path, user=path)


def test_an_index_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "user.sqlite"
    KnowledgeBase.open(documents=tmp_path, user=path).add(Path(__file__))
    database = sqlite3.connect(path)
    database.execute("UPDATE meta SET value='99' WHERE key='format'")
    database.commit()
    database.close()
    with pytest.raises(KnowledgeError, match="another version"):
        KnowledgeBase.open(documents=tmp_path, user=path)


def test_reading_goes_on_while_another_process_writes(base: KnowledgeBase, tree: Path) -> None:
    (tree / "a.md").write_text("# A\n\nbandicoot\n")
    base.add(tree)
    index = next(tree.parent.glob("user/*.sqlite"))
    other = sqlite3.connect(index, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with KnowledgeBase.open(documents=tree.parent / "builtin", user=index) as reader:
            assert reader.search("bandicoot", 1)
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_several_threads_may_ask_at_once(base: KnowledgeBase, tree: Path) -> None:
    for number in range(20):
        (tree / f"{number}.md").write_text(f"# Document {number}\n\nbilby and word{number}\n")
    base.add(tree)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: base.search(f"word{n % 20}", 1)[0].document, range(80)))
    assert found == [f"user:tree/{n % 20}.md" for n in range(80)]


def test_an_index_that_breaks_later_is_one_clear_sentence(base: KnowledgeBase, tree: Path) -> None:
    (tree / "a.md").write_text("# A\n\ntext\n")
    base.add(tree)
    index = next(tree.parent.glob("user/*.sqlite"))
    other = sqlite3.connect(index)
    other.execute("DROP TABLE section")
    other.commit()
    other.close()
    with pytest.raises(KnowledgeError, match="cannot be used"):
        base.search("text")


def test_what_another_process_adds_later_is_found(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "builtin").mkdir()
    documents, user = tmp_path / "builtin", tmp_path / "user.sqlite"
    running = KnowledgeBase.open(documents=documents, user=user)
    assert running.search("potoroo") == []
    (tree / "a.md").write_text("# A\n\npotoroo\n")
    with KnowledgeBase.open(documents=documents, user=user) as other:
        other.add(tree)
    assert running.search("potoroo", 1)[0].document == "user:tree/a.md"
    assert [item.id for item in running.documents()] == ["user:tree/a.md"]
