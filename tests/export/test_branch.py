"""A repository's best line as a branch that applies to a clean copy, in words for a maintainer."""

import re
import subprocess
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.records import Version
from avo_tui.domain.repository import MEASURED_BY, Proof
from avo_tui.domain.score import PairedMeasurement
from avo_tui.export.branch import Origin, as_branch
from avo_tui.export.folder import ExportError
from avo_tui.store import SessionReader, SessionWriter
from avo_tui.worktree import make_worktree, seed_of
from tests.session_life import AT, gate, score, session_record

IDEA = "decode pairs of characters by one table of sixteen bits, which halves the loads of the loop"
SUMMARY = f"{IDEA}. The four-byte loop stays for what is left.\nIt costs 12 KB."


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, check=True)
    return done.stdout.decode()


PLAN = "two at a time\n- [>] the table\n- [ ] encode, later"


@pytest.fixture
def reader(tmp_path: Path) -> SessionReader:
    return recorded(tmp_path, IDEA, PLAN, SUMMARY)


def recorded(tmp_path: Path, idea: str, plan: str, summary: str, origin: str = "") -> SessionReader:
    tree = tmp_path / "bases" / "0123" / "tree"
    (tree / "src").mkdir(parents=True)
    (tree / "src/a.c").write_text("one\ntwo\n")
    (tree / "src/b.c").write_text("old\n")
    (tree / "Makefile").write_text("all check:\n\t@echo made $@\n")
    (tree / "GNUmakefile").symlink_to("Makefile")
    record = session_record("one", 1)
    told = {"tree": str(tree), "editable": ("src/**",), "measured_by": MEASURED_BY}
    task = record.task.replaced(**told)
    seed = seed_of(task)
    sources = [seed, seed.with_file("src/a.c", "one\n2\n"), Candidate(files={"src/c/n.c": "n\n"})]
    folder = tmp_path / "sessions" / "one"
    folder.parent.mkdir()
    with SessionWriter.create(folder, record.replaced(task=task)) as writer:
        for number, candidate in enumerate(sources):
            version = Version(
                number=number, parent=number - 1 if number else None, step=number,
                candidate=writer.put(candidate.canonical()), score=score(1 + number),
                gate=gate().replaced(interval=(0.01, 0.03), replicates=8), idea=idea,
                plan=plan, summary=summary, origin=origin if number else "",
                author="seat" if number else "seed", created=AT,
            )  # fmt: skip
            writer.record(ev.VersionCommitted(version=version))
    return SessionReader.open(folder)


def proof(candidate: Candidate) -> Proof:
    assert candidate.files == {"src/c/n.c": "n\n"}
    pairs = [PairedMeasurement(configurations={"c0": (g, g, g)}) for g in (1.2, 1.22, 1.18, 1.2)]
    return Proof(
        replicates=tuple(pairs), score=score(1.2, 1), checks=("tests passed 7 tests",),
        device="a CPU, 1 core", commands=("make", "make check; cat src/c/n.c || exit 1"),
    )  # fmt: skip


def test_a_branch_applies_to_a_clean_copy_and_tells_what_changed(
    reader: SessionReader, tmp_path: Path
) -> None:
    to, origin = tmp_path / "out", Origin(folder=tmp_path, commit="")
    as_branch(reader, to, None, origin, proof)
    clean = tmp_path / "clean"
    subprocess.run(["cp", "-a", reader.state.session.task.tree, clean], check=True)
    git(clean, "init", "-q", ".")
    git(clean, "add", "-A")
    git(clean, "commit", "-qm", "base")
    git(clean, "am", "-q", str(to / "changes.patch"))
    left = {p.relative_to(clean).as_posix() for p in clean.rglob("*") if ".git" not in p.parts}
    assert left == {"GNUmakefile", "Makefile", "src", "src/c", "src/c/n.c"}
    assert (to / "repository" / "GNUmakefile").is_symlink()
    make_worktree(tmp_path / "tree", reader.state.session.task, None)
    assert (tmp_path / "tree" / "GNUmakefile").is_symlink()
    assert git(to / "repository", "branch", "--show-current").strip() == "avo/one"
    messages = git(to / "repository", "log", "--format=%B", "-2")
    assert "…" not in messages and "[>]" not in messages and "[ ]" not in messages
    assert messages.startswith("two at a time\n\n") and "It costs 12 KB." in messages
    assert "in 8 pairs" in " ".join(messages.split())
    assert all(len(line) <= 72 for line in messages.splitlines())
    page = (to / "PULL_REQUEST.md").read_text()
    assert "Measured by the project's own benchmark" in page and "git am changes.patch" in page
    assert "**+20.0%**" in page and "- tests passed 7 tests" in page and "make check" in page


def test_a_long_first_line_gives_whole_clauses(tmp_path: Path) -> None:
    title = (
        "one buffer for what is written, scanned 16 bytes at a time, which loads and dumps share"
    )
    reader = recorded(tmp_path, title, title, f"{title}\nNothing else changed.")
    as_branch(reader, tmp_path / "out", None, Origin(folder=tmp_path, commit=""), proof)
    subject = git(tmp_path / "out" / "repository", "log", "--format=%s", "-1").strip()
    assert subject == "one buffer for what is written, scanned 16 bytes at a time"
    assert f"{title}. Nothing else changed." in (tmp_path / "out" / "PULL_REQUEST.md").read_text()


def test_a_version_of_another_line_is_told_as_what_it_is(tmp_path: Path) -> None:
    idea = "one pass in place of two"
    plan = f"carried over from race.1:7: {idea}"
    reader = recorded(tmp_path, "", plan, "", origin="race.1:7")
    as_branch(reader, tmp_path / "out", None, Origin(folder=tmp_path, commit=""), proof)
    assert git(tmp_path / "out/repository", "log", "--format=%s", "-1").strip() == idea
    assert f"- {idea}" in (tmp_path / "out/PULL_REQUEST.md").read_text()


def test_a_branch_of_a_checkout_begins_at_its_commit(reader: SessionReader, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    subprocess.run(["cp", "-r", reader.state.session.task.tree, home / "lib"], check=True)
    git(home, "init", "-q", ".")
    git(home, "add", "-A")
    git(home, "commit", "-qm", "base")
    commit = git(home, "rev-parse", "HEAD").strip()
    to, origin = tmp_path / "out", Origin(folder=home / "lib", commit=commit, prefix="lib")
    huge = PairedMeasurement(configurations={"c0": (203.0, 203.0, 203.0)})
    as_branch(reader, to, None, origin, lambda c: proof(c).replaced(replicates=(huge,) * 4))
    page = (to / "PULL_REQUEST.md").read_text()
    assert page.startswith("# ") and page.partition("\n")[0].endswith(": 203×")
    assert re.search(r"\*\*203×\*\* \(95%: \d+× to \d+×\) over", page)
    assert re.search(r"\| 203× \(\d+× to \d+×\) \|", page)
    assert "it need not be the columns' ratio" in page
    assert git(to / "repository", "rev-parse", "avo/one~2").strip() == commit
    changed = git(to / "repository", "diff", "--name-only", commit, "avo/one").split()
    assert changed == ["lib/src/a.c", "lib/src/b.c", "lib/src/c/n.c"]
    assert git(home, "status", "--porcelain") == ""
    again = page.split("```")[1]
    git(tmp_path, "clone", "-q", "home", "again")
    for named in (False, True):
        if named:
            git(tmp_path / "again", "remote", "add", "repository", str(to / "repository"))
        run = subprocess.run(
            ["sh", "-c", again], cwd=tmp_path / "again", capture_output=True, text=True, check=False
        )
        assert (run.returncode == 0) is named
        assert run.stdout == ("made all\nmade check\nn\n" if named else "")


@pytest.mark.parametrize("module", ["vendored", "src/c"])
def test_a_branch_says_which_change_is_in_a_submodule(
    reader: SessionReader, tmp_path: Path, module: str
) -> None:
    """Elsewhere a submodule stays what it is."""
    home = tmp_path / "home"
    subprocess.run(["cp", "-r", reader.state.session.task.tree, home], check=True)
    git(home, "init", "-q", ".")
    git(home, "add", "-A")
    git(home, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},{module}")
    git(home, "commit", "-qm", "base")
    origin = Origin(folder=home, commit=git(home, "rev-parse", "HEAD").strip())
    if module == "src/c":
        with pytest.raises(ExportError, match=r"src/c/n\.c is in the submodule src/c"):
            as_branch(reader, tmp_path / "out", None, origin, proof)
    else:
        assert as_branch(reader, tmp_path / "out", None, origin, proof).versions == (1, 2)


def test_what_does_not_hold_from_nothing_is_not_offered(
    reader: SessionReader, tmp_path: Path
) -> None:
    def fails(candidate: Candidate) -> Proof:
        raise ExportError("the tests fail")

    with pytest.raises(ExportError, match="the tests fail"):
        as_branch(reader, tmp_path / "out", None, Origin(folder=tmp_path, commit=""), fails)
    assert not (tmp_path / "out").exists()
