"""Every single fault in a task file is told in one sentence with the file and the line."""

# ruff: noqa: E501  (a row of the tables is read as one)

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from avo_tui.evaluation import task_dynamic_checks
from avo_tui.evaluation.pool import Pool
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import CheckCase
from avo_tui.evaluation.tasks import find_tasks, load_task
from tests.evaluation.rowsum_task import TASK

LOADING = [
    # (what is replaced, by what, the line that is named by its text, the sentence)
    ("def reference(self, configuration, inputs):", "def reference(self, configuration, inputs)",
     "def reference", "SyntaxError: expected ':'"),
    ("    unit =", "   unit =", "unit =", "IndentationError"),
    ("from avo_tui.domain.task import Configuration", "from avo_tui.domain import Konfiguration",
     "Konfiguration", "ImportError"),
    ("import Argument,", "import Argumnt,", "Argumnt", "ImportError: cannot import name 'Argumnt'"),
    ("SCORED = (", "SCORED = undefined_name, (", "undefined_name", "NameError"),
    ('"eps": 0.5}),)', '"eps": [1]}),)', "SCORED = ", "ValidationError"),
    ('name="rows-64"', 'name="rows 64"', "SCORED = ", "ValidationError"),
    ("class RowSum(Task):", "class RowSum:", "", "must define one subclass of Task; it has 0"),
    ("class RowSum(Task):", "class Other(Task): pass\nclass RowSum(Task):", "", "it has 2"),
    ("def flops(self, configuration):", "def flop(self, configuration):", "class RowSum", "lacks flops"),
    ("def outputs(", "def output(", "class RowSum", "lacks outputs"),
    ('name = "rowsum"', 'name = "other"', "name = ", "calls itself 'other', not 'rowsum'"),
    ('    title = "Sums of rows"\n', "", "class RowSum", "does not set title"),
    ('title = "Sums of rows"', "title = 3", "title = ", "title is an int; it must be a text"),
    ('description = "`out[i]` is the sum of row i of `x`."', 'description = " "', "description",
     "description is empty"),
    ('language = "cpp"', 'language = "c++"', "language", "no backend for the language 'c\\+\\+'"),
    ('unit = "GB/s"', 'unit = "fast"', "unit = ", "the unit 'fast' is not known"),
    ('reference_baseline = "torch"', 'reference_baseline = "mkl"', "reference_baseline",
     "reference_baseline is not among baseline_names"),
    ('baseline_names = ("torch",)', 'baseline_names = "torch"', "baseline_names",
     "baseline_names must be a tuple"),
    ('entry = "rowsum"', 'entry = ""', "entry", "extern"),
    ('entry = "rowsum"', 'entry = "row-sum"', "entry", "extern"),
    ('Argument("x", "input")', 'Argument("x", "in")', "arguments", "of kind 'in'"),
    ('Argument("x", "input")', 'Argument("x", "input", "float31")', "Argument(\"x\"",
     "there is no dtype 'float31'"),
    ('Argument("x", "input")', 'Argument("double", "input")', "arguments", "no name in C\\+\\+"),
    ('Argument("x", "input")', 'Argument("out", "input")', "arguments", "two arguments are called out"),
    ('Argument("x", "input")', '("x", "input")', "arguments", "must be a tuple of Argument"),
    ('Argument("out", "output")', 'Argument("out", "input")', "arguments", "no argument is an output"),
    ('Argument("rows", "size")', 'Argument("columns", "size")', "def configurations",
     "rows-64 has no parameter columns"),
    ('{"rows": 64, "fast": True,', '{"rows": 64, "fast": 1,', "def configurations",
     "the parameter fast of rows-64 is 1; the argument is a flag"),
    ('{"rows": 3, "fast": False,', '{"rows": "3", "fast": False,', "def check_cases",
     "the parameter rows of odd is '3'; the argument is a size"),
    ("tolerance = Tolerance(factor=8.0, per_row=False)", "tolerance = 1e-4", "tolerance = ",
     "tolerance is a float; it must be a Tolerance"),
    ("tolerance = Tolerance(factor=8.0,", "tolerance = Tolerance(factor=-1.0,", "tolerance = ",
     "factor=-1.0"),
    ('tolerances = {"out": Tolerance(', 'tolerances = {"out": dict(', "tolerances",
     "tolerances\\['out'\\] is a dict"),
    ("tolerances = {", 'tolerances = [] and {', "tolerances", "tolerances must be a dict"),
    ('timed = ("normal",)', 'timed = "normal"', "timed", "timed must be a tuple"),
    ('timed = ("normal",)', "timed = ()", "timed", "timed must be a tuple"),
    ("threads = 1", "threads = 0", "threads", "threads is 0"),
    ("threads = 1", "threads = 1\n    call_seconds = -1", "call_seconds", "call_seconds is -1"),
    ("threads = 1", "threads = 1\n    least_breadth = 0", "least_breadth", "least_breadth is 0"),
    ("threads = 1", "threads = 1\n    max_error_ratio = 0", "max_error_ratio", "max_error_ratio is 0"),
    ("        return SCORED\n", "        return SCORED[1]\n", "return SCORED", "IndexError"),
    ("        return SCORED\n", "        return SCORED[0]\n", "def configurations",
     "must be a tuple of Configuration"),
    ("        return SCORED\n", "        return ()\n", "def configurations", "no configurations"),
    ("        return SCORED\n", "        return SCORED + SCORED\n", "def configurations",
     "two configurations have the same name"),
    ("CheckCase(SCORED[0], \"normal\")", "SCORED[0]", "def check_cases", "tuple of CheckCase"),
    ("CheckCase(SCORED[0], \"normal\")", "CheckCase(\"rows-64\", \"normal\")", "def check_cases",
     "a str for a Configuration"),
    ("CheckCase(SCORED[0], \"normal\")", "CheckCase(SCORED[0], None)", "def check_cases",
     "names no distribution"),
    ("        return (\n            CheckCase", "        return ()\n        (\n            CheckCase",
     "def check_cases", "returns no case"),
    ('return 32.0 * configuration.parameters["rows"]', 'return 32.0 * configuration.parameters["n"]',
     "return 32.0", "flops raises KeyError"),
    ('return 32.0 * configuration.parameters["rows"]', "return None", "def flops", "flops of rows-64"),
    ('return 32.0 * configuration.parameters["rows"]', "return float('nan')", "def flops",
     "flops of rows-64 is nan"),
    ('return 128.0 *', 'return -1 *', "def bytes_moved", "bytes_moved of rows-64 is"),
    ('return 128.0 *', 'return 0 *', "def bytes_moved",
     "the unit 'GB/s' counts bytes, and bytes_moved of rows-64 is 0"),
    ('    def bytes_moved(', '    def bytes(', "class RowSum",
     "define bytes_moved\\(self, configuration\\) in this class"),
    ('unit = "GB/s"', 'unit = "Mrow/s"', "class RowSum", "counts items, and items of rows-64 is 0"),
    ('device = "cpu"', 'device = "cuda"', "device", "a task in C\\+\\+ runs on the device 'cpu'"),
    ('    threads = 1', '    all_depends_on_all = True', "def check_cases",
     "all_depends_on_all says that"),
]  # fmt: skip

RUNNING = [
    ('return {"x": torch.randn', 'return {"y": torch.randn', "def make_inputs", "has no x"),
    ('return {"x": torch.randn((configuration.parameters["rows"], 32), generator=generator)}',
     'return torch.randn((configuration.parameters["rows"], 32), generator=generator)',
     "def make_inputs", "returns a Tensor; it must be a dict"),
    ('generator=generator)}', "generator=generator).double()}", "def make_inputs",
     "x as float64; the argument is float32"),
    ('generator=generator)}', "generator=generator).numpy()}", "def make_inputs",
     "returns a ndarray as x"),
    ("generator=generator)}", "generator=generator).t().contiguous().t()}", "def make_inputs",
     "not contiguous"),
    (", generator=generator)}", ")}", "def make_inputs", "global generator"),
    ("manual_seed(seed)", "manual_seed(0)", "def make_inputs", "for every seed"),
    ('generator=generator)}', "generator=generator) / 0}", "def make_inputs", "not finite"),
    ('(configuration.parameters["rows"], 32), g', '(configuration.parameters["row"], 32), g',
     'torch.randn', "make_inputs raises KeyError: 'row'"),
    ('((configuration.parameters["rows"],), "float32")', '(configuration.parameters["rows"],)',
     "def outputs", "not \\(shape, dtype\\)"),
    ('"float32")}', '"float64")}', "def outputs", "outputs says that out is float64"),
    ('return {"out": ((configuration', 'return {"o": ((configuration', "def outputs", "has no out"),
    ('"float32")}', '"float33")}', "def outputs", "float33"),
    ('inputs["x"].double().sum(-1)', 'inputs["x"].double().sum(0)', "def reference",
     "of shape \\(32,\\)"),
    ('inputs["x"].double().sum(-1)', 'inputs["x"].half().sum(-1)', "def reference",
     "too little precision"),
    ('return {"out": inputs["x"].double().sum(-1)}', 'return {"o": inputs["x"].double().sum(-1)}',
     "def reference", "no tensor out; it returns o"),
    ('return {"out": inputs["x"].double().sum(-1)}', 'return inputs["x"].sun()', "return inputs",
     "reference raises AttributeError"),
    ('inputs["x"].double().sum(-1)', 'inputs["x"].mul_(2).double().sum(-1)', "def reference",
     "reference changes its input x"),
    ('inputs["x"].double().sum(-1)', 'inputs["x"].double().mean(-1)', "",
     "the baseline torch and reference disagree on out"),
    ('{"out": inputs["x"].sum(-1)}}', 'inputs["x"].sum(-1)}', "", "returns a Tensor"),
    ('return {"torch": lambda', 'return {"mkl": lambda', "def baselines",
     "baselines has no 'torch', the reference baseline"),
    ('{"out": inputs["x"].sum(-1)}}', '{"out": inputs["y"].sum(-1)}}', 'inputs["y"]',
     "the baseline torch raises KeyError: 'y'"),
    ('{"out": inputs["x"].sum(-1)}}', '{"out": inputs["x"].sum(0)}}', "def baselines",
     "the baseline torch returns out of shape"),
    ('axes = {"out": ("row",)}', 'axes = {"o": ("row",)}', "axes", "axes names o, which is no output"),
    ('axes = {"out": ("row",)}', 'axes = {"out": ("row", "column")}', "axes", "names 2 dimensions"),
    ('tolerances = {"out"', 'tolerances = {"o"', "tolerances", "names o, which is no output"),
    ("floor=1e-4, rms_factor=8.0,", "floor=10.0, rms_factor=8.0, rms_floor=10.0,", "class RowSum",
     "writes zeros passes"),
    ('unaffected={"out": same}', 'unaffected={"o": same}', "def perturb", "'o', which is no output"),
    ("        return Perturbation(", "        Perturbation(", "def perturb", "perturb returns None"),
    ('inputs={"x": x}', 'inputs={"z": x}', "def perturb", "'z', which is no input"),
    ('inputs={"x": x}', 'inputs={"x": x[:2].clone()}', "def perturb",
     "perturb gives x of shape \\(2, 32\\); make_inputs gives \\(3, 32\\)"),
    ('inputs={"x": x}', 'inputs={"x": x.double()}', "def perturb", "perturb gives x as float64"),
    ('inputs={"x": x}', 'inputs={"x": x.tolist()}', "def perturb", "perturb gives a list as x"),
    ('inputs={"x": x}', 'inputs=[x]', "def perturb", "perturb gives a list as inputs"),
    ('inputs={"x": x}', 'inputs={"x": x.t().contiguous().t()}', "def perturb",
     "perturb gives x that is not contiguous"),
    ('x[0] = 1.0', 'x[0] = float("inf")', "def perturb", "perturb gives x with values that are not"),
    ('x[0] = 1.0', 'pass', "def perturb", "perturb changes no input of odd"),
    ('x[0] = 1.0', 'x[1] = 1.0', "def perturb",
     "2 values of out stay unaffected in odd, and 1 of them change by the task's own reference"),
    ('x[0] = 1.0', 'x[0] = x[0].flip(0)', "def perturb", "changes no output at all"),
    ('x[0] = 1.0', 'x[0] = torch.rand(())', "def perturb", "two different perturbations for one seed"),
    ('x = inputs["x"].clone()', 'x = inputs["x"]', "def perturb", "changes its input x in place"),
    ('same[0] = False', 'same = same.float()', "def perturb", "mask of out is torch.float32"),
    ('same[0] = False', 'same = same.repeat(2)', "def perturb", "which does not fit out of shape"),
    ('same[0] = False', 'same[:] = False', "def perturb", "no value of out unaffected"),
    ('unaffected={"out": same}', "unaffected={}", "def perturb", "of no output what stays"),
    ('inputs["x"].double().sum(-1)', '(1 / (inputs["x"].double().sum(-1) - 32)).log1p()', "def perturb",
     "on the inputs that perturb gives, out is not finite"),
]  # fmt: skip


def _folder(root: Path, text: str) -> Path:
    folder = root / "rowsum"
    (folder / "seed").mkdir(parents=True)
    (folder / "task.py").write_text(text)
    (folder / "seed" / "rowsum.cpp").write_text("// nothing yet\n")
    return folder


def _changed(old: str, new: str) -> str:
    assert old in TASK
    return TASK.replace(old, new, 1)


def _check(sentence: str, folder: Path, text: str, marked: str, says: str) -> None:
    assert str(folder / "task.py") in sentence
    assert "\n" not in sentence
    assert re.search(says, sentence), sentence
    if marked:
        line = next(n for n, row in enumerate(text.splitlines(), 1) if marked in row)
        assert f"(line {line})" in sentence, f"{sentence} instead of line {line}"


def test_without_a_fault_nothing_is_said(tmp_path: Path) -> None:
    task = load_task(_folder(tmp_path, TASK))
    assert [f.text(task) for f in task_dynamic_checks.all_cases(task, 1e9)] == []
    task_dynamic_checks.first_look(task)


@pytest.mark.parametrize(("old", "new", "marked", "says"), LOADING)
def test_a_fault_that_is_seen_when_the_task_is_loaded(
    tmp_path: Path, old: str, new: str, marked: str, says: str
) -> None:
    text = _changed(old, new)
    folder = _folder(tmp_path, text)
    with pytest.raises(EvaluatorError) as caught:
        find_tasks(tmp_path).load("rowsum")
    _check(str(caught.value), folder, text, marked, says)


@pytest.mark.parametrize(("old", "new", "marked", "says"), RUNNING)
def test_a_fault_that_is_seen_when_its_methods_are_run(
    tmp_path: Path, old: str, new: str, marked: str, says: str
) -> None:
    text = _changed(old, new)
    folder = _folder(tmp_path, text)
    task = load_task(folder)
    sentences = [fault.text(task) for fault in task_dynamic_checks.all_cases(task, 1e9)]
    fitting = [s for s in sentences if re.search(says, s)]
    assert fitting, sentences
    _check(fitting[0], folder, text, marked, says)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rowsum.cpp", None, "no folder seed/"),
        ("rowsum.cu", b"// nothing yet", "no file that ends in .cpp"),
        ("rowsum.cpp", b"\xff\xfe", "are no candidate: .*utf-8"),
    ],
)
def test_a_fault_of_the_seed(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    folder = _folder(tmp_path, TASK)
    (folder / "seed" / "rowsum.cpp").unlink()
    if content is None:
        (folder / "seed").rmdir()
    else:
        (folder / "seed" / name).write_bytes(content)
    with pytest.raises(EvaluatorError, match=says):
        find_tasks(tmp_path).load("rowsum")


def test_there_are_eighty() -> None:
    assert len(LOADING) + len(RUNNING) + 3 >= 80


def test_a_perturbation_may_change_what_no_output_reads(tmp_path: Path) -> None:
    """Padding, say: then all outputs stay, and nothing is wrong with that."""
    padded = _changed('inputs["x"].double().sum(-1)', 'inputs["x"][:, :31].double().sum(-1)')
    padded = padded.replace('inputs["x"].sum(-1)', 'inputs["x"][:, :31].sum(-1)')
    padded = padded.replace("x[0] = 1.0", "x[:, 31] = 7.0").replace("same[0] = False", "")
    task = load_task(_folder(tmp_path, padded))
    assert [f.text(task) for f in task_dynamic_checks.all_cases(task, 1e9)] == []


def test_a_perturbation_that_names_one_input_leaves_the_others(tmp_path: Path) -> None:
    """A kernel is given all inputs, and what is told is what will be run."""
    task = load_task(_folder(tmp_path, TASK.replace('inputs={"x": x}', "inputs={'x': x}")))
    case = task.check_cases()[0]
    inputs = {**task.make_inputs(case.configuration, 1, "normal"), "more": torch.ones(3)}
    task.make_inputs = lambda *_: inputs  # type: ignore[method-assign]
    sample = Pool().get(task, case)
    assert sample.perturbation is not None
    assert torch.equal(sample.perturbation.inputs["more"], inputs["more"])
    assert not torch.equal(sample.perturbation.inputs["x"], inputs["x"])


def test_every_case_is_told_before_it_is_run(tmp_path: Path) -> None:
    task = load_task(_folder(tmp_path, TASK))
    seen: list[tuple[int, int, str]] = []

    def progress(number: int, count: int, case: CheckCase) -> None:
        seen.append((number, count, case.configuration.name))

    assert not list(task_dynamic_checks.all_cases(task, 1e9, progress=progress))
    assert seen == [(1, 2, "odd"), (2, 2, "rows-64")]
