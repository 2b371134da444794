"""tiny_attention on two threads, for what is different there."""

from pathlib import Path

from avo_tui.evaluation.tasks import load_task

_ONE = load_task(Path(__file__).resolve().parents[1] / "tiny_attention")


class TwoThreads(type(_ONE)):  # type: ignore[misc]
    name = "two_threads"
    threads = 2
