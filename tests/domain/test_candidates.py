"""The content of a candidate, and the names of its files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from avo_tui.domain.candidate import Candidate, check_file_name
from avo_tui.domain.commands import Submit, parse_command

sources = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_-]{0,8}\.(cpp|cu|h)", fullmatch=True),
    st.text(st.characters(codec="utf-8"), max_size=50),
    min_size=1,
    max_size=5,
)


@given(sources)
def test_a_candidate_is_its_content(files: dict[str, str]) -> None:
    one = Candidate(files=files)
    other = Candidate(files=dict(reversed(files.items())))
    assert one.id == other.id and one.canonical() == other.canonical()
    again = Candidate.model_validate_json(one.canonical())
    assert again == one and again.id == one.id
    name = next(iter(files))
    assert one.with_file(name, files[name] + "x").id != one.id
    assert one.with_file(name, files[name]).id == one.id


@given(sources)
def test_a_submitted_candidate_survives_the_inbox(files: dict[str, str]) -> None:
    command = Submit(candidate=Candidate(files=files), plan="é\x1b[0m")
    assert parse_command(command.model_dump_json()) == command


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "a/../b", "./a", "a//b", ".hidden", "a/.git", "a\\b", "a\0b",
     "/".join("abcdefghijklmnopq"), "x" * 241, "a b", "a\n", "a;b"],
)  # fmt: skip
def test_a_file_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        check_file_name(name)
    with pytest.raises(ValidationError):
        Candidate(files={name: ""})


@pytest.mark.parametrize("name", ["kernel.cpp", "a/b/c.h", "a-b_c.cu"])
def test_plain_names_are_taken(name: str) -> None:
    assert check_file_name(name) == name


def test_a_candidate_has_bounds() -> None:
    with pytest.raises(ValidationError, match="at least one"):
        Candidate(files={})
    with pytest.raises(ValidationError, match="at most 2000 files"):
        Candidate(files={f"f{i}": "" for i in range(2001)})
    with pytest.raises(ValidationError, match="the limit is"):
        Candidate(files={"a": "é" * (256 * 1024 + 1)})
