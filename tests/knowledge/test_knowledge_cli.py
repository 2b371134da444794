"""`avo knowledge …`, and what the package may import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from avo_tui.knowledge import base as base_module
from avo_tui.knowledge.cli import app, session_folder


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(base_module, "user_index", lambda: tmp_path / "user.sqlite")
    return CliRunner()


def test_search_as_text_and_json(runner: CliRunner) -> None:
    plain = runner.invoke(app, ["search", "wgmma.fence", "-n", "2"])
    assert plain.exit_code == 0
    assert (
        "builtin:hopper-wgmma.md#issue-fence-commit-wait-wgmma-fence-and-wait-group" in plain.stdout
    )
    document = json.loads(runner.invoke(app, ["search", "wgmma", "fence", "--json"]).stdout)
    assert document["query"] == "wgmma fence"
    assert document["hits"][0]["document"] == "builtin:hopper-wgmma.md"


def test_add_list_and_read(runner: CliRunner, tmp_path: Path) -> None:
    tree = tmp_path / "notes"
    tree.mkdir()
    (tree / "a.md").write_text("# Mine\n\n## Echidna\n\nspines\n")
    (tree / "b.bin").write_bytes(b"\x00\x01")
    added = runner.invoke(app, ["add", str(tree)])
    assert added.exit_code == 0, added.output
    assert "1 indexed" in added.stdout
    assert "b.bin: binary" in added.stdout
    again = json.loads(runner.invoke(app, ["add", str(tree), "--json"]).stdout)
    assert again["added"][0]["unchanged"] == 2
    assert "user:notes/a.md" in runner.invoke(app, ["list"]).stdout
    listed = json.loads(runner.invoke(app, ["list", "--json"]).stdout)
    assert {item["library"] for item in listed["documents"]} == {"builtin", "docs", "user"}
    assert "spines" in runner.invoke(app, ["read", "user:notes/a.md#echidna"]).stdout


def test_failures_are_one_line(runner: CliRunner, tmp_path: Path) -> None:
    for arguments in (
        ["add", str(tmp_path / "nothing")],
        ["read", "builtin:nothing.md"],
        ["search", "x", "--session", "nothing"],
    ):
        result = runner.invoke(app, arguments)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert result.stderr.startswith("avo knowledge: ")
    assert runner.invoke(app, ["search"]).exit_code == 2


def test_a_session_by_name_or_folder(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "sessions" / "one" / "journal").mkdir(parents=True)
    (tmp_path / "a.md").write_text("# A\n\nbilby\n")
    added = runner.invoke(app, ["add", "a.md", "-s", "one"])
    assert added.exit_code == 0, added.output
    found = runner.invoke(app, ["search", "bilby", "-s", str(tmp_path / "sessions" / "one")])
    assert "session:a.md#" in found.stdout


def test_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, avo_tui.knowledge, avo_tui.knowledge.cli; "
        "heavy = {'torch', 'textual', 'anthropic', 'cuda'} & set(sys.modules); "
        "inside = {m for m in sys.modules if m.startswith('avo_tui.') "
        "and m.split('.')[1] not in ('knowledge', 'domain', 'user_paths')}; "
        "sys.exit(f'{heavy} {inside}' if heavy or inside else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_documentation_is_searched_too(runner: CliRunner) -> None:
    done = runner.invoke(app, ["search", "how does the gate decide", "--json"])
    hits = json.loads(done.stdout)["hits"]
    assert "docs:gate.md#top" in {hit["id"] for hit in hits}
    assert "replicate" in runner.invoke(app, ["read", "docs:gate.md#top"]).stdout


def test_a_session_is_looked_for_where_sessions_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "journal").mkdir(parents=True)
    monkeypatch.setenv("AVO_SESSIONS", str(tmp_path))
    assert session_folder("mine") == tmp_path / "mine"
