"""Patches that an agent hands in: what applies, and what is said of those that do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.difference import unified
from avo_tui.patches import ChangeError, apply_patch

TEXT = "".join(f"line {n}\n" for n in range(1, 41))


def candidate(text: str) -> Candidate:
    return Candidate(files={"k.cpp": text})


def test_a_diff_with_wrong_line_numbers_applies() -> None:
    diff = "--- a/k.cpp\n+++ b/k.cpp\n@@ -3,3 +3,3 @@\n line 20\n-line 21\n+changed\n line 22\n"
    after, what = apply_patch(candidate(TEXT), diff)
    assert "changed" in after.files["k.cpp"] and "line 21\n" not in after.files["k.cpp"]
    assert "1 hunk" in what


@pytest.mark.parametrize(
    ("diff", "words"),
    [
        ("", "No file header"),
        ("replace line 3", "No file header"),
        ("--- a/k.cpp\n+++ b/k.cpp\n@@ -1,3 +1,3 @@\n line 1\n-line 2\n", "well-formed"),
        ("--- a/k.cpp\n+++ b/k.cpp\n@@ -1,1 +1,1 @@\n-line one\n+x\n", "The file reads there"),
        ("--- a/no.cpp\n+++ b/no.cpp\n@@ -1,1 +1,1 @@\n-a\n+x\n", "has no file 'no.cpp'"),
        ("--- /dev/null\n+++ b/k.cpp\n@@ -0,0 +1,1 @@\n+x\n", "exists already"),
        ("--- /dev/null\n+++ b/../k.cpp\n@@ -0,0 +1,1 @@\n+x\n", "'..'"),
        ("--- a/k.cpp\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-line 1\n", "at least one file"),
    ],
)
def test_bad_diffs_say_what_is_wrong(diff: str, words: str) -> None:
    with pytest.raises(ChangeError) as caught:
        apply_patch(candidate(TEXT), diff)
    assert words in str(caught.value)


def test_all_hunks_apply_or_none() -> None:
    good = "@@ -1,1 +1,1 @@\n-line 1\n+first\n"
    wrong = "@@ -30,1 +30,1 @@\n-no such line\n+x\n"
    before = candidate(TEXT)
    with pytest.raises(ChangeError, match=r"Hunk 2 of k\.cpp"):
        apply_patch(before, f"--- a/k.cpp\n+++ b/k.cpp\n{good}{wrong}")
    assert before.files["k.cpp"] == TEXT


lines = st.lists(st.sampled_from(["a", "b", "", "  x", "{", "}"]), min_size=1, max_size=30)


@given(lines, lines)
def test_applying_our_own_diff_gives_the_other_text(old: list[str], new: list[str]) -> None:
    before, after = candidate("\n".join(old) + "\n"), candidate("\n".join(new) + "\n")
    diff = unified(before, after).text
    if diff:
        assert apply_patch(before, diff)[0].files == after.files
