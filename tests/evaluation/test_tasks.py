"""Finding tasks: quickly, without torch, and in spite of broken ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from avo_tui.cli.errors import sentence
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.tasks import find_tasks, load_task
from tests.evaluation.evaluation_support import TASKS

_SOUND = (
    (TASKS / "tiny_attention" / "task.py")
    .read_text()
    .replace("Path(__file__).resolve().parents[4]", f"Path({str(TASKS.parents[2])!r})")
)


def write(root: Path, name: str, text: str, seed: bool = True) -> Path:
    folder = root / name
    (folder / "seed").mkdir(parents=True)
    (folder / "task.py").write_text(text)
    if seed:
        (folder / "seed" / "kernel.cpp").write_text("// nothing yet\n")
    else:
        (folder / "seed").rmdir()
    return folder


def test_lists_the_shipped_task_without_torch() -> None:
    script = (
        "import sys; from avo_tui.evaluation.tasks import find_tasks; "
        "print([i.name for i in find_tasks().infos()]); "
        "print([m for m in ('torch', 'textual', 'anthropic', 'cuda') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        cwd=TASKS.parents[2],
    )  # fmt: skip
    names, loaded = done.stdout.splitlines()
    assert "'attention_cpu'" in names
    assert loaded == "[]"


def test_importing_the_worker_loads_no_screen_and_no_agent() -> None:
    script = (
        "import sys, avo_tui.evaluation.evaluators, avo_tui.evaluation.serve, "
        "avo_tui.evaluation.backends.cpp.backend; "
        "print([m for m in ('torch', 'textual', 'anthropic', 'cuda') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import a_module_that_is_not_there\n", "line 1.*a_module_that_is_not_there"),
        ("x = 1\n", "must define one subclass of Task; it has 0"),
        (_SOUND, "calls itself 'tiny_attention', not 'odd'"),
        (
            "from avo_tui.evaluation.task import Task\nclass Odd(Task):\n    name = 'odd'\n",
            "lacks .*make_inputs",
        ),
        (_SOUND.replace('"tiny_attention"', '"odd"') + "    threads = 1 / 0\n", "ZeroDivision"),
        (
            _SOUND.replace('"tiny_attention"', '"odd"').replace('"causal-64"', '"full-64"'),
            "two configurations have the same name",
        ),
    ],
)
def test_a_broken_task_is_named_and_hides_no_other(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path, "odd", text)
    write(tmp_path, "tiny_attention", _SOUND)
    tasks = find_tasks(tmp_path)
    assert tasks.load("tiny_attention").name == "tiny_attention"
    with pytest.raises(EvaluatorError, match=f"(?s)task odd is broken: .*{says}"):
        tasks.get("odd")


def test_a_task_without_a_seed_says_so(tmp_path: Path) -> None:
    folder = write(tmp_path, "tiny_attention", _SOUND, seed=False)
    with pytest.raises(EvaluatorError, match="no folder seed/"):
        load_task(folder)


def test_an_unknown_task_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(EvaluatorError, match=r"no task 'nothing'; the tasks are: .*attention_cpu"):
        find_tasks(tmp_path).get("nothing")


def test_the_named_folder_wins(tmp_path: Path) -> None:
    renamed = _SOUND.replace("TinyAttention", "AttentionCpu")
    write(tmp_path, "attention_cpu", renamed.replace('"tiny_attention"', '"attention_cpu"'))
    task = find_tasks(tmp_path).get("attention_cpu")
    assert task.folder == tmp_path / "attention_cpu"
    assert list(task.seed().files) == ["kernel.cpp"]


def test_the_public_face_hides_hidden_configurations() -> None:
    task = find_tasks().get("attention_cpu")
    text = task.info().model_dump_json()
    hidden = [c.configuration.name for c in task.check_cases() if c.hidden]
    assert hidden and not any(f'"{name}"' in text for name in hidden)
    shown = {c.name: (task.flops(c), task.bytes_moved(c)) for c in task.configurations}
    assert find_tasks().info("attention_cpu").work == shown


def test_the_seed_declares_tunables() -> None:
    source = find_tasks().get("attention_cpu").seed().files["attention.cpp"]
    lines = [line for line in source.splitlines() if "// tune:" in line]
    assert len(lines) >= 10
    for line in lines:
        name, value = line.split("constexpr int ")[1].split(";")[0].split(" = ")
        values = line.split("// tune:")[1].split("(")[0].split()
        assert value in values, f"{name} starts outside its values"


def test_names_of_a_strange_folder_move_no_cursor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as `kernels/` of a repository that was just cloned; nothing of it is run."""
    folder = tmp_path / "kernels" / "\x1b]0;title\x07task\n"
    (folder / "seed-\x1b[31mrust").mkdir(parents=True)
    (folder / "seed-rust").mkdir()
    (folder / "task.py").write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    tasks = find_tasks()
    names = [name for name in tasks.names if "title" in name]
    assert names == ["\ufffd]0;title\ufffdtask", "\ufffd]0;title\ufffdtask@rust"]
    with pytest.raises(EvaluatorError, match="was not trusted yet") as caught:
        tasks.get(names[0])
    assert sentence(caught.value).isprintable()
