"""The commands of docs/first-kernel.md and docs/cuda.md, in their order, from an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"```(\w+)(?: file=(\S+))?\n(.*?)```", re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "among"),
    [
        ("first-kernel.md", (["evaluate", "scaled_softmax"], ["task", "new"])),
        ("cuda.md", (["task", "show"], ["evaluate", "conv1d"])),
    ],
)
def test_every_command_of_the_page(tmp_path: Path, page: str, among: tuple[list[str], ...]) -> None:
    if page == "cuda.md":
        pytest.importorskip("cuda.bindings.nvrtc")
    environment = {
        **os.environ,
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "AVO_SESSIONS": str(tmp_path / "sessions"),
    }

    def avo(line: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "avo_tui.cli", *shlex.split(line)[1:]],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip

    done, beside = [], []
    for language, file, text in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if file:
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_text(text)
        elif language == "sh":
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(line)
                assert words[0] == "avo"
                if words[-1] == "&":  # it goes on until a later line stops it
                    beside.append(avo(line.removesuffix("&")))
                    name = words[words.index("--name") + 1]
                    deadline = time.monotonic() + 120
                    while avo(f"avo status {name}").wait():
                        assert time.monotonic() < deadline, "the run has not begun"
                    continue
                ended = avo(line)
                said = ended.communicate()[0]
                if words[1:3] == ["task", "check"]:  # what is weak may be said, nothing is wrong
                    assert "wrong:" not in said and "avo:" not in said, said
                elif "--arch" in words and ended.returncode:  # compiled, and there is no GPU
                    assert "no_device" in said and "registers" in said, said
                else:
                    assert ended.returncode == 0, f"{line}\n{said}"
                done.append(words[1:3])
    assert all(command in done for command in among)
    assert [run.wait(60) for run in beside] == [0] * len(beside)
