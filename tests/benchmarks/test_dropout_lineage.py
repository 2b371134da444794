"""The lineages of attention with dropout, and what times their parts, where there is no GPU."""

import re
from pathlib import Path

import pytest
import torch

from avo_tui.evaluation.candidates import read_candidate
from benchmarks.dropout_lineage import co_running, stages
from benchmarks.hopper_lineage.submitting import choose, load

FOLDER = Path(co_running.__file__).parent


@pytest.mark.parametrize(("name", "lineage"), co_running.TASKS.values())
def test_every_kernel_of_the_folders_is_in_the_lineage(name: str, lineage: str) -> None:
    home = FOLDER.parent / lineage
    head, entries = load(home / "lineage.toml")
    assert head["task"] == name
    for kind, folder in (("version", "versions"), ("failed", "failed")):
        items = choose(home / "lineage.toml", entries, kind)
        there = {read_candidate(f).id for f in (home / folder).iterdir()}
        assert {item.candidate.id for item in items} == there
    names = {entry["name"] for entry in entries}
    assert {entry["parent"] for entry in entries if "parent" in entry} <= names


@pytest.mark.parametrize("lineage", [folder for _, folder in co_running.TASKS.values()])
def test_the_numbers_of_the_instructions_are_those_of_the_kernel(lineage: str) -> None:
    text = (FOLDER.parent / lineage / "co_running" / "repeat.cuh").read_text(encoding="utf-8")
    cases = re.findall(r"case (\d+): REPEAT\(KIND(\d+)\) +// (.*)", text)
    assert [(int(a), int(b)) for a, b, _ in cases] == [(i, i) for i in range(1, len(cases) + 1)]
    said = [name.removesuffix(" in turn") for _, _, name in cases]
    assert said == list(co_running.KINDS[1:])
    assert set(co_running.KINDS) >= co_running.SLOW


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_both_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert co_running.main([]) == 1
    assert stages.main(["dropout_attention", str(FOLDER / "versions" / "02_own_kernel")]) == 1
    assert capsys.readouterr().err.count("needs an NVIDIA GPU") == 2
