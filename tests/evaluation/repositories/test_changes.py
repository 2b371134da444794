"""A patch, a folder and a worktree become the same candidate; what is not editable is refused."""

from pathlib import Path

import pytest

from avo_tui.domain.repository import editable
from avo_tui.domain.task import Configuration, TaskInfo
from avo_tui.patches import ChangeError
from avo_tui.worktree import make_worktree, read_change, seed_of

FILES = {
    "src/a.c": "one\ntwo\nthree\n",
    "src/b.h": "old\n",
    "tests/t.c": "test\n",
    "Makefile": "all:\n",
}


@pytest.fixture
def task(tmp_path: Path) -> TaskInfo:
    tree = tmp_path / "bases" / "0123" / "tree"
    for name, text in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / "src/picture.bin").write_bytes(b"\0\1")
    return TaskInfo(
        name="r", title="r", language="repository", description="", baselines=("base",),
        configurations=(Configuration(name="m"),), reference_baseline="base", tree=str(tree),
        editable=("src/**",),
    )  # fmt: skip


def test_only_text_that_is_editable_is_the_candidate(task: TaskInfo) -> None:
    assert set(seed_of(task).files) == {"src/a.c", "src/b.h"}


def test_a_patch_adds_deletes_renames_and_changes(task: TaskInfo, tmp_path: Path) -> None:
    patch = tmp_path / "p.diff"
    patch.write_text(
        "diff --git a/src/a.c b/src/a.c\n--- a/src/a.c\n+++ b/src/a.c\n@@ -1,3 +1,3 @@\n one\n"
        "-two\n+2\n three\n"
        "diff --git a/src/b.h b/src/c.h\nsimilarity index 100%\nrename from src/b.h\n"
        "rename to src/c.h\ndiff --git a/src/new/d.c b/src/new/d.c\nnew file mode 100644\n"
        "--- /dev/null\n+++ b/src/new/d.c\n@@ -0,0 +1 @@\n+int d;\n"
    )
    files = read_change(patch, task).files
    assert files == {"src/a.c": "one\n2\nthree\n", "src/c.h": "old\n", "src/new/d.c": "int d;\n"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "--- a/tests/t.c\n+++ b/tests/t.c\n@@ -1 +1 @@\n-test\n+pass\n",
            r"tests/t\.c is not editable: a candidate may change src/",
        ),
        (
            "diff --git a/Makefile b/src/m\nsimilarity index 100%\nrename from Makefile\n"
            "rename to src/m\n",
            "Makefile is not editable",
        ),
        ("--- /dev/null\n+++ b/tests/x.c\n@@ -0,0 +1 @@\n+x\n", "tests/x.c is not editable"),
        ("--- a/src/a.c\n+++ b/src/a.c\n@@ -1 +1 @@\n-other\n+x\n", "does not apply to the base"),
        ("diff --git a/src/p b/src/p\nGIT binary patch\nliteral 3\n", "binary"),
        ("no patch at all\n", "No file header"),
    ],
)
def test_a_patch_that_cannot_be_taken_is_one_sentence(
    task: TaskInfo, tmp_path: Path, text: str, words: str
) -> None:
    patch = tmp_path / "p.diff"
    patch.write_text(text)
    with pytest.raises(ChangeError, match=words):
        read_change(patch, task)


def test_a_folder_replaces_files_of_the_same_path(task: TaskInfo, tmp_path: Path) -> None:
    folder = tmp_path / "change"
    (folder / "src").mkdir(parents=True)
    (folder / "src/b.h").write_text("new\n")
    assert read_change(folder, task).files == {**seed_of(task).files, "src/b.h": "new\n"}
    (folder / "avo.toml").write_text("[project]\n")  # a person's checkout has it
    assert read_change(folder, task).files["src/b.h"] == "new\n"
    (folder / "Makefile").write_text("all: evil\n")
    with pytest.raises(ChangeError, match=r"Makefile is not editable: .* src/\*\*$"):
        read_change(folder, task)
    (folder / ".git").mkdir()
    with pytest.raises(ChangeError, match=r"of a checkout, give the patch: git -C .* diff > "):
        read_change(folder, task)


def test_a_worktree_is_taken_as_a_whole(task: TaskInfo, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    make_worktree(tree, task, seed_of(task).with_file("src/b.h", "head\n"))
    assert read_change(tree, task).files["src/b.h"] == "head\n"
    (tree / "src/a.c").unlink()
    (tree / "src/a.o").write_bytes(b"\0\0")  # what a build leaves is none of the candidate's
    (tree / "build").mkdir()
    (tree / "build/log").write_text("made\n")
    assert read_change(tree, task).files == {"src/b.h": "head\n"}
    (tree / "tests/t.c").write_text("pass\n")
    with pytest.raises(ChangeError, match=r"tests/t\.c is not editable"):
        read_change(tree, task)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("src/picture.bin", b"\0\2", "src/picture.bin is a binary file"),
        ("src/picture.bin", None, "src/picture.bin was deleted"),
        ("tests/t.c", None, "tests/t.c was deleted"),
    ],
)
def test_what_a_worktree_must_not_change_is_named(
    task: TaskInfo, tmp_path: Path, name: str, data: bytes | None, words: str
) -> None:
    """A link out of the tree that the base has is no change."""
    (Path(task.tree) / "link").symlink_to("/etc/hostname")
    tree = tmp_path / "tree"
    make_worktree(tree, task, None)
    assert read_change(tree, task) == seed_of(task)
    (tree / name).unlink() if data is None else (tree / name).write_bytes(data)
    with pytest.raises(ChangeError, match=words):
        read_change(tree, task)


def test_a_link_out_of_a_folder_is_not_followed(task: TaskInfo, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("token")
    folder = tmp_path / "change" / "src"
    folder.mkdir(parents=True)
    (folder / "a.c").symlink_to(secret)
    with pytest.raises(ChangeError, match="link out of the folder"):
        read_change(folder.parent, task)


def test_ends_of_lines_stay_as_they_are(task: TaskInfo, tmp_path: Path) -> None:
    (Path(task.tree) / "src/b.h").write_bytes(b"a\r\nb\x0c\r\nc\r\n")
    patch = tmp_path / "p.diff"
    patch.write_text("--- a/src/b.h\n+++ b/src/b.h\n@@ -1,1 +1,1 @@\n-a\n+A\n")
    assert read_change(patch, task).files["src/b.h"] == "A\r\nb\x0c\r\nc\r\n"


@pytest.mark.parametrize(
    ("path", "patterns", "allowed"),
    [
        ("src/x/y.c", ("src/**",), True),
        ("src", ("src/**",), False),
        ("src/y.c", ("src/*.c",), True),
        ("src/x/y.c", ("src/*.c",), False),
        ("src/x/y.c", ("src",), True),
        ("src/CMakeLists.txt", ("src/**",), False),
        ("src/CMakeLists.txt", ("src/CMakeLists.txt",), True),
        ("src/tests/t.c", ("src/**",), False),
        ("src/tests/t.c", ("src/tests/**",), True),
        ("pkg/test_x.py", ("pkg/**",), False),
        ("pkg/fast.py", ("**/*.py",), True),
        ("pkgs/fast.py", ("pkg/**",), False),
    ],
)
def test_what_is_editable(path: str, patterns: tuple[str, ...], allowed: bool) -> None:
    assert editable(path, patterns) is allowed
