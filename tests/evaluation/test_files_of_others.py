"""A candidate's folder, and a reference, that somebody else made."""

import os
from pathlib import Path

import pytest

from avo_tui.cli import candidates as of_the_line
from avo_tui.cli.errors import Failure
from avo_tui.domain.candidate import MAX_FILE_BYTES, MAX_FILES, Candidate
from avo_tui.evaluation import candidates
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.references import adopting
from avo_tui.evaluation.references.adopting import adopt, wishes_for
from avo_tui.evaluation.references.spec import Case, ReferenceSpec, Tensor
from avo_tui.evaluation.sandbox.policy import Outcome
from avo_tui.evaluation.sandbox.run import Sandbox

SUM = """\
import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return x + 1


def get_inputs():
    return [torch.rand(64)]


def get_init_inputs():
    return []
"""


def reads(folder: Path) -> Candidate:
    """As `avo submit` and `avo evaluate` read it, which must agree."""
    one = read_candidate(folder)
    assert of_the_line.read_candidate([folder]) == one
    return one


def refused(folder: Path) -> str:
    with pytest.raises(EvaluatorError) as error:
        read_candidate(folder)
    with pytest.raises((EvaluatorError, Failure)) as failure:
        of_the_line.read_candidate([folder])
    assert str(failure.value) == str(error.value)
    return str(error.value)


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "secret").write_text("-----BEGIN KEY-----")
        folder = tmp_path / "kernel"
        (folder / "more").mkdir(parents=True)
        (folder / "kernel.cpp").write_text("int x;\n")
        return folder

    def test_a_link_to_a_file_of_the_person_s_is_not_followed(self, folder: Path) -> None:
        (folder / "more" / "table.h").symlink_to("../../secret")
        assert "is a link to" in refused(folder) and "copy the file" in refused(folder)

    def test_nor_a_link_to_a_folder(self, folder: Path) -> None:
        (folder / "elsewhere").symlink_to(folder.parent)
        (folder / "deep.h").symlink_to("elsewhere/secret")
        assert "is a link to" in refused(folder)

    def test_a_link_within_the_folder_is_a_file_like_any_other(self, folder: Path) -> None:
        (folder / "more" / "same.h").symlink_to("../kernel.cpp")
        (folder / ".git").symlink_to(folder.parent)  # what is hidden is not looked at
        assert reads(folder).files == {"kernel.cpp": "int x;\n", "more/same.h": "int x;\n"}

    def test_what_is_larger_than_any_source_is_not_read(self, folder: Path) -> None:
        with (folder / "large.h").open("wb") as file:
            file.truncate(1 << 40)  # takes no space
        assert f"longer than {MAX_FILE_BYTES} bytes" in refused(folder)

    def test_a_folder_of_thousands_of_files_is_not_read(self, folder: Path) -> None:
        for number in range(MAX_FILES):
            (folder / f"{number}.h").write_text("")
        with (folder / "zz.h").open("wb") as file:
            file.truncate(1 << 40)  # would be told, were it read
        assert f"more than the {MAX_FILES} files" in refused(folder)

    def test_nor_one_of_thousands_of_folders(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(candidates, "MOST_SEEN", 20)
        for number in range(21):
            (folder / "more" / str(number)).mkdir()
        assert "name its files, or a folder" in refused(folder)

    def test_what_lies_in_hidden_folders_does_not_count(self, folder: Path) -> None:
        (folder / ".git").mkdir()
        for number in range(MAX_FILES + 1):
            (folder / ".git" / str(number)).write_text("")
        assert list(reads(folder).files) == ["kernel.cpp"]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (
            Outcome("exited", 0, None, "", "", 1.0),
            "its own code ended the program, as os._exit does",
        ),
        (
            Outcome("exited", 3, None, "", "a\n\x1b]0;title\x07b\n", 1.0),
            "exited: \ufffd]0;title\ufffdb",
        ),
        (Outcome("memory", None, 9, "", "", 1.0), "memory: it said nothing"),
    ],
)
def test_the_last_words_of_a_reference_move_no_cursor(outcome: Outcome, words: str) -> None:
    assert adopting.unanswered(outcome) == words


class TestReference:
    def test_what_it_answers_of_itself_becomes_no_code(self, tmp_path: Path) -> None:
        """At its end it writes the answer anew: another task's name, a title that is Python."""
        code = '"""\nopen("victim", "w")\nx = """'
        forging = f"""
import atexit, json

def forge():
    reply = json.load(open("reply.json"))
    code = {code!r}
    reply["spec"].update(title=code, name="mha_forward", origin=code, language="cuda")
    reply["spec"]["remarks"] = ["\\x1b[2Jdone"]
    json.dump(reply, open("reply.json", "w"))

atexit.register(forge)
"""
        file = tmp_path / "model.py"
        file.write_text(forging + SUM)
        spec = adopt(file, tmp_path / "mine", wishes_for("mine", "cpp", str(file)), Sandbox())
        assert (spec.name, spec.title) == ("mine", "mine, from model.py")
        assert (spec.language, spec.origin) == ("cpp", str(file))
        assert spec.remarks == ("�[2Jdone",)
        assert "open(" not in (tmp_path / "mine" / "task.py").read_text()

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"axes": ("n); system(",)}, "system"),
            ({"axes": ("n\n#include </etc/passwd>\n",)}, "passwd"),
            ({"tensors": (Tensor(name="x y", dtype="float32", role="input", source="x"),)}, "x y"),
            ({"scored": (Case(name="../x", sizes={}, shapes={}, flops=1, bytes=1),)}, "../x"),
            ({"hidden": (Case(name="a b", sizes={}, shapes={}, flops=1, bytes=1),)}, "a b"),
        ],
    )
    def test_its_names_are_names(
        self, change: dict[str, object], named: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wishes = wishes_for("mine", "cpp", "model.py")
        case = Case(name="as-given", sizes={"n": 4}, shapes={"x": (4,)}, flops=1, bytes=4)
        spec = ReferenceSpec(
            kind="module", origin="model.py", name="mine", title="mine", language="cpp",
            tensors=(Tensor(name="x", dtype="float32", role="input", source="x"),), scored=(case,),
        )  # fmt: skip
        assert adopting._checked(spec, wishes).scored == (case,)
        with pytest.raises(EvaluatorError, match="which is no name") as error:
            adopting._checked(spec.model_copy(update=change), wishes)
        assert named in str(error.value)

    @pytest.mark.parametrize(
        "answer",
        ["", "nonsense", "[]", "{}", '{"spec": null}', '{"spec": {"name": 3}}', '{"spec": [[]]}',
         "[" * 100_000, '{"error": ["\\u001b[2J"]}', "\ud800", '"x"', "NaN"],
    )  # fmt: skip
    def test_an_answer_that_is_none_is_told_in_a_sentence(
        self, answer: str, tmp_path: Path
    ) -> None:
        reply = tmp_path / "reply.json"
        reply.write_bytes(answer.encode(errors="surrogatepass"))
        with pytest.raises(EvaluatorError, match=r"^model\.py") as error:
            adopting.answered(reply, wishes_for("mine", "cpp", "model.py"))
        assert len(str(error.value)) < 400 and "\x1b" not in str(error.value)

    def test_no_other_file_is_taken_for_its_answer(self, tmp_path: Path) -> None:
        """A link that the reference makes leads to what it could not read itself."""
        secret = tmp_path / "secret"
        secret.write_text('{"error": "-----BEGIN KEY-----"}')
        reply = tmp_path / "reply.json"
        for kind in ("link", "fifo", "folder"):
            if kind == "link":
                reply.symlink_to(secret)
            elif kind == "fifo":
                os.mkfifo(reply)
            else:
                reply.mkdir()
            with pytest.raises(EvaluatorError, match=r"reply\.json") as error:
                adopting.answered(reply, wishes_for("mine", "cpp", "model.py"))
            assert "KEY" not in str(error.value)
            if kind != "folder":
                reply.unlink()
