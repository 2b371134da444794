import json
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.deployment import SingleSource
from avo_tui.export.folder import ExportError
from avo_tui.export.kernel import as_source, chosen, version_of
from avo_tui.store import SessionReader, SessionWriter

SOURCE = SingleSource(
    name="attention.cpp", text="int x;\n", header="/* h */\n", command=("g++", "a b"), usage="U"
)


def test_the_best_kernel_with_its_score(reader: SessionReader, tmp_path: Path) -> None:
    done = as_source(reader, tmp_path / "best", None, SOURCE)
    assert done.versions == (2,)
    assert done.files == (
        "attention.cpp", "attention.h", "kernel/kernel.cpp", "score.json", "README.md",
    )  # fmt: skip
    assert (done.folder / "attention.cpp").read_text() == "int x;\n"
    assert (done.folder / "attention.h").read_text() == "/* h */\n"
    stored = reader.candidate(reader.state.versions[2].candidate).files["kernel.cpp"]
    assert (done.folder / "kernel" / "kernel.cpp").read_bytes() == stored.encode()
    form = json.loads((done.folder / "score.json").read_text())
    assert (form["session"], form["number"], form["score"]["aggregate"]) == ("one", 2, 0.9)
    assert form["built_on"][0]["id"] == "n1"
    readme = (done.folder / "README.md").read_text()
    assert "| c0 | 90 | 89.1–90.9 | 0.9000 | 100 |" in readme
    assert "    g++ 'a b'\n\nU" in readme
    assert "avo evaluate attention_cpu kernel" in readme
    assert not set("\x00\x1b\u202e") & set(readme)


def test_another_version_whose_files_have_our_names(reader: SessionReader, tmp_path: Path) -> None:
    folder = as_source(reader, tmp_path / "v3", 3, SOURCE).folder
    assert (folder / "kernel" / "README.md").read_text() == "of the kernel\n"
    assert json.loads((folder / "score.json").read_text())["number"] == 3


def test_the_bookmark_export_chooses_the_version_where_none_is_named(
    reader: SessionReader, tmp_path: Path
) -> None:
    state = reader.state
    assert chosen(state, None) == "v2"
    with SessionWriter.open(tmp_path / "sessions" / "one") as writer:
        for number in (1, 3):
            writer.record(ev.VersionAnnotated(number=number, bookmark="export"))
    state = SessionReader.open(tmp_path / "sessions" / "one").state
    assert version_of(state, None).number == 3
    assert chosen(state, None) == "v3, which has the bookmark export (--version best: v2)"
    assert (version_of(state, 2).number, chosen(state, 2)) == (2, "v2")


def test_bytes_and_folders_are_kept(reader: SessionReader, tmp_path: Path) -> None:
    assert (
        as_source(reader, tmp_path / "v1", 1, SOURCE).folder / "kernel/kernel.cpp"
    ).read_bytes() == b"int tile = 2;\r\nint second = 1;\n"
    folder = as_source(reader, tmp_path / "v0", 0, SOURCE).folder
    assert (folder / "kernel/more/notes.h").read_text() == "// no newline at the end"


def test_a_version_that_is_not_there(
    reader: SessionReader, empty: SessionReader, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="one has no v9; it has v0 to v4"):
        as_source(reader, tmp_path / "out", 9, SOURCE)
    with pytest.raises(ExportError, match="no version yet"):
        as_source(empty, tmp_path / "out", None, SOURCE)


def test_an_existing_folder_is_never_written_to(reader: SessionReader, tmp_path: Path) -> None:
    full, file, link = tmp_path / "full", tmp_path / "file", tmp_path / "link"
    full.mkdir()
    (full / "mine").write_text("mine")
    file.write_text("mine")
    link.symlink_to(full)
    for target, words in ((full, "is not empty"), (file, "no folder"), (link, "no folder")):
        with pytest.raises(ExportError, match=words):
            as_source(reader, target, None, SOURCE)
    assert [p.name for p in full.iterdir()] == ["mine"]
    bare = tmp_path / "bare"
    bare.mkdir()
    as_source(reader, bare, None, SOURCE)
    assert (bare / "README.md").exists()
