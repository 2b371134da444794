"""What the author of a kernel reads of a derived task: above all the reference itself."""

import json
from pathlib import Path

import pytest

from avo_tui.evaluation.references.deriving import Wishes, derive
from avo_tui.evaluation.references.describing import (
    MOST_CHARACTERS,
    cpp_description,
    cuda_description,
    reference_text,
)
from avo_tui.evaluation.references.files import COMPANIONS, Companions
from avo_tui.evaluation.references.formats import read

MODEL = '''\
import torch

n = 24


class Model(torch.nn.Module):
    """Sorts; ``` is no fence here."""

    def forward(self, x):
        return x.argsort(), x.cumsum(0)


def get_inputs():
    return [torch.randn(n)]


def get_init_inputs():
    return []
'''


@pytest.mark.parametrize("describe", ["cpp", "cuda"])
def test_the_reference_itself_is_in_it(tmp_path: Path, describe: str) -> None:
    (tmp_path / "reference.py").write_text(MODEL)
    spec = derive(read(MODEL, "model.py"), Wishes("mine", "cpp", "model.py"))
    text = reference_text(tmp_path)
    told = (
        cpp_description(spec, "kernel", text) if describe == "cpp" else cuda_description(spec, text)
    )
    assert f"````python\n{MODEL.strip()}\n````" in told, "by a fence that the text does not end"
    assert "in double precision; out0 must be equal to the bit." in told
    assert "training mode" not in told, "nothing in it depends on the mode"


def test_long_ones_are_cut_at_a_line_and_modules_are_among_them(tmp_path: Path) -> None:
    (tmp_path / "reference.py").write_text("from task import x\n")
    companions = Companions(modules={"task": "x = 1  # \x1b[2J\n"})
    (tmp_path / COMPANIONS).write_text(companions.model_dump_json())
    assert reference_text(tmp_path).startswith("from task import x\n\n# task.py, which it imports:")
    assert "\x1b" not in reference_text(tmp_path)
    (tmp_path / "reference.py").write_text("value = 1\n" * MOST_CHARACTERS)
    text = reference_text(tmp_path)
    last = text.splitlines()[-2:]
    assert last[0] == "value = 1" and last[1].endswith(f"all of it is {tmp_path / 'reference.py'}")
    assert len(text) < MOST_CHARACTERS + 300


def test_of_a_definition_the_python_is_shown(tmp_path: Path) -> None:
    (tmp_path / "reference.py").write_text(json.dumps({"reference": "def run(x):\n    return x\n"}))
    assert reference_text(tmp_path) == "def run(x):\n    return x"


NORMED = """\
import torch

n = 8


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.BatchNorm2d(4)
        self.b = torch.nn.BatchNorm2d(4)
        self.c = torch.nn.LayerNorm(n)
        self.d = torch.nn.Dropout(0.25)
        FROZEN

    def forward(self, x):
        return self.d(self.c(self.b(self.a(x))))


def get_inputs():
    return [torch.randn(2, 4, n, n)]


def get_init_inputs():
    return []
"""


@pytest.mark.parametrize(
    ("frozen", "told"),
    [
        ("self.eval()", "BatchNorm2d (`a`, `b`) uses its recorded statistics.\n"),
        ("self.d.eval()", "BatchNorm2d (`a`, `b`) uses the statistics of the batch.\n"),
        ("self.a.eval(); self.d.eval()", "BatchNorm2d (`a`) uses its recorded statistics.\n"),
    ],
)
def test_modes_are_told_as_the_module_sets_them(tmp_path: Path, frozen: str, told: str) -> None:
    """And of a norm that has no modes, nothing is told."""
    text = NORMED.replace("FROZEN", frozen)
    (tmp_path / "reference.py").write_text(text)
    spec = derive(read(text, "model.py"), Wishes("mine", "cpp", "model.py"))
    description = cpp_description(spec, "kernel", reference_text(tmp_path))
    assert told in description and "Dropout (`d`) drops nothing." in description
    assert "LayerNorm (" not in description
