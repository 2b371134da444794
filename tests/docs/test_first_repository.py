"""The commands of docs/first-repository.md that need no session, run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "first-repository.md"


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_the_example_is_adopted_and_a_change_is_measured(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    adopt, check = re.findall(r"^(avo adopt .*)$", page, re.M)[:2]
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"),
        "AVO_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip

    def avo(command: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "avo_tui.cli", *command.split()[1:]]
        return subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    first = avo(adopt)
    assert first.returncode == 0, first.stderr
    assert "a target of the Makefile" in first.stderr
    second = avo(f"{check} --no-mutants")
    assert second.returncode == 0, second.stderr
    assert "few:" in second.stdout and "weak: no hidden tests" in second.stdout
    assert 'metrics = ["few", "many"]' in (tmp_path / "wordcount/avo.toml").read_text()
    change = tmp_path / "change" / "src"
    change.mkdir(parents=True)
    source = (tmp_path / "wordcount/src/count.c").read_text()
    (change / "count.c").write_text(
        source.replace("i++;\n        if (i < count)", "i++;\n\n        if (i < count)")
    )
    measured = avo("avo evaluate wordcount change --json")
    assert '"verdict": "correct"' in measured.stdout, measured.stdout + measured.stderr
