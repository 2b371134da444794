"""Twenty questions an engineer asks while writing a Hopper attention kernel, put to K's search.

The expected sections were written down before the search was run on them. A question may have more
than one section that answers it fully; any of them counts. Prints the table; the exit status says
whether the number of right answers at rank one is at least the bound that the tests hold.

    python benchmarks/knowledge_questions.py [--json] [--beside TREE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from avo_tui.knowledge import KnowledgeBase

#: Fewer right answers at rank one than this is a regression of the search or the documents.
BOUND = 17

QUESTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "What are the bit fields of the wgmma shared memory descriptor?",
        ("hopper-wgmma.md#the-wgmma-shared-memory-descriptor-and-its-bit-fields",),
    ),
    (
        "where is element i of the wgmma accumulator, which row and column does a thread hold",
        ("hopper-wgmma.md#layout-of-the-accumulator",),
    ),
    (
        "How do I feed P from registers into the second wgmma?",
        ("hopper-wgmma.md#from-accumulator-to-a-operand-p-stays-in-registers",),
    ),
    (
        "why is my wgmma serialized, C7510",
        ("hopper-wgmma.md#serialised-wgmma-c7510-c7512-c7514-and-their-causes",),
    ),
    (
        "C7508",
        (
            "hopper-synchronisation.md#compiler-messages-about-setmaxnreg-c7504-c7508",
            "reading-compiler-output.md#compiler-messages-c7504-c7508-c7510-c7512-c7514-c7517-c7519",
        ),
    ),
    (
        "when do I need wgmma.fence",
        ("hopper-wgmma.md#issue-fence-commit-wait-wgmma-fence-and-wait-group",),
    ),
    (
        "how wide may a TMA box be with 128B swizzle",
        ("hopper-tma.md#what-a-tensor-map-says",),
    ),
    (
        "kernel hangs waiting on an mbarrier",
        (
            "hopper-synchronisation.md#the-parity-bookkeeping-of-a-ring",
            "hopper-tma.md#when-tma-fails",
        ),
    ),
    (
        "which parity does the producer wait for in the first round",
        ("hopper-synchronisation.md#the-parity-bookkeeping-of-a-ring",),
    ),
    (
        "setmaxnreg values for producer and consumer",
        ("hopper-synchronisation.md#setmaxnreg-registers-moved-between-warpgroups",),
    ),
    (
        "do I need fence.proxy.async after writing P to shared memory",
        ("hopper-synchronisation.md#proxies-and-fence-proxy-async",),
    ),
    (
        "ping-pong scheduling of two consumer warpgroups with named barriers",
        ("hopper-synchronisation.md#named-barriers-and-turns-between-warpgroups",),
    ),
    (
        "how to compute exp2 without the MUFU",
        ("softmax-arithmetic.md#exp2-by-polynomial-on-the-fma-units-instead-of-mufu",),
    ),
    (
        "skip rescaling the output accumulator when the row max does not change",
        ("softmax-arithmetic.md#rescaling-less-often",),
    ),
    (
        "load balance for causal attention, longest tiles first",
        ("attention-algorithms.md#scheduling-why-causal-is-slower-and-the-remedies",),
    ),
    (
        "pack query heads for GQA",
        ("attention-algorithms.md#grouped-queries-gqa-and-mqa",),
    ),
    (
        "What tile sizes does FlashAttention-3 use for head dim 128?",
        ("flash-attention-designs.md#flashattention-3-hopper-2024",),
    ),
    (
        "how do I see register spills",
        (
            "reading-compiler-output.md#the-ptxas-lines",
            "reading-compiler-output.md#the-same-kernel-three-ways",
        ),
    ),
    ("write the output tile with a TMA store", ("hopper-tma.md#storing-a-box",)),
    (
        "declare the tensor map of K in launch.toml",
        ("launch-manifest.md#tensor-maps",),
    ),
)


@dataclass(frozen=True)
class Answer:
    """What the search put first, and where the expected section came."""

    question: str
    first: str
    right: bool
    rank: int | None


def ask(base: KnowledgeBase) -> list[Answer]:
    """Put every question to a knowledge base that holds the built-in documents."""
    answers = []
    for question, expected in QUESTIONS:
        hits = [hit.id.removeprefix("builtin:") for hit in base.search(question, 10)]
        rank = next((i for i, hit in enumerate(hits, 1) if hit in expected), None)
        answers.append(Answer(question, hits[0] if hits else "", rank == 1, rank))
    return answers


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--beside", type=Path, help="a tree to index beside the documents")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        KnowledgeBase.open(user=Path(folder) / "user.sqlite") as base,
    ):
        if arguments.beside:
            base.add(arguments.beside)
        answers = ask(base)
    right = sum(answer.right for answer in answers)
    if arguments.json:
        print(json.dumps({"right": right, "answers": [asdict(answer) for answer in answers]}))
    else:
        print("| # | question | first section | judged | rank of the expected |")
        print("|---|---|---|---|---|")
        for number, answer in enumerate(answers, 1):
            judged = "right" if answer.right else "wrong"
            print(
                f"| {number} | {answer.question} | {answer.first} | {judged} | "
                f"{answer.rank or 'beyond 10'} |"
            )
        print(f"\n{right} of {len(answers)} right at rank one")
    return 0 if right >= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
