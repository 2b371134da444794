"""The script that records a lineage, run end to end on a task that takes milliseconds."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from avo_tui.domain.commands import Stop
from avo_tui.domain.verdict import Verdict
from avo_tui.store import SessionReader, send_command

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "hopper_lineage" / "record.py"
KERNELS = ROOT / "tests" / "cli" / "kernels"
SEED = KERNELS / "rowsum" / "seed" / "rowsum.cpp"

HEAD = 'task = "rowsum"\nsession = "recorded"\n'


def entry(kind: str, name: str, parent: str, more: str = "") -> str:
    return f"""
[[entry]]
kind = "{kind}"
name = "{name}"
folder = "{name}"
parent = "{parent}"
title = "Title of {name}"
plan = "Plan of {name}."
summary = "Summary of {name}."
prediction = "faster"
{more}
"""


@pytest.fixture
def lineage(tmp_path: Path) -> Path:
    """A variant of the seed by its tunables, one that does not compile, one that hangs."""
    text = SEED.read_text()
    wide = text.replace("LANES = 1;", "LANES = 16;")
    sources = {
        "wide": wide,
        "broken": "this is no kernel\n",
        "hanging": text.replace("int64_t i = 0;", "int64_t i = 0; for (;;) {}"),
    }
    for name, source in sources.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "rowsum.cpp").write_text(source)
    entries = [
        '[[entry]]\nkind = "seed"\nname = "plain"\ntitle = "Plain"\n',
        entry("failed", "broken", "wide"),
        entry("version", "wide", "plain"),
        entry("failed", "hanging", "plain", "hangs = true"),
    ]
    path = tmp_path / "lineage.toml"
    path.write_text(HEAD + "\n".join(entries))
    return path


def call(lineage: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    place = lineage.parent
    (place / "run").mkdir(exist_ok=True)
    return subprocess.run(
        [
            sys.executable, str(SCRIPT), "--lineage", str(lineage),
            "--sessions", str(place / "sessions"), "--out", str(place / "out"), *arguments,
        ],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=place,
        env={**os.environ, "AVO_KERNELS": str(KERNELS), "XDG_RUNTIME_DIR": str(place / "run")},
        timeout=500,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.slow
def test_records_all_and_goes_on_where_it_stopped(lineage: Path) -> None:
    # the time is enough for the seed and for nothing that may take longer than there is
    first = call(lineage, "--seconds", "900", "--guess", "1000", "--again", "0")
    assert first.returncode == 3, first.stdout + first.stderr
    assert "1 left here" in first.stdout and "run the same command again" in first.stdout
    folder = lineage.parent / "sessions" / "recorded"
    state = SessionReader.open(folder).state
    assert set(state.versions) == {0} and state.session.state == "stopped"

    send_command(folder, Stop())  # left over from a call that was ended by force
    done = call(lineage, "--again", "1", "--pack")
    assert done.returncode == 0, done.stdout + done.stderr
    reader = SessionReader.open(folder)
    state = reader.state
    wide = (lineage.parent / "wide" / "rowsum.cpp").read_text()
    by_source = {
        reader.candidate(a.candidate).files["rowsum.cpp"]: a for a in state.attempts.values()
    }
    assert len(by_source) == len(state.attempts) == 3  # the seed and two; nothing twice
    assert by_source["this is no kernel\n"].verdict is Verdict.COMPILE_ERROR
    first_version = state.versions[1]
    assert reader.candidate(first_version.candidate).files["rowsum.cpp"] == wide
    assert first_version.author == "external" and first_version.parent == 0
    assert first_version.plan == "Title of wide\n\nPlan of wide.\n\nPrediction: faster."
    assert first_version.summary == "Summary of wide."
    assert state.session.state == "stopped" and not list((folder / "inbox").glob("*.json"))

    out = lineage.parent / "out"
    body = json.loads((out / "recorded.json").read_text())
    assert [r["name"] for r in body["rows"]] == ["plain", "wide", "broken"]
    assert {r["version"] for r in body["rows"]} == {0, 1, None}
    (fresh,) = body["fresh"]
    assert fresh["ratios"]["all"]["torch"] > 0 and fresh["configurations"]
    text = (out / "recorded.md").read_text()
    assert "| v1 wide | Title of wide |" in text and "| broken | Title of broken |" in text
    assert (out / "sessions.tar.gz").stat().st_size > 1000

    journal = "".join(p.read_text() for p in (folder / "journal").iterdir())
    assert '"host":"gpu"' in journal  # the record names neither the machine nor its folders
    assert f'"host":"{platform.node()}"' not in journal
    assert str(lineage.parent) not in journal and str(ROOT) not in journal

    shutil.rmtree(folder.parent)  # another machine, to which only the pack was taken
    again = call(lineage, "--again", "1", "--unpack", str(out / "sessions.tar.gz"))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "going on with recorded" in again.stdout and "fresh evaluation" not in again.stdout
    assert len(SessionReader.open(folder).state.attempts) == 3
    assert json.loads((out / "recorded.json").read_text())["fresh"] == [fresh]


def test_says_what_is_wrong(lineage: Path) -> None:
    shutil.rmtree(lineage.parent / "wide")
    done = call(lineage)
    assert done.returncode == 1 and "wide is neither a file nor a folder" in done.stderr
    lineage.write_text("task = ")
    done = call(lineage)
    assert done.returncode == 1 and "cannot be read" in done.stderr


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU")
def test_says_early_that_there_is_no_gpu(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--sessions", str(tmp_path / "sessions")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1 and "mha_forward needs a GPU" in done.stderr
    assert not (tmp_path / "sessions").exists()
