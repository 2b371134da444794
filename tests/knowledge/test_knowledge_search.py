"""Search: what comes first, what a query may look like, what comes back."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.knowledge import KnowledgeBase, KnowledgeError
from avo_tui.knowledge.query import camel_parts, terms, words

ROOT = Path(__file__).resolve().parents[2]

# Other questions than the twenty of benchmarks/knowledge_questions.py, over all documents.
FURTHER: dict[str, str] = {
    "transpose V while loading it with ldmatrix": "mma-sync.md#ldmatrix",
    "what does a bank conflict cost": "cuda-execution.md#shared-memory-banks-and-conflicts",
    "instruction descriptor for bf16 on sm_100a": "blackwell-tcgen05.md#the-instruction-descriptor",
    "allocate TMEM columns": "blackwell-tcgen05.md#tensor-memory",
    "vectorised exp for AVX2": "cpu-attention.md#a-fast-vectorised-exponential",
    "how many FMA units has AVX-512": "cpu-cores.md#what-a-core-does-in-a-clock",
    "are the inputs cold in the cache": "cpu-cores.md#cold-inputs",
    "GCC puts vector accumulators on the stack": (
        "cpu-cores.md#gcc-vectors-kept-moved-or-on-the-stack"
    ),
    "which tile of keys fits the L1 cache": "cpu-attention.md#cache-blocking",
    "multicast one K tile to both CTAs of a cluster": "hopper-tma.md#multicast-into-a-cluster",
    "keep K and V in L2 with evict_last": "hopper-tma.md#hints-to-the-l2-cache",
    "what error is allowed": "evaluation-rules.md#what-counts-as-right-the-error-that-is-allowed",
    "workspace that is zeroed before each run": "launch-manifest.md#workspaces-and-several-stages",
    "griddepcontrol.wait": "hopper-synchronisation.md#programmatic-dependent-launch",
    "how many blocks fit with 168 registers per thread": (
        "reading-compiler-output.md#registers-shared-memory-and-how-many-blocks-fit"
    ),
    "count HGMMA in the SASS": "reading-compiler-output.md#counting-instructions-in-sass",
    "combine partial outputs of split keys": "attention-algorithms.md#splitting-the-keys",
    "test vectors of Philox": "dropout-philox.md#philox-4x32-10",
    "lamport timestamps instead of a grid barrier": (
        "persistent-recurrence.md#lamport-timestamps-data-that-says-itself-whether-it-is-there"
    ),
    "take tiles from an atomic counter": "cuda-execution.md#persistent-kernels-and-tile-order",
    "cp.async zero fill for rows behind the end": "mma-sync.md#cp-async",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KnowledgeBase]:
    folder = tmp_path_factory.mktemp("user")
    with KnowledgeBase.open(documents=ROOT / "knowledge", user=folder / "user.sqlite") as base:
        yield base


@pytest.fixture(scope="module")
def questions() -> ModuleType:
    path = ROOT / "benchmarks" / "knowledge_questions.py"
    spec = importlib.util.spec_from_file_location("knowledge_questions", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_twenty_questions_of_a_kernel_engineer(base: KnowledgeBase, questions: ModuleType) -> None:
    answers = questions.ask(base)
    assert len(answers) == 20
    wrong = [answer for answer in answers if not answer.right]
    assert len(answers) - len(wrong) >= questions.BOUND, wrong
    assert all(answer.rank is not None for answer in answers)


def test_source_beside_them_does_not_bury_the_documents(
    questions: ModuleType, tmp_path: Path
) -> None:
    with KnowledgeBase.open(documents=ROOT / "knowledge", user=tmp_path / "user.sqlite") as base:
        report = base.add(ROOT / "avo_tui" / "evaluation")
        assert report.sections > 300
        answers = questions.ask(base)
        assert sum(answer.right for answer in answers) >= questions.BOUND - 2
        place = "user:evaluation/expressions.py"
        assert base.search("evaluate_integer()", 1)[0].document == place
        assert base.search("TensorMap class", 1)[0].section[-1] == "TensorMap"


def test_further_questions(base: KnowledgeBase) -> None:
    first = {question: base.search(question, 1)[0].id for question in FURTHER}
    wrong = {q: hit for q, hit in first.items() if hit != f"builtin:{FURTHER[q]}"}
    assert len(wrong) <= 2, wrong


def test_expected_sections_exist(base: KnowledgeBase) -> None:
    known = {id_ for document in base.documents() for id_, _ in base.outline(document.id)}
    assert {f"builtin:{section}" for section in FURTHER.values()} <= known


@pytest.mark.parametrize(
    "query",
    ["wgmma.fence", "wgmma_fence", "WGMMA fence", "wgmma-fence", "wgmma::fence", '"wgmma.fence"'],
)
def test_spelling_of_an_identifier_does_not_matter(base: KnowledgeBase, query: str) -> None:
    assert (
        base.search(query, 1)[0].id
        == "builtin:hopper-wgmma.md#issue-fence-commit-wait-wgmma-fence-and-wait-group"
    )


def test_identifiers_are_found_whole(base: KnowledgeBase) -> None:
    hits = base.search("cp.reduce.async.bulk.tensor", 3)
    assert hits[0].id == "builtin:hopper-tma.md#adding-instead-of-storing"
    assert {hit.document for hit in base.search("CUtensorMap", 5)} >= {"builtin:hopper-tma.md"}


def test_other_names_find_the_same(base: KnowledgeBase) -> None:
    short = {hit.id for hit in base.search("SMEM bank conflicts", 3)}
    long = {hit.id for hit in base.search("shared memory bank conflicts", 3)}
    assert short & long
    american = base.search("serialized", 1)[0].id
    assert american == base.search("serialised", 1)[0].id


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_no_query_fails(base: KnowledgeBase, query: str) -> None:
    for hit in base.search(query, 3):
        assert hit.id


@pytest.mark.parametrize(
    "query",
    [
        *("", "   ", "?!", "*", '"', "NEAR(", "a AND", "NOT", "{title}:", "^x", "(" * 200),
        *("wgmma " * 500, "a OR OR b", "col:val", "-", "'; DROP TABLE section; --", "\x00"),
        *("ß ﬁ İ", "x" * 5000),
    ],
)
def test_odd_queries(base: KnowledgeBase, query: str) -> None:
    assert len(base.search(query, 5)) <= 5


def test_results_are_bounded_and_marked(base: KnowledgeBase) -> None:
    hits = base.search("memory", 10_000)
    assert 0 < len(hits) <= 50
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    hit = base.search("setmaxnreg", 1)[0]
    assert len(hit.snippet) < 1500
    assert hit.highlights
    for start, end in hit.highlights:
        assert "setmaxnreg" in hit.snippet[start:end].lower()
    assert len(base.search("memory", 0)) == 1


def test_a_hit_can_be_read(base: KnowledgeBase) -> None:
    hit = base.search("wgmma descriptor bit fields", 1)[0]
    passage = base.read(hit.id)
    assert "start address" in passage.text
    assert passage.title == hit.heading
    whole = base.read(hit.document, limit=100)
    assert whole.next_offset == 100
    rest = base.read(hit.document, offset=100, limit=10**9)
    assert len(rest.text) == min(40_000, whole.total - 100)
    assert base.read(hit.document, offset=10**9).text == ""


def test_a_section_brings_what_lies_below_it(base: KnowledgeBase) -> None:
    passage = base.read("builtin:flash-attention-designs.md#flashattention-3-hopper-2024")
    assert "### What each part was worth" in passage.text
    assert "## FlashAttention 4" not in passage.text


@pytest.mark.parametrize(
    "id_", ["builtin:nothing.md", "elsewhere:x", "builtin:hopper-tma.md#no", ""]
)
def test_reading_what_is_not_there_names_what_is(base: KnowledgeBase, id_: str) -> None:
    with pytest.raises(KnowledgeError, match="there is no document or section"):
        base.read(id_)


def test_terms_of_a_query() -> None:
    found = terms("What does cp.async.bulk do with SMEM?")
    assert [term.phrase for term in found] == ["cp async bulk", "smem"]
    assert found[1].others == ("shared memory",)
    assert [term.phrase for term in terms("how to")] == ["how", "to"]
    assert len(terms(" ".join(f"w{i}" for i in range(100)))) == 24


def test_mixed_case_is_split_for_the_index() -> None:
    assert camel_parts("SmallVectorImpl and plain") == "Small Vector Impl"
    assert words("serialized") == words("serialised") == words("serialising")
    assert words("barriers") == words("barrier")
