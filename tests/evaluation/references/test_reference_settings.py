"""`task.yml` from somebody else: arguments of numbers and texts, or one sentence."""

import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.references.files import first_arguments, gather, read_settings
from avo_tui.evaluation.references.source import BadReferenceError, Source

FILE = Path("task.yml")
REFERENCE = "from task import x\ndef generate_input(size, seed): ...\n"
SCALARS = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text(max_size=8)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3), max_leaves=6)


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join([*lines, f"benchmarks: [{{size: *a{levels - 1}}}]"])


def merges(levels: int) -> str:
    lines = ["a0: &a0 {k: 1}"]
    for n in range(1, levels):
        lines.append(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], k{n}: 1}}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(30), "an alias of a list or a mapping; write it out (line 2)"),
        (merges(30), "an alias of a list"),
        ("benchmarks: &b [{size: *b}]", "an alias of a list"),
        ("benchmarks: " + "[" * 99 + "]" * 99, "more than 16 lists"),
        ("tests: []\nbenchmarks: []\ntests: [1]", "the key 'tests' is there twice (line 3)"),
        ("benchmarks: [{size: 1, size: 2}]", "the key 'size' is there twice"),
        ("benchmarks: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("benchmarks: [{size: " + "9" * 6000 + "}]", "Exceeds the limit"),
        ("benchmarks: [{size: 0x" + "f" * 6000 + "}]", "a whole number of more than 63 bits"),
        ("benchmarks: [{size: 2020-01-01}]", "size is a date"),
        ("benchmarks: [{size: [1, !!binary aGVsbG8=]}]", "size is a bytes"),
        ("benchmarks: [{size: !!set {a, b}}]", "size is a set"),
        ('benchmarks: [{"\\e[2Jsize": 5}]', "cannot be the name of an argument"),
        ("benchmarks: [{5: 5}]", "'5' cannot be the name"),
        ("[1, 2]", "has no entries"),
        ("", "has no entries"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(text: str, words: str) -> None:
    with pytest.raises(EvaluatorError, match=re.escape(words)) as caught:
        first_arguments(read_settings(text, FILE), "benchmarks", FILE)
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


@settings(max_examples=20)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), VALUES, min_size=1))
def test_arguments_are_what_was_written(arguments: dict[str, object]) -> None:
    text = yaml.safe_dump({"benchmarks": [{**arguments, "seed": 7}]})
    assert first_arguments(read_settings(text, FILE), "benchmarks", FILE) == {
        name: value for name, value in arguments.items() if name != "seed"
    }


def test_an_alias_of_one_value_is_read() -> None:
    entries = read_settings("n: &n 64\nbenchmarks: [{size: *n}]", FILE)
    assert first_arguments(entries, "benchmarks", FILE) == {"size": 64}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "reference.py").write_text(REFERENCE)
    (tmp_path / "task.py").write_text("x = 1\n")
    (tmp_path / "task.yml").write_text("benchmarks: [{size: 64, seed: 1}]\n")
    return tmp_path


def test_a_folder_as_it_should_be(folder: Path) -> None:
    text, beside = gather(folder)
    assert text == REFERENCE and beside.values == {"size": 64} and "task" in beside.modules


@pytest.mark.parametrize("name", ["reference.py", "task.py", "task.yml"])
def test_a_file_of_a_gigabyte_is_not_read(folder: Path, name: str) -> None:
    os.truncate(folder / name, 1 << 30)
    with pytest.raises(EvaluatorError, match=r"is longer than"):
        gather(folder)


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    (folder / "reference.py").unlink()
    os.mkfifo(folder / "reference.py")
    with pytest.raises(EvaluatorError, match="is no file"):
        gather(folder)


def test_files_that_import_each_other_without_end_are_refused(folder: Path) -> None:
    (folder / "task.py").write_text("import m0\n")
    for number in range(40):
        (folder / f"m{number}.py").write_text(f"import m{number + 1}\n")
    with pytest.raises(EvaluatorError, match="imports more than 32 files"):
        gather(folder)


@pytest.mark.parametrize("name", ["a\\0b", "a" * 5000])
def test_a_name_that_no_file_can_have_is_passed_over(folder: Path, name: str) -> None:
    files = f'files: [{{name: task.py, source: "{name}"}}]\n'
    (folder / "task.yml").write_text(files + "benchmarks: [{size: 64}]\n")
    assert gather(folder)[1].modules == {"task": "x = 1\n"}


@pytest.mark.parametrize("text", ["x" + ".a" * 20_000, "-" * 20_000 + "1"])
def test_python_that_is_nested_too_deep_is_one_sentence(folder: Path, text: str) -> None:
    (folder / "task.py").write_text(text)
    assert "task" in gather(folder)[1].modules
    with pytest.raises(BadReferenceError, match="nested too deep"):
        Source(text, "reference.py")
