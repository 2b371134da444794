"""A small repository whose commands are shell scripts, so that nothing of it takes time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.report import EvaluationReport, Stage
from avo_tui.evaluation.backends.command import base as bases
from avo_tui.evaluation.backends.command import store
from avo_tui.evaluation.pipeline import Pipeline
from tests.evaluation.asking import evaluated

TOML = """
[project]
title = "A counter"
base = "{base}"
editable = ["src/**"]

[build]
command = "sh build.sh"

[test]
command = "sh tests/run.sh"

[benchmark]
command = "sh bench.sh"
format = "json"
metrics = ["time"]
unit = "ms"
better = "lower"
cores = 0
{more}
"""
FILES = {
    "src/time": "20\n",
    "src/answer": "42\n",
    "src/note.txt": "kept\n",
    "build.sh": "mkdir -p out && cat src/* > out/all\n",
    "tests/run.sh": "grep -q 42 out/all || { echo 'FAIL: answer'; exit 1; }\n",
    "bench.sh": 'printf \'{"time": %s}\' "$(cat src/time)"\n',
}


class Repository:
    """A repository that was adopted, and what evaluates it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = ""

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def adopt(self, more: str = "", toml: str = TOML) -> None:
        base = bases.copied(self.folder).id
        (self.folder / "avo.toml").write_text(toml.format(base=f"sha256:{base}", more=more))
        self.name = store.adopt(self.folder)

    def adopt_as_it_is(self) -> None:
        """What a person does who agrees to what the `avo.toml` asks for."""
        self.name = store.adopt(self.folder)

    async def evaluate(
        self, change: dict[str, str | None], upto: Stage = "benchmark"
    ) -> EvaluationReport:
        """The report on the base with some files changed; None deletes one."""
        pipeline = Pipeline()
        try:
            files: dict[str, str | None] = {**pipeline.tasks.get(self.name).seed().files, **change}
            kept = {name: text for name, text in files.items() if text is not None}
            return await evaluated(pipeline, self.name, Candidate(files=kept), upto, lambda _: None)
        finally:
            await pipeline.close()


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Repository]:
    """Makes a repository of `FILES`, changed by what is given; what we keep is in tmp_path."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("AVO_CACHE", str(tmp_path / "cache"))

    def build(files: dict[str, str] | None = None, more: str = "") -> Repository:
        repository = Repository(tmp_path / "counter")
        repository.write({**FILES, **(files or {})})
        repository.adopt(more)
        return repository

    return build
