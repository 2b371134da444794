"""A task, sources, scores and reports for sessions of the screens. Invented: nothing was run."""

import random
from datetime import UTC, datetime

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.report import ConfigurationCheck, EvaluationReport, Resources, Seconds
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.domain.task import Configuration, TaskInfo
from avo_tui.domain.verdict import Feedback, Verdict

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)

TASK = TaskInfo(
    name="attention_cpu",
    title="Forward attention on one CPU thread (invented for tests)",
    language="cpp",
    description="`O = softmax(Q Kᵀ / √d) V` in fp32.",
    configurations=tuple(
        Configuration(name=n, parameters={"sequence": s, "causal": c})
        for n, s, c in (
            ("full-512", 512, False),
            ("full-1024", 1024, False),
            ("causal-512", 512, True),
            ("causal-1024", 1024, True),
        )
    ),
    baselines=("torch", "naive"),
    reference_baseline="torch",
    unit="GFLOP/s",
    seed_files=("kernel.cpp",),
)

IDEAS = (
    ("Tile the keys so that a block of K stays in L1", "tile K and V by 32"),
    ("Online softmax: drop the second pass over the scores", "online softmax"),
    ("Vectorise the dot product over the head dimension", "vector dot product"),
    ("Replace expf by a polynomial on the reduced range", "polynomial exponential"),
    ("Unroll the PV product by four to hide the latency of fma", "unroll PV by 4"),
    ("Keep the running maximum in registers across tiles", "maximum in registers"),
    ("Skip fully masked tiles of the causal configurations", "skip masked tiles"),
    ("Prefetch the next V tile while the softmax runs", "prefetch V"),
    ("Transpose K once per tile to make its loads contiguous", "transpose K tile"),
    ("Share the row sums between two query rows", "two rows at a time"),
    ("Move the correction after the first product", "late correction"),
    ("Rebalance registers between the two accumulators", "rebalance registers"),
)

SOURCE = """\
// Forward attention, fp32, one thread.
#include <cmath>
#include <cstddef>
#include <vector>

constexpr int TILE_K = {tile};   // tune: 16 32 64 128
constexpr int UNROLL = {unroll};    // tune: 1 2 4 8
constexpr bool ONLINE = {online}; // tune: false true

namespace {{

inline float dot(const float* a, const float* b, int n) {{
    float sum = 0.0f;
    for (int i = 0; i < n; i += UNROLL)
        for (int u = 0; u < UNROLL; ++u) sum += a[i + u] * b[i + u];
    return sum;
}}
{extra}
}}  // namespace

extern "C" void attention(const float* q, const float* k, const float* v, float* out,
                          int sequence, int head_dim, bool causal) {{
    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    std::vector<float> scores(sequence);
    for (int row = 0; row < sequence; ++row) {{
        const int limit = causal ? row + 1 : sequence;
        float peak = -INFINITY;
        for (int first = 0; first < limit; first += TILE_K) {{
            const int last = first + TILE_K < limit ? first + TILE_K : limit;
            for (int col = first; col < last; ++col) {{
                scores[col] = scale * dot(q + row * head_dim, k + col * head_dim, head_dim);
                peak = scores[col] > peak ? scores[col] : peak;
            }}
        }}
        float sum = 0.0f;
        for (int col = 0; col < limit; ++col)
            sum += scores[col] = {exponential}(scores[col] - peak);
        for (int i = 0; i < head_dim; ++i) {{
            float value = 0.0f;
            for (int col = 0; col < limit; ++col) value += scores[col] * v[col * head_dim + i];
            out[row * head_dim + i] = value / sum;
        }}
    }}
}}
"""


def source(version: int, variant: int = 0) -> Candidate:
    """A kernel that differs from its neighbours in a few lines."""
    turn = random.Random(version * 1009 + variant)
    extra = ""
    for i in range(min(version, 14)):
        extra += (
            f"\n// {IDEAS[i % len(IDEAS)][1]}\n"
            f"inline float stage_{i}(float x) {{ return x * {0.5 + i / 7 + version / 90:.3f}f; }}\n"
        )
    if variant:
        extra += f"\ninline float trial(float x) {{ return x + {variant}.0f; }}\n"
    text = SOURCE.format(
        tile=turn.choice((16, 32, 64, 128)),
        unroll=turn.choice((1, 2, 4, 8)),
        online="true" if version > 2 else "false",
        exponential="fast_exp" if version > 5 else "std::exp",
        extra=extra,
    )
    return Candidate(files={"kernel.cpp": text})


def score_of(aggregate: float, seed: int) -> Score:
    """A score whose geomean of ratios is close to `aggregate`."""
    turn = random.Random(seed)
    rows = []
    for i, c in enumerate(TASK.configurations):
        torch = 46.0 + 9 * i + turn.uniform(-0.8, 0.8)
        value = aggregate * (1 + turn.uniform(-0.06, 0.06))
        throughput = value * torch
        spread = throughput * turn.uniform(0.004, 0.012)
        rows.append(
            ConfigurationScore(
                name=c.name,
                parameters=c.parameters,
                throughput=throughput,
                p20=throughput - spread,
                p80=throughput + spread,
                ratio=value,
                ratio_p20=value * 0.994,
                ratio_p80=value * 1.006,
                baselines={"torch": torch, "naive": torch * 0.045},
                samples=40,
                milliseconds=134.0 / throughput,
            )
        )
    return Score(unit="GFLOP/s", reference_baseline="torch", configurations=tuple(rows))


RESOURCES = Resources(
    code_bytes=14_540, instructions={"fma 256-bit": 84, "load 256-bit": 61, "shuffle": 12}
)


def report_of(
    made: Candidate, score: Score, failing: Verdict | None, stages: tuple[str, ...]
) -> EvaluationReport:
    """The report on a candidate that is correct, or fails as `failing` says."""
    feedback = Feedback(summary="correct on every configuration")
    checks = tuple(
        ConfigurationCheck(name=c.name, ok=True, error=0.1 + 0.05 * i)
        for i, c in enumerate(TASK.configurations)
    )
    if failing is Verdict.WRONG_RESULT:
        feedback = Feedback(
            summary="wrong result on causal-1024",
            configuration="causal-1024",
            detail="index [0, 3, 1021, 17]: got 0.1302, expected 0.1187, tolerance 0.0003",
            hint="the last tile of a row may read beyond the diagonal",
        )
        checks = (
            *checks[:-1],
            ConfigurationCheck(
                name="causal-1024", ok=False, error=37.5, detail="index [0, 3, 1021, 17]"
            ),
        )
    elif failing is Verdict.COMPILE_ERROR:
        feedback = Feedback(
            summary="does not compile: use of undeclared identifier 'tile'",
            log=(
                "kernel.cpp:31:9: error: use of undeclared identifier 'tile'\n   "
                "31 |         tile = 4;\n      |         ^\nkernel.cpp:12:7: "
                "warning: unused variable 'sum'\n1 error generated.\n"
            ),
        )
        checks = ()
    return EvaluationReport(
        task=TASK.name,
        candidate=made.id,
        verdict=failing or Verdict.CORRECT,
        feedback=feedback,
        reached=stages[-1],
        checks=checks,
        resources=RESOURCES,
        score=None if failing else score,
        seconds=Seconds(compile=1.1, check=0.8, benchmark=2.2, other=0.1),
        device="cpu, 1 thread (invented)",
        sandbox="namespaces + landlock + seccomp",
        stages_done=stages,
    )
