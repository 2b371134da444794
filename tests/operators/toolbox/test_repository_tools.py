"""The tools for a repository, and how short its opening stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import SessionRecord, Version
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.task import Configuration, TaskInfo
from avo_tui.operators.agent.prompts.opening import opening, task_text
from avo_tui.operators.seat.opening import seat_opening
from avo_tui.operators.toolbox import Toolbox
from avo_tui.operators.toolbox.switched_off import REPOSITORY_OPTION
from avo_tui.worktree import make_worktree, seed_of
from tests.operators.fake_workbench import FakeWorkbench
from tests.session_life import score

FILES = {
    "src/a.c": "int a(void)\n{\n    return 1;\n}\n",
    "src/b.c": "int b;\n",
    "tests/t.c": "int a(void);\nint main(void) { return a() != 1; }\n",
    "Makefile": "all:\n",
}


def sat_down(
    tmp_path: Path, files: dict[str, str], change: dict[str, str] | None = None
) -> FakeWorkbench:
    """A workbench whose task is a repository of these files; a change is the head, v1."""
    tree = tmp_path / "bases" / "0123" / "tree"
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / "tests/picture.bin").write_bytes(b"\0a\1")
    task = TaskInfo(
        name="r", title="r", language="repository", description="Make it faster.",
        baselines=("base",), configurations=(Configuration(name="m"),), reference_baseline="base",
        tree=str(tree), editable=("src/**",),
    )  # fmt: skip
    settings = RunSettings(operator="seat", options={REPOSITORY_OPTION: True})
    session = SessionRecord(name="s", task=task, created=now(), settings=settings)
    seed = seed_of(task)
    version = Version(
        number=0, parent=None, step=0, candidate=seed.id, score=score(1.0), author="seed",
        gate=GateDecision(gate="seed", accepted=True, reason="the seed"), created=now(),
    )  # fmt: skip
    journal: list[ev.Event] = [
        ev.SessionCreated(seq=1, session=session),
        ev.VersionCommitted(seq=2, step=0, version=version),
        ev.StepStarted(seq=3, step=1, parent=0),
    ]
    objects = {seed.id: seed.canonical()}
    if change is not None:
        head = Candidate(files={**seed.files, **change})
        objects[head.id] = head.canonical()
        of_head = {"number": 1, "parent": 0, "step": 1, "candidate": head.id, "author": "seat"}
        journal.append(ev.VersionCommitted(seq=4, step=1, version=version.replaced(**of_head)))
        journal.append(ev.StepStarted(seq=5, step=2, parent=1))
    return FakeWorkbench(journal=journal, objects=objects, step=1 if change is None else 2)


async def test_files_are_listed_searched_and_read(tmp_path: Path) -> None:
    box = Toolbox(sat_down(tmp_path, FILES))
    listed = await box.call("list_files", {})
    assert "src/a.c  4 lines, editable" in listed.text and "\nMakefile" in f"\n{listed.text}"
    hits = await box.call("search_files", {"pattern": r"\ba\(", "folder": ""})
    assert [line.split(": ")[0] for line in hits.text.splitlines()] == [
        "src/a.c:1", "tests/t.c:1", "tests/t.c:2",
    ]  # fmt: skip
    below = await box.call("search_files", {"pattern": "a", "folder": "tests"})
    assert "src/" not in below.text and "picture" not in below.text
    own = await box.call("search_files", {"pattern": "int", "editable_only": True})
    assert "tests/" not in own.text
    part = await box.call("read_file", {"file": "tests/t.c", "first_line": 2})
    assert "stays as it is" in part.text and "2│int main" in part.text and "1│" not in part.text


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("read_file", {"file": "../secret"}, "leads out of the repository"),
        ("read_file", {"file": "none.c"}, "no file 'none.c'"),
        ("read_file", {"file": "tests/picture.bin"}, "binary"),
        ("search_files", {"pattern": "("}, "no regular expression"),
        ("list_files", {"folder": "nowhere"}, "no file below nowhere"),
        ("take_worktree", {"folder": "tree"}, "whole path"),
        ("take_worktree", {"folder": "/"}, "no worktree of avo"),
        ("scratch", {}, "repository"),
    ],
)
async def test_what_cannot_be_done_is_a_sentence(
    tmp_path: Path, tool: str, arguments: dict[str, object], words: str
) -> None:
    result = await Toolbox(sat_down(tmp_path, FILES)).call(tool, arguments)
    assert not result.ok and words in result.text


async def test_a_worktree_becomes_the_working_candidate(tmp_path: Path) -> None:
    bench = sat_down(tmp_path, FILES)
    tree = tmp_path / "tree"
    make_worktree(tree, bench.reading.task, None)
    (tree / "src/a.c").write_text("int a(void) { return 1; }\n")
    (tree / "src/b.c").unlink()
    (tree / "src/new.c").write_text("int n;\n")
    box = Toolbox(bench)
    result = await box.call("take_worktree", {"folder": str(tree)})
    assert result.ok and set(box.workspace.working.files) == {"src/a.c", "src/new.c"}
    listed = await box.call("list_files", {})
    assert "src/a.c  1 lines, editable, changed" in listed.text and "src/new.c" in listed.text
    (tree / "Makefile").write_text("all: evil\n")
    refused = await box.call("take_worktree", {"folder": str(tree)})
    assert not refused.ok and "Makefile is not editable" in refused.text


def test_an_opening_on_500_files_holds_no_sources(tmp_path: Path) -> None:
    many = {f"src/d{n % 20}/file{n}.c": f"int unlikely_{n};\n" * 200 for n in range(500)}
    bench = sat_down(tmp_path, {**many, "tests/t.c": "\n"})
    for text in _openings(bench):
        assert "unlikely_7" not in text
        assert "It is the base.\nlist_files, search_files and read_file" in text
        assert len(text) + len(task_text(bench.reading.task, None)) < 4 * 16_000


def test_an_opening_shows_what_the_head_changes_and_cuts_what_is_long(tmp_path: Path) -> None:
    for number, body in enumerate(("int quick(void);\n", "int many(void);\n" * 5_000)):
        bench = sat_down(tmp_path / str(number), FILES, {"src/b.c": body})
        for text in _openings(bench):
            assert "What it changes in the base:" in text and "It is the base." not in text
            assert "src/b.c" in text and "-int b;" in text and f"+{body.splitlines()[0]}" in text
            assert "return 1;" not in text  # of a file that is as it was
            assert ("diff_versions has all of it" in text) == bool(number)
            assert len(text) < 24_000


def _openings(bench: FakeWorkbench) -> tuple[str, str]:
    return opening(bench, ()), seat_opening(bench, (), Toolbox(bench).workspace, set())
