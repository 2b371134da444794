"""The recorded sessions that travel with avo-tui are whole, and tell nothing of where they ran."""

import re
from pathlib import Path

import pytest

from avo_tui.evaluation.candidates import read_candidate
from avo_tui.export.kernel import version_of
from avo_tui.store import SessionReader, diagnose
from avo_tui.ui.session.replay import ReplaySource
from tests.shipped import shipped_sessions

SHIPPED = {"attention-cpu-agent", "attention-cpu-live", "gqa-hopper", "mha-hopper"}
PATHS = re.compile(rb'"/[A-Za-z0-9._-]+/[^"\\]*"')
"""An absolute path as a JSON string."""


@pytest.fixture(params=shipped_sessions(), ids=lambda f: f.name)
def shipped(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param
    return folder


def test_they_are_there() -> None:
    names = {f.name for f in shipped_sessions() if (f / "session.json").is_file()}
    assert SHIPPED <= names == {f.name for f in shipped_sessions()}


def test_the_lineage_on_hopper_is_the_one_of_the_kernels_beside_it() -> None:
    """Its best is the last kernel of the folder, byte for byte; the accurate ones are branches, and
    the last of them is what is exported."""
    folder = Path(__file__).parents[1]
    reader = SessionReader.open(folder / "sessions" / "mha-hopper")
    best = reader.state.best
    assert best is not None
    versions = folder / "benchmarks" / "hopper_lineage" / "versions"
    assert best.candidate == read_candidate(max(versions.iterdir())).id
    for number, name in ((15, "accurate"), (16, "new_reference")):
        accurate = reader.state.versions[number]
        assert accurate.candidate == read_candidate(versions.parent / name).id
        assert accurate.parent == 12 and accurate != best
    assert version_of(reader.state, None) == accurate
    other = SessionReader.open(folder / "sessions" / "gqa-hopper").state
    assert other.versions[0].candidate == read_candidate(versions / "13_wider_groups").id
    adapted = folder / "benchmarks" / "hopper_lineage" / "transfers" / "shared_heads"
    assert other.best is not None and other.best.candidate == read_candidate(adapted).id


@pytest.mark.parametrize(
    ("name", "lineage", "task"),
    [
        ("dropout-hopper", "dropout_lineage", "dropout_attention"),
        ("dropout-fp8-hopper", "dropout_fp8_lineage", "dropout_attention_fp8"),
    ],
)
def test_a_lineage_of_dropout_is_the_one_of_the_kernels_beside_it(
    name: str, lineage: str, task: str
) -> None:
    """Versions and tries of the session are the folders, byte for byte, and the seed the task's."""
    folder = Path(__file__).parents[1]
    state = SessionReader.open(folder / "sessions" / name).state
    kernels = folder / "benchmarks" / lineage
    versions = [read_candidate(f).id for f in sorted((kernels / "versions").iterdir())]
    seed = read_candidate(folder / "kernels" / task / "seed").id
    assert [v.candidate for v in state.versions.values()] == [seed, *versions]
    assert state.best is not None and state.best.candidate == versions[-1]
    tried = {a.candidate for a in state.attempts.values() if a.version is None}
    assert tried == {read_candidate(f).id for f in (kernels / "failed").iterdir()}


def test_it_is_whole(shipped: Path) -> None:
    assert [f.sentence for f in diagnose(shipped) if f.level == "fail"] == []
    reader = SessionReader.open(shipped)
    assert reader.state.session.name == shipped.name
    for version in reader.state.versions.values():
        assert reader.candidate(version.candidate).id == version.candidate


def test_it_can_be_replayed_to_its_end(shipped: Path) -> None:
    reader = SessionReader.open(shipped)
    source = ReplaySource(reader)
    source.seek(reader.state.session.applied)
    assert source.state.versions == reader.state.versions
    assert source.state.best == reader.state.best


def test_it_names_no_place_of_the_machine(shipped: Path) -> None:
    for path in shipped.rglob("*.json*"):
        assert PATHS.search(path.read_bytes()) is None, path.name
