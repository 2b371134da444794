"""A reference from somebody else takes no file of the person's with it."""

from pathlib import Path

import pytest

from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.references.files import gather


def problem(folder: Path, source: str) -> Path:
    """A folder of GPU MODE whose `task.yml` says where the module `extra` is."""
    folder.mkdir(parents=True)
    (folder / "reference.py").write_text("import extra\n")
    (folder / "task.yml").write_text(f"files:\n- {{name: extra.py, source: '{source}'}}\n")
    return folder


@pytest.mark.parametrize("source", ["../../../private/key", "{private}/key"])
def test_task_yml_names_no_file_elsewhere(tmp_path: Path, source: str) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (private / "key").write_text("secret")
    folder = problem(tmp_path / "a" / "b" / "problem", source.format(private=private))
    with pytest.raises(EvaluatorError, match="neither beside the reference nor in the folder"):
        gather(folder)


def test_a_link_to_a_file_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    folder = problem(tmp_path / "a" / "b" / "problem", "extra.py")
    (folder / "extra.py").symlink_to(tmp_path / "key")
    with pytest.raises(EvaluatorError, match="leads to"):
        gather(folder)


@pytest.mark.parametrize("source", ["../shared.py", "shared.py"])
def test_what_problems_share_is_taken(tmp_path: Path, source: str) -> None:
    folder = problem(tmp_path / "set" / "problem", source)
    (folder / source).write_text("SHARED = 1\n")
    assert gather(folder)[1].modules == {"extra": "SHARED = 1\n"}
