"""A small sound task in C++, to be broken in one place by a test."""

TASK = """\
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.cases import Perturbation
from avo_tui.evaluation.task import Argument, CheckCase, Task, Tolerance

SCORED = (Configuration(name="rows-64", parameters={"rows": 64, "fast": True, "eps": 0.5}),)
ODD = Configuration(name="odd", parameters={"rows": 3, "fast": False, "eps": 0.5})


class RowSum(Task):
    name = "rowsum"
    title = "Sums of rows"
    language = "cpp"
    device = "cpu"
    unit = "GB/s"
    reference_baseline = "torch"
    baseline_names = ("torch",)
    entry = "rowsum"
    arguments = (
        Argument("x", "input"),
        Argument("out", "output"),
        Argument("rows", "size"),
        Argument("fast", "flag"),
        Argument("eps", "real"),
    )
    tolerance = Tolerance(factor=8.0, per_row=False)
    tolerances = {"out": Tolerance(factor=8.0, floor=1e-4, rms_factor=8.0, per_row=False)}
    axes = {"out": ("row",)}
    timed = ("normal",)
    threads = 1
    description = "`out[i]` is the sum of row i of `x`."

    @property
    def configurations(self):
        return SCORED

    def check_cases(self):
        return (
            CheckCase(ODD, "normal", hidden=True, category="few rows", perturb=True),
            CheckCase(SCORED[0], "normal"),
        )

    def make_inputs(self, configuration, seed, distribution):
        import torch

        generator = torch.Generator().manual_seed(seed)
        return {"x": torch.randn((configuration.parameters["rows"], 32), generator=generator)}

    def outputs(self, configuration):
        return {"out": ((configuration.parameters["rows"],), "float32")}

    def reference(self, configuration, inputs):
        return {"out": inputs["x"].double().sum(-1)}

    def baselines(self):
        return {"torch": lambda configuration, inputs: {"out": inputs["x"].sum(-1)}}

    def flops(self, configuration):
        return 32.0 * configuration.parameters["rows"]

    def bytes_moved(self, configuration):
        return 128.0 * configuration.parameters["rows"]

    def perturb(self, configuration, inputs, seed):
        import torch

        x = inputs["x"].clone()
        x[0] = 1.0
        same = torch.ones(len(x), dtype=torch.bool)
        same[0] = False
        return Perturbation(inputs={"x": x}, unaffected={"out": same}, meaning="another row")
"""
