import pytest

from avo_tui.operators.toolbox import Toolbox
from tests.operators.fake_workbench import FakeWorkbench

KEY = "sk-ant-test-0123456789-do-not-write-this"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    """A key in the environment, as a person would set it."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    return KEY


@pytest.fixture
def bench() -> FakeWorkbench:
    """A workbench without an engine."""
    return FakeWorkbench()


@pytest.fixture
def box(bench: FakeWorkbench) -> Toolbox:
    """The tools on it."""
    return Toolbox(bench)
