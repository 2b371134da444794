"""The evaluator runs from a copied folder, and imports nothing that it does not need."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import avo_tui

ROOT = Path(avo_tui.__file__).parent.parent
LIGHT = """
import sys
import avo_tui.evaluation.pipeline
import avo_tui.evaluation.backends.cuda.backend
heavy = {"torch", "cuda", "textual", "anthropic", "tinydb", "typer", "numpy"}
print(sorted(heavy & set(sys.modules)))
"""


def test_importing_the_backend_is_light() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.slow
def test_a_copied_folder_compiles(tmp_path: Path) -> None:
    package = tmp_path / "avo_tui"
    package.mkdir()
    for name in ("__init__.py", "plugins.py", "user_paths.py", "worktree.py"):
        shutil.copy(ROOT / "avo_tui" / name, package)
    for part in ("devices", "domain", "evaluation"):
        shutil.copytree(
            ROOT / "avo_tui" / part, package / part, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copytree(ROOT / "kernels", tmp_path / "kernels")
    command = [sys.executable, "-m", "avo_tui.evaluation", "mha_forward", "--json"]
    done = subprocess.run(
        [*command, "--arch", "sm_100a"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    report = json.loads(done.stdout)
    assert report["architecture"] == "sm_100a"
    assert report["verdict"] == "no_device", done.stderr
    assert report["resources"]["registers"] > 0
    assert report["resources"]["instructions"]["FFMA"] > 0
    assert report["checks"] == []
    assert done.returncode == 1
