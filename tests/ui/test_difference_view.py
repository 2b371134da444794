"""The lines of a difference: what changed, side by side, copied, cut."""

from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.candidate import Candidate
from avo_tui.ui.panes.diff import changed_words, compare, diff_lines, next_heading, parse
from avo_tui.ui.syntax import Highlighter, overlay
from tests.ui.invented_kernel import source


def test_a_seed_is_all_added() -> None:
    doc = compare(None, Candidate(files={"k.cpp": "int a;\nint b;\n"}))
    assert (doc.added, doc.removed) == (2, 0)
    assert {row.kind for row in doc.files[0].rows} == {"hunk", "add"}


def test_the_difference_of_two_candidates() -> None:
    old = Candidate(files={"a.cpp": "int a = 1;\nint b = 2;\n", "b.cpp": "same\n"})
    new = Candidate(files={"a.cpp": "int a = 7;\nint b = 2;\nint c;\n", "b.cpp": "same\n"})
    doc = compare(old, new)
    assert [f.name for f in doc.files] == ["a.cpp"] and (doc.added, doc.removed) == (2, 1)
    (gone,) = [r for r in doc.files[0].rows if r.kind == "del"]
    assert gone.text == "int a = 1;" and gone.words == ((8, 9),)


def test_new_and_removed_files() -> None:
    old, new = Candidate(files={"a.cpp": "x\n"}), Candidate(files={"b.cpp": "y\n"})
    doc = compare(old, new)
    assert {(f.name, f.added, f.removed) for f in doc.files} == {("a.cpp", 0, 1), ("b.cpp", 1, 0)}


def test_one_goes_from_file_to_file_and_round() -> None:
    old = Candidate(files=dict.fromkeys(("a.c", "b.c"), "x\n"))
    doc = compare(old, Candidate(files=dict.fromkeys(("a.c", "b.c"), "y\n")))
    rows = diff_lines(doc, 60, Highlighter())
    first = next_heading(rows, 0, 99)
    assert first and "a.c" in rows[first].plain
    second = next_heading(rows, first, 99)
    assert second and "b.c" in rows[second].plain
    assert next_heading(rows, second, 99) == next_heading(rows, first, first) == 0
    assert next_heading(rows[:first], 0, 99) is None


def test_a_cut_diff_is_still_shown() -> None:
    whole = "--- a/k.cpp\n+++ b/k.cpp\n@@ -1,9 +1,9 @@\n-old\n+new\n same\n"
    doc = parse(whole)
    assert doc.problem and (doc.added, doc.removed) == (1, 1)
    assert any("cut" in row.plain for row in diff_lines(doc, 60, Highlighter()))


def test_copied_text_has_no_gutters() -> None:
    doc = compare(source(3), source(4))
    rows = diff_lines(doc, 90, Highlighter(), sides=False)
    copied = [row.plain[row.gutter :] for row in rows if row.gutter < 90]
    lines = set(source(3).files["kernel.cpp"].split("\n")) | set(
        source(4).files["kernel.cpp"].split("\n")
    )
    assert len(copied) > 10 and set(copied) <= lines


def test_side_by_side_keeps_both_sides_apart() -> None:
    doc = compare(source(3), source(4))
    rows = diff_lines(doc, 120, Highlighter(), sides=True)
    assert all(row.width <= 120 for row in rows)
    bars = {row.plain.index("│") for row in rows if "│" in row.plain}
    assert len(bars) == 1


@given(st.text(max_size=80), st.text(max_size=80))
def test_changed_words_are_inside_their_lines(old: str, new: str) -> None:
    left, right = changed_words(old, new)
    assert all(0 <= a < b <= len(old) for a, b in left)
    assert all(0 <= a < b <= len(new) for a, b in right)


def test_overlay_keeps_the_text() -> None:
    spans = (("const", "k"), (" int x", ""))
    made = overlay(spans, ((2, 8),), "w")
    assert "".join(t for t, _ in made) == "const int x"
    assert [t for t, r in made if "w" in r.split()] == ["nst", " in"]


# -- plan and output


def test_several_files_are_listed_above_their_differences() -> None:
    old = Candidate(files={"a.py": "x\n", "b/c.py": "y\n"})
    new = Candidate(files={"a.py": "z\n", "b/c.py": "w\nv\n"})
    rows = [row.plain for row in diff_lines(compare(old, new), 80, Highlighter(), sides=False)]
    assert rows[:3] == ["  a.py  +1 −1", "  b/c.py  +2 −1", ""]
    assert "a.py  +1 −1" in rows[3:] and "b/c.py  +2 −1" in rows[3:]


def test_side_by_side_a_change_far_to_the_right_is_seen() -> None:
    start = "float value = " + "first + " * 12
    old, new = (Candidate(files={"k.cpp": f"{start}{end};\n"}) for end in ("older", "newer"))
    rows = [row.plain for row in diff_lines(compare(old, new), 110, Highlighter(), sides=True)]
    (changed,) = [row for row in rows if "older" in row]
    assert "newer" in changed
