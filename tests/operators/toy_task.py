"""A task for tests of operators, and its evaluation: the source says what comes out.

`SYNTAX` does not compile, `WRONG` is wrong, and `speed = 1.25` is the score.
"""

import re
from collections.abc import Sequence

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import Ledger
from avo_tui.domain.gate_rules import GateDecision, Rival, decide
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.records import Version
from avo_tui.domain.report import ConfigurationCheck, EvaluationReport
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.task import Configuration, TaskInfo
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.operators.knowledge_port import KnowledgeHit

SEED = "// a kernel\nconst float speed = 1.00;\nint tile = 16;\n"

TASK = TaskInfo(
    name="toy",
    title="A toy",
    language="cpp",
    description="Do something quickly.",
    configurations=(Configuration(name="small"), Configuration(name="large")),
    baselines=("torch",),
    reference_baseline="torch",
    seed_files=("kernel.cpp",),
)


MACHINE = MachineInfo(
    device="toy processor",
    compiler="toycc 1.0",
    conditions="toy",
    peak_flops={"fp32": 50e9},
    peak_bytes=10e9,
    facts=("8 units at 3 GHz",),
)


def source(speed: float, extra: str = "") -> str:
    return f"// a kernel\nconst float speed = {speed:.2f};\nint tile = 16;\n{extra}"


def judge(candidate: Candidate, benchmark: bool = True) -> EvaluationReport:
    """What the toy harness answers."""
    body = "\n".join(candidate.files.values())

    def report(verdict: Verdict, summary: str, **more: object) -> EvaluationReport:
        return EvaluationReport.model_validate(
            {
                "task": "toy",
                "candidate": candidate.id,
                "verdict": verdict,
                "feedback": Feedback(summary=summary),
                **more,
            }
        )

    if "SYNTAX" in body:
        return report(Verdict.COMPILE_ERROR, "error: expected ';'", reached="compile")
    if "WRONG" in body:
        hidden = ConfigurationCheck(name="hidden", ok=False, detail="shape 7x13 seed 4711")
        checks = (ConfigurationCheck(name="small", ok=False, error=4.0), hidden)
        return report(Verdict.WRONG_RESULT, "off by 4", reached="check", checks=checks)
    if not benchmark:
        return report(Verdict.CORRECT, "correct", reached="check")
    found = re.search(r"speed = ([0-9.]+)", body)
    ratio = float(found.group(1)) if found else 1.0
    rows = tuple(
        ConfigurationScore(
            name=n, throughput=ratio * 10, p20=ratio * 10, p80=ratio * 10, ratio=ratio
        )
        for n in ("small", "large")
    )
    score = Score(unit="GFLOP/s", reference_baseline="torch", configurations=rows)
    return report(Verdict.CORRECT, "correct", reached="benchmark", score=score)


class FakeKnowledge:
    def search(self, query: str, limit: int = 8) -> Sequence[KnowledgeHit]:
        hit = KnowledgeHit(id="doc#1", document="Doc", section="One", snippet=query, score=1.0)
        return [hit] if query != "nothing" else []

    def read(self, identifier: str, offset: int = 0, limit: int = 12_000) -> str:
        return {"doc#1": "long text " * 5000}[identifier][offset : offset + limit]

    def documents(self) -> Sequence[tuple[str, str]]:
        return [("doc", "Doc")]


def strict_decision(score: Score, best: Version) -> GateDecision:
    """What the strict gate says where each replicate shows the ratio of the two scores."""
    ratio = score.aggregate / best.aggregate
    one = PairedMeasurement(configurations={"all": (ratio, ratio, ratio)})
    ledger = Ledger([])
    comparison = ledger.begin("a" * 64, best.candidate, "")
    while True:  # ends: a gate settles by its last pair
        comparison = comparison.replaced(replicates=(*comparison.replicates, one))
        decision = decide("strict", Rival(best.number, best.score), comparison, ledger)
        if decision is not None:
            return decision.replaced(comparison=None)
