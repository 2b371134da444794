"""Signs for a terminal whose locale has ASCII alone."""

import re
from pathlib import Path

import pytest

import avo_tui.ui
from avo_tui.ui.terminal import ascii


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"LANG": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),  # set by Python, not by the person
        ({"LANG": "C", "LC_ALL": "en_US.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, True),
        ({"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, True),
    ],
)
def test_what_the_locale_says(environment: dict[str, str], expected: bool) -> None:
    assert ascii.wanted(environment) is expected


def test_every_sign_of_the_screens_has_one_that_stands_for_it() -> None:
    folder = Path(avo_tui.ui.__file__).parent
    words = r'"[^"\n]*[^\x00-\x7f][^"\n]*"'
    shown = [re.findall(words, p.read_text()) for p in folder.rglob("*.py") if p.name != "ascii.py"]
    signs = {s for texts in shown for text in texts for s in text if not s.isascii()}
    assert len(signs) > 40
    assert not {s for s in signs if not s.translate(ascii.TABLE).isascii()} - set("␛␊⇥")
