"""Tunables: what is read from a source, and that setting one changes nothing else."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain import tunables as tn
from avo_tui.domain.candidate import Candidate

SOURCE = """\
#define WARPS 4 // tune: 1 2 4 8
constexpr int TILE_K = 32;  // tune: 16 32 64 128  (keys of a tile)
static constexpr float EPSILON = 1.0e-3f;   // tune: 1e-3f, 1e-4f
\tconstexpr bool FAST = false; // tune: false true
inline constexpr int MODE = 0; // tune: 0(naive) 1(tiled) 2(online softmax)
constexpr int KIND = 1; // tune: 0 1 2  (a, b (with care), c)
constexpr Layout LAYOUT = Layout::Row; // tune: Layout::Row Layout::Column
const unsigned MASK = 0xFFu; // tune: 0xFu 0xFFu
constexpr int PLAIN = 3;  // no tunable
"""


def candidate(text: str = SOURCE) -> Candidate:
    return Candidate(files={"kernel.cu": text})


def by_name(text: str = SOURCE) -> dict[str, tn.Tunable]:
    return {t.name: t for t in tn.parse(candidate(text))}


def test_what_is_read() -> None:
    found = by_name()
    assert list(found) == [
        "WARPS", "TILE_K", "EPSILON", "FAST", "MODE", "KIND", "LAYOUT", "MASK",
    ]  # fmt: skip
    assert [c.token for c in found["TILE_K"].choices] == ["16", "32", "64", "128"]
    assert found["TILE_K"].meaning == "keys of a tile"
    assert found["TILE_K"].line == 2
    assert found["EPSILON"].current.token == "1e-3f", "the same number, written otherwise"
    assert [c.label for c in found["MODE"].choices] == ["naive", "tiled", "online softmax"]
    assert [c.label for c in found["KIND"].choices] == ["a", "b (with care)", "c"]
    assert found["KIND"].meaning == ""
    assert tn.flaws(candidate()) == ()
    assert tn.size(found.values()) == 4 * 4 * 2 * 2 * 3 * 3 * 2 * 2


def test_only_plain_numbers_are_ordered() -> None:
    ordered = {name for name, t in by_name().items() if t.ordered}
    assert ordered == {"WARPS", "TILE_K"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("constexpr int A = 5; // tune: 1 2", "A = 5 is not among its own values"),
        ("constexpr int A = 1; // tune: 1", "at least two values"),
        ("constexpr int A = 1; // tune: 1 1", "declared twice"),
        ("constexpr int A = 1; // tune: 1 $ 2", "is not a value"),
        ("constexpr int A = 1; // tune:", "at least two values"),
        ("int a = 1; // tune: 1 2", "belongs behind"),
        ("constexpr int A = 1 + 2; // tune: 1 2", "belongs behind"),
        ("constexpr int A = 1; // tune: " + " ".join(map(str, range(1, 80))), "limit is 64"),
    ],
)
def test_flaws_are_named(line: str, reason: str) -> None:
    (flaw,) = tn.flaws(candidate("// first\n" + line + "\n"))
    assert flaw.line == 2
    assert reason in flaw.reason
    assert tn.parse(candidate(line)) == ()


def test_setting_changes_the_token_and_no_other_byte() -> None:
    changed = tn.apply(candidate(), {"TILE_K": "128", "MODE": "online softmax", "WARPS": "8"})
    expected = (
        SOURCE.replace("TILE_K = 32;", "TILE_K = 128;")
        .replace("MODE = 0;", "MODE = 2;")
        .replace("WARPS 4", "WARPS 8")
    )
    assert changed.files["kernel.cu"] == expected


def test_setting_what_it_is_already_changes_nothing() -> None:
    start = candidate()
    assert tn.apply(start, tn.point(tn.parse(start))) == start


def test_what_cannot_be_set() -> None:
    with pytest.raises(ValueError, match="TILE_K cannot be 48; it may be 16, 32, 64, 128"):
        tn.apply(candidate(), {"TILE_K": "48"})
    with pytest.raises(KeyError):
        tn.apply(candidate(), {"NOPE": "1"})


@pytest.mark.parametrize(
    ("name", "text", "token"),
    [
        ("MODE", "online softmax", "2"),
        ("MODE", "Tiled", "1"),
        ("MODE", "2", "2"),
        ("EPSILON", "0.0001", "1e-4f"),
        ("FAST", "TRUE", "true"),
        ("MASK", "255", "0xFFu"),
        ("LAYOUT", "Layout::Column", "Layout::Column"),
        ("TILE_K", "33", None),
        ("MODE", "", None),
    ],
)
def test_what_a_person_may_write(name: str, text: str, token: str | None) -> None:
    choice = by_name()[name].find(text)
    assert (choice.token if choice else None) == token


def test_line_ends_and_several_files() -> None:
    windows = "constexpr int A = 1; // tune: 1 2\r\nconstexpr int B = 1; // tune: 1 2\r\n"
    both = Candidate(files={"a.h": windows, "b.cpp": "constexpr int C = 3; // tune: 3 4\n"})
    assert [t.name for t in tn.parse(both)] == ["A", "B", "C"]
    changed = tn.apply(both, {"A": "2", "C": "4"})
    assert changed.files["a.h"] == windows.replace("A = 1", "A = 2")
    assert changed.files["b.cpp"] == "constexpr int C = 4; // tune: 3 4\n"


@given(st.data())
def test_any_point_can_be_set_and_read_back(data: st.DataObject) -> None:
    tunables = tn.parse(candidate())
    point = {
        t.name: data.draw(st.sampled_from([c.token for c in t.choices]), label=t.name)
        for t in tunables
    }
    changed = tn.apply(candidate(), point)
    assert tn.point(tn.parse(changed)) == point
    back = tn.apply(changed, tn.point(tunables))
    assert back.files["kernel.cu"].replace("1e-3f;", "1.0e-3f;") == SOURCE


@given(st.text(max_size=300))
def test_no_text_makes_it_fail(text: str) -> None:
    source = Candidate.model_construct(files={"k.cpp": text + "\n// tune: " + text})
    for tunable in tn.parse(source):
        assert source.files[tunable.file][tunable.start : tunable.end] == tunable.token
    tn.flaws(source)


def test_a_huge_line_takes_no_time() -> None:
    began = time.process_time()
    hostile = "constexpr const int a = " * 20_000 + "1; // tune: 1 2"
    (flaw,) = tn.flaws(candidate(hostile + "\n"))
    assert "1000 characters" in flaw.reason
    tn.parse(candidate("constexpr const a = " * 45 + "// tune: " + "1 " * 20 + "\n"))
    # A search that begins anew at each of the 20,000 parts takes minutes.
    assert time.process_time() - began < 60.0


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("launch.toml", "BLOCK = 256  # tune: 128 256 512  (threads)"),
        ("kernel.py", "BLOCK: tl.constexpr = 256 # tune: 128 256 512"),
        ("kernel.py", "    BLOCK = 256 # tune: 128 256 512"),
        ("kernel.c", "#define BLOCK 256 /* tune: 128 256 512 */"),
        ("kernel.c", "constexpr int BLOCK = 256; /* tune: 128 256 512 (threads) */ int other;"),
    ],
)
def test_comments_of_other_languages(file: str, line: str) -> None:
    source = Candidate(files={file: f"[macros]\n{line}\n"})
    (tunable,) = tn.parse(source)
    assert (tunable.name, tunable.token, tunable.line) == ("BLOCK", "256", 2)
    assert [c.token for c in tunable.choices] == ["128", "256", "512"]
    changed = tn.apply(source, {"BLOCK": "512"}).files[file]
    assert changed == f"[macros]\n{line.replace('256', '512', 1)}\n"
