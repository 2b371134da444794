"""Settings from the file and the environment together."""

import os
from pathlib import Path

import pytest

from avo_tui.settings import Settings, settings

read = settings.__wrapped__
"""Reads them anew; `settings` keeps the first answer of a process."""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("AVO_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AVO_CONFIG", str(tmp_path / "config.toml"))
    return tmp_path / "config.toml"


def test_without_a_file_and_variables_everything_has_its_default(file: Path) -> None:
    assert read() == Settings()


def test_a_variable_wins_over_the_file_and_an_empty_one_says_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('model = "one"\ngate = "paper"\nbudget_usd = 5\n', encoding="utf-8")
    monkeypatch.setenv("AVO_MODEL", "two")
    monkeypatch.setenv("AVO_GATE", "")
    monkeypatch.setenv("AVO_BUDGET_USD", "7.5")
    monkeypatch.setenv("AVO_ALLOW_WEAK_SANDBOX", "true")
    monkeypatch.setenv("AVO_UNRELATED", "x")
    chosen = read()
    assert (chosen.model, chosen.gate, chosen.budget_usd) == ("two", "paper", 7.5)
    assert chosen.allow_weak_sandbox is True


def test_a_table_in_the_environment_is_json_and_adds_to_that_of_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('[agent]\neffort = "low"\nturns = 3\n[notify]\nquiet = "22:00-07:00"\n')
    monkeypatch.setenv("AVO_AGENT", '{"effort": "high"}')
    monkeypatch.setenv("AVO_NOTIFY", '{"most_an_hour": 2}')
    chosen = read()
    assert chosen.agent == {"effort": "high", "turns": 3}
    assert (chosen.notify.quiet, chosen.notify.most_an_hour) == ("22:00-07:00", 2)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("AVO_AGENT", "effort=high", "the variable AVO_AGENT is no JSON"),
        ("AVO_AGENT", "[1]", "the variable AVO_AGENT: agent: "),
        ("AVO_THEME", "pink", "the variable AVO_THEME: theme: "),
    ],
)
def test_a_wrong_variable_is_named(
    variable: str, value: str, says: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match="the variable") as raised:
        read()
    assert says in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        read()
    file.rmdir()
    file.write_bytes(b'model = "\xff"\n')
    with pytest.raises(ValueError, match=str(file)):
        read()
