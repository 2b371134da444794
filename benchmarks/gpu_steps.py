"""The steps of `gpu_check.py`: `python benchmarks/gpu_steps.py STEP REPORT.json` runs one."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avo_tui.domain.questions import RemeasureQuestion

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "evaluation" / "cuda"
for folder in (str(ROOT), str(TESTS)):
    if folder not in sys.path:
        sys.path.insert(0, folder)
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])
)

VERSIONS = ROOT / "benchmarks" / "hopper_lineage" / "versions"
BEST, BEFORE = VERSIONS / "13_wider_groups", VERSIONS / "11_counter"
PIPELINED = ROOT / "tests" / "evaluation" / "candidates" / "cuda" / "pipelined"
SHORT = "honest or pipelined or scratch or as_fast or empty_kernel or leaves_the_next"
"""Of the tests marked gpu; the table of cheats has the others."""
AT_ONCE = 4

Body = dict[str, Any]


class Report:
    """What a step found; written after every addition, so that an end by force keeps it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._body: Body = {"claims": [], "lines": [], "data": []}

    def claim(self, what: str, ok: bool, value: object) -> None:
        """Something that must hold, whether it does, and the figure it was judged by."""
        self._body["claims"].append({"what": what, "ok": bool(ok), "value": str(value)})
        self._write()

    def say(self, *lines: str) -> None:
        """Lines of Markdown."""
        self._body["lines"] += lines
        self._write()

    def keep(self, data: Body) -> None:
        """Data for later."""
        self._body["data"].append(data)
        self._write()

    def _write(self) -> None:
        self._path.write_text(json.dumps(self._body), encoding="utf-8")


def evaluate(task: str, candidate: Path | None, *options: str) -> tuple[Body, float]:
    """(report, seconds of the whole process) of an evaluation in a fresh process."""
    command = [sys.executable, "-m", "avo_tui.evaluation", task]
    command += [str(candidate)] if candidate else []
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--json", *options], capture_output=True, text=True, check=False, cwd=ROOT
    )
    wall = time.monotonic() - began
    if not done.stdout.strip():
        raise SystemExit(f"no report: {done.stderr[-2000:]}")
    body: Body = json.loads(done.stdout)
    return body, wall


def tell(report: Report, title: str, body: Body, wall: float) -> None:
    """An evaluation in full: stages, resources, a row for each configuration."""
    s = body["seconds"]
    stages = ", ".join(f"{name} {s[name]:.1f}" for name in ("compile", "check", "benchmark"))
    r = body["resources"]
    counts = ", ".join(f"{n} {name}" for name, n in r["instructions"].items())
    report.say(
        "",
        f"**{title}**: {body['verdict']}, {body['feedback']['summary']}. {s['total']:.1f} s "
        f"({stages}), the whole process {wall:.1f} s. {r['registers']} registers, "
        f"{r['spill_bytes']} bytes spilled, {counts}.",
    )
    score = body["score"]
    if not score:
        report.say("", *(f"    {line}" for line in body["feedback"]["detail"].splitlines()))
        return
    names = list(score["configurations"][0]["baselines"])
    report.say(
        "",
        f"| configuration | {score['unit']} | p20–p80 | ratio | samples | "
        f"{' | '.join(names)} | flags |",
        "|---" * (6 + len(names)) + "|",
    )
    for c in score["configurations"]:
        rates = " | ".join(f"{c['baselines'].get(n, 0):.0f}" for n in names)
        report.say(
            f"| {c['name']} | {c['throughput']:.1f} | {c['p20']:.1f}–{c['p80']:.1f} | "
            f"{c['ratio']:.4f} | {c['samples']} | {rates} | {', '.join(c['flags'])} |"
        )
    report.keep({"title": title, "wall": wall, "seconds": s, "score": score})


def evaluated(report: Report, title: str, task: str, candidate: Path | None, *options: str) -> Body:
    """Evaluates, tells, and claims that it is correct."""
    body, wall = evaluate(task, candidate, *options)
    tell(report, title, body, wall)
    report.claim(f"{title} is correct", body["verdict"] == "correct", body["verdict"])
    return body


def tests(report: Report) -> None:
    """pytest over what is marked gpu, the parts that are quick."""
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu",
            "-k", SHORT, str(TESTS / "test_gpu.py"),
        ],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    print(done.stdout[-8000:], done.stderr[-4000:])
    last = (done.stdout.strip().splitlines() or ["it said nothing"])[-1]
    good = done.returncode == 0 and "passed" in last and "skipped" not in last
    report.claim("the tests pass", good, last)


def pipelined(report: Report) -> None:
    """All of Hopper in one candidate."""
    body = evaluated(report, "pipelined", "mha_forward", PIPELINED)
    counts = body["resources"]["instructions"]
    wanted = ("HGMMA", "UTMALDG", "UTMASTG", "SYNCS", "USETMAXREG")
    missing = [name for name in wanted if not counts.get(name)]
    report.claim("TMA, wgmma, mbarriers and setmaxnreg are used", not missing, missing or "all")


def twice(report: Report) -> None:
    """The same kernel in two fresh processes, and the quick check."""
    bodies = [evaluated(report, f"{BEST.name}, process {n}", "mha_forward", BEST) for n in (1, 2)]
    if all(body["score"] for body in bodies):
        first, second = (
            {c["name"]: c["ratio"] for c in body["score"]["configurations"]} for body in bodies
        )
        whole = abs(bodies[0]["score"]["aggregate"] / bodies[1]["score"]["aggregate"] - 1)
        worst = max(first, key=lambda n: abs(first[n] / second[n] - 1))
        apart = abs(first[worst] / second[worst] - 1)
        report.claim("two processes agree within 1%", whole <= 0.01, f"{whole:.2%}")
        report.claim("each configuration agrees within 3%", apart <= 0.03, f"{worst}: {apart:.2%}")
        longest = max(body["seconds"]["total"] for body in bodies)
        report.claim("an evaluation takes at most 40 s", longest <= 40, f"{longest:.1f} s")
    quick = evaluated(report, f"{BEST.name}, quick", "mha_forward", BEST, "--quick")
    seconds = quick["seconds"]["total"]
    report.claim("a quick one takes at most 8 s", seconds <= 8, f"{seconds:.1f} s")


def paired(report: Report) -> None:
    """A version against itself and against the one before it."""
    from avo_tui.evaluation.candidates import read_candidate
    from avo_tui.evaluation.pipeline import Pipeline

    async def work() -> None:
        pipeline = Pipeline()
        best = read_candidate(BEST)
        try:
            for name, other in (("itself", best), (BEFORE.name, read_candidate(BEFORE))):
                found = await pipeline.ask(
                    "mha_forward", RemeasureQuestion(files=best.files, other=other.files)
                )
                seconds = found.seconds.benchmark
                if found.paired is None:
                    report.claim(f"{BEST.name} against {name}", False, found.feedback.summary)
                    continue
                gain, noise = found.paired.gain - 1, found.paired.noise
                holds = abs(gain) <= 0.01 if name == "itself" else True
                report.claim(
                    f"{BEST.name} against {name}" + (" is as fast" if other is best else ""),
                    holds,
                    f"{gain:+.2%} ± {noise:.2%}, {seconds:.1f} s",
                )
                for configuration, values in found.paired.configurations.items():
                    low, middle, high = values
                    report.say(f"- {name}, {configuration}: {middle:.4f} ({low:.4f}–{high:.4f})")
        finally:
            await pipeline.close()

    asyncio.run(work())


def gqa(report: Report) -> None:
    """The best kernel where query heads share keys and values."""
    evaluated(report, f"{BEST.name} on gqa_forward", "gqa_forward", BEST)


def seed(report: Report) -> None:
    """The seed of mha_forward."""
    body = evaluated(report, "seed of mha_forward", "mha_forward", None)
    seconds = body["seconds"]["total"]
    report.claim("an evaluation takes at most 40 s", seconds <= 40, f"{seconds:.1f} s")


def gqa_seed(report: Report) -> None:
    """The seed of gqa_forward."""
    evaluated(report, "seed of gqa_forward", "gqa_forward", None)


def cheats(report: Report) -> None:
    """Every candidate of the tests, on the small task; four at a time where nothing is timed."""
    helpers = importlib.import_module("tests.evaluation.cuda.cuda_helpers")
    told_of, small_task = helpers.VERDICTS, helpers.small_task

    from avo_tui.domain.verdict import Verdict
    from avo_tui.evaluation.backends.base import Rejected
    from avo_tui.evaluation.backends.cuda.backend import CudaBackend

    rows: dict[str, tuple[str, str, float, bool]] = {}

    async def one(name: str) -> None:
        backend, task, (ctx, _) = CudaBackend(), small_task(), helpers.context()
        got, stage, began = Verdict.CORRECT, "compile", time.monotonic()
        try:
            compiled = await backend.compile(task, helpers.candidate(name), ctx)
            stage = "check"
            await backend.check(task, compiled, ctx)
            stage = "benchmark"
            await backend.benchmark(task, compiled, ctx)
        except Rejected as rejection:
            got = rejection.verdict
        finally:
            await backend.close()
        told = told_of[name]
        good = got in told["verdict"] and told["stage"] in {stage, "any"}
        rows[name] = (got.value, stage, time.monotonic() - began, good)
        wanted = "/".join(told["verdict"])
        report.say(
            f"| `{name}` | {wanted} | {told['stage']} | {'' if good else '**'}{got.value}"
            f"{'' if good else '**'} | {stage} | {rows[name][2]:.1f} |"
        )

    async def work() -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def guarded(name: str) -> None:
            async with gate:
                await one(name)

        untimed = [n for n, t in told_of.items() if t["stage"] in {"compile", "check"}]
        await asyncio.gather(*(guarded(name) for name in untimed))
        for name in told_of:
            if name not in untimed:
                await one(name)

    report.say("| candidate | must get | found by | got | by | s |", "|---|---|---|---|---|---|")
    asyncio.run(work())
    wrong = [name for name, row in rows.items() if not row[3]]
    report.claim("every candidate gets its verdict", not wrong, ", ".join(wrong) or len(rows))


def mutants(report: Report) -> None:
    """The mistakes that an optimiser makes, each put into an honest kernel; the check alone."""
    helpers = importlib.import_module("tests.evaluation.cuda.cuda_helpers")

    from avo_tui.evaluation.backends.base import Rejected
    from avo_tui.evaluation.backends.cuda.backend import CudaBackend
    from avo_tui.evaluation.backends.cuda.fresh_processes import load
    from avo_tui.evaluation.backends.cuda.measuring import Check

    alive, accused = [], []
    task, (ctx, _) = helpers.small_task(), helpers.context()

    async def one(process: Any, backend: Any, name: str, candidate: Any) -> str:
        """What the check says; empty where it passes. All in one process: nothing breaks it."""
        compiled = await backend.compile(task, candidate, ctx)
        with tempfile.TemporaryDirectory() as folder:
            await load(process, "candidate", compiled, Path(folder))
        try:
            for case in task.check_cases():  # one at a time, so that no request is cut short
                await Check(task, compiled, [case], ctx).all(process)
        except Rejected as rejection:
            feedback = rejection.feedback
            return f"{rejection.verdict}: {feedback.summary}. {feedback.detail}"
        return ""

    async def work() -> None:
        backend = CudaBackend()
        try:
            honest = await backend.compile(task, helpers.candidate("honest"), ctx)
            async with backend.processes.running(task, honest) as process:
                for name, (candidate, equivalent) in helpers.mutants().items():
                    began = time.monotonic()
                    told = await one(process, backend, name, candidate)
                    if not told and not equivalent:
                        alive.append(name)
                    if told and equivalent:
                        accused.append(name)
                    seconds = time.monotonic() - began
                    report.say(f"| `{name}` | {told[:200] or 'passes'} | {seconds:.1f} |")
        finally:
            await backend.close()

    report.say("| mistake | what the check says | s |", "|---|---|---|")
    asyncio.run(work())
    report.claim("every mistake is found", not alive, ", ".join(alive) or "all")
    report.claim("what is none passes", not accused, ", ".join(accused) or "all")


ADVERSARIES = (
    "honest", "counts_in_shared_memory", "tired_after_some_runs", "tired_after_a_while",
    "remembers_by_pointer", "plays_the_lottery", "half_a_tile_by_lot", "writes_inputs_by_lot",
    "works_after_the_clock", "tells_hidden_shapes",
)  # fmt: skip
"""Candidates that adapt: to turns, to phases, to memory, to the clock."""


def adversaries(report: Report) -> None:
    """Candidates that adapt, beside the honest kernel that each of them is made from."""
    helpers = importlib.import_module("tests.evaluation.cuda.cuda_helpers")

    from avo_tui.domain.verdict import Verdict
    from avo_tui.evaluation.backends.base import Rejected
    from avo_tui.evaluation.backends.cuda.backend import CudaBackend

    wrong, rates = [], {}

    async def work() -> None:
        backend, task = CudaBackend(), helpers.small_task()
        ctx, _ = helpers.context()
        try:
            for name in sys.argv[3:] or ADVERSARIES:
                verdict, told, stage = Verdict.CORRECT, "", "check"
                began = time.monotonic()
                try:
                    compiled = await backend.compile(task, helpers.candidate(name), ctx)
                    await backend.check(task, compiled, ctx)
                    stage = "benchmark"
                    score = await backend.benchmark(task, compiled, ctx)
                    rates[name] = score.geomean
                    told = f"{score.geomean:.3f} {score.unit}, {score.aggregate:.4f}"
                except Rejected as rejection:
                    verdict, feedback = rejection.verdict, rejection.feedback
                    told = f"{feedback.summary}. {feedback.detail} {feedback.log}"
                if verdict not in helpers.VERDICTS[name]["verdict"]:
                    wrong.append(name)
                seconds = time.monotonic() - began
                report.say(f"| `{name}` | {verdict} | {stage} | {told[:260]} | {seconds:.1f} |")
        finally:
            await backend.close()

    report.say("| candidate | verdict | by | what is said | s |", "|---|---|---|---|---|")
    asyncio.run(work())
    report.claim("every candidate gets its verdict", not wrong, ", ".join(wrong) or "all")
    honest = rates.get("honest", 0.0)
    gained = {n: r / honest for n, r in rates.items() if honest and r > 1.03 * honest}
    report.claim("none is faster than the honest kernel", not gained, gained or "none")


def look(*options: str) -> str:
    """What the evaluator prints for options that are no evaluation."""
    done = subprocess.run(
        [sys.executable, "-m", "avo_tui.evaluation", *options],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    return done.stdout + done.stderr


def profile(report: Report) -> None:
    """Nsight Compute's figures."""
    text = look("mha_forward", str(BEST), "--profile")
    report.say("```", *text.splitlines(), "```")
    report.claim("there are figures", "Duration" in text, text.splitlines()[0] if text else "")


def sanitizer(report: Report) -> None:
    """A healthy candidate, and one that reads past the end."""
    began = time.monotonic()
    text = look("mha_forward", str(PIPELINED), "--sanitize", "all")
    seconds = time.monotonic() - began
    report.say(f"`pipelined`, {seconds:.0f} s:", "```", *text.splitlines(), "```")
    report.claim("memcheck finds nothing in pipelined", "memcheck: nothing found" in text, "")
    done = text.count("nothing found") + text.count("findings")
    report.claim("every tool gives a result", done == 4, done)
    planted = importlib.import_module("tests.evaluation.cuda.cuda_helpers").candidate(
        "reads_past_the_end"
    )
    with tempfile.TemporaryDirectory(prefix="avo-gpu-check-") as folder:
        for name, source in planted.files.items():
            Path(folder, name).write_text(source, encoding="utf-8")
        small = ("attention_small", folder, "--kernels", str(TESTS / "tasks"))
        text = look(*small, "--sanitize", "memcheck")
    report.say("", "`reads_past_the_end`:", "```", *text.splitlines(), "```")
    report.claim("memcheck finds a read past the end", "illegal_access" in text, "")


def tuner(report: Report) -> None:
    """The tuner over the constants of mha_forward's seed, on small shapes, by engine and gate."""
    from avo_tui.domain.budget import Budget, Caps
    from avo_tui.domain.run_settings import RunSettings
    from avo_tui.evaluation.tasks import find_tasks
    from avo_tui.evolution.create import create_session
    from avo_tui.evolution.lifecycle.headless import Printer
    from avo_tui.evolution.process import run_engine
    from avo_tui.store import SessionReader

    with tempfile.TemporaryDirectory(prefix="avo-gpu-check-") as sessions:
        os.environ["AVO_SESSIONS"] = str(Path(sessions, "sessions"))
        os.environ["AVO_KERNELS"] = str(Path(sessions, "kernels"))
        small = Path(sessions, "kernels", "attention_small")
        small.mkdir(parents=True)
        shutil.copy(TESTS / "tasks" / "attention_small" / "task.py", small)
        shutil.copytree(ROOT / "kernels" / "mha_forward" / "seed", small / "seed")
        budget = Budget(run=Caps(evaluations=4))
        settings = RunSettings(operator="tuner", budget=budget)
        task = find_tasks().get("attention_small").info()
        folder = create_session("tuned", task, settings)
        state = run_engine(folder, listeners=[Printer(sys.stdout)])
        session = SessionReader.open(folder).state
        attempts = [a for a in session.attempts.values() if a.verdict is not None]
        for a in attempts:
            report.say(f"- attempt {a.number}: {a.title}: {a.verdict}, {a.reason}")
        tried = len({a.candidate for a in attempts})
        report.claim("the tuner tries other values", tried >= 3, f"{tried} candidates")
        versions = len(session.versions)
        report.claim("the run ends by its budget", str(state) in {"finished", "stopped"}, state)
        report.say(f"- {versions} versions")


STEPS: dict[str, Callable[[Report], None]] = {
    step.__name__: step
    for step in (
        tests, pipelined, mutants, adversaries, twice, paired, gqa, seed, cheats, profile,
        sanitizer, tuner, gqa_seed,
    )
}  # fmt: skip


if __name__ == "__main__":
    STEPS[sys.argv[1]](Report(Path(sys.argv[2])))
