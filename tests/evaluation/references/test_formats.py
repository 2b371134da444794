"""The text of a reference runs as a module that torch.compile can look up."""

from typing import Any

import torch

from avo_tui.evaluation.references.source import Source

TEXT = """
import torch

SCALE = 3
TABLE = torch.tensor([1.0, 2.0])


class Model(torch.nn.Module):
    def forward(self, x):
        return x * SCALE + TABLE
"""


def test_a_model_that_reads_names_of_its_file_compiles() -> None:
    for sizes, scale in (({}, 3), ({"SCALE": 5}, 5)):
        names: dict[str, Any] = Source(TEXT, "model.py").run(sizes)
        model = names["Model"]()
        # Compiled from another module, as the baseline is: names of the file are looked up then.
        run = torch.compile(lambda x, model=model: model(x), backend="eager")
        assert run(torch.ones(2)).tolist() == [scale + 1.0, scale + 2.0]


def test_each_run_begins_afresh() -> None:
    source = Source("COUNT = []\n", "model.py")
    first = source.run({})
    first["COUNT"].append(1)
    assert source.run({})["COUNT"] == []
