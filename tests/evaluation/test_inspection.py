"""What a candidate compiled to: real compilers, real listings."""

import re
import shutil

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import (
    ListingQuestion,
    MachineQuestion,
    ProfileQuestion,
    ProfileWanted,
    SeedQuestion,
    Window,
)
from avo_tui.evaluation.backends.cpp.profile import deepest
from avo_tui.evaluation.disassembly_view import hottest_loop, shown, split_objdump, split_sass
from avo_tui.evaluation.evaluators import LocalEvaluator
from tests.evaluation.test_cpp_loops import NESTED

OBJDUMP = """
0000000000001150 <attention>:
    1150:\tpush   %r13
    1152:\tvfmadd231ps %ymm0,%ymm1,%ymm2
    1156:\tjne    1152 <attention+0x2>
    1158:\tret

0000000000001160 <helper>:
    1160:\tret
"""
SASS = """
\t.section\t.text.one,"ax",@progbits
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   FFMA R0, R1, R2, R0 ;
        /*0020*/              @P0  BRA `(.L_x_1) ;
        /*0030*/                   EXIT ;
\t.section\t.text.two,"ax",@progbits
        /*0000*/                   EXIT ;
"""


def test_functions_are_told_apart_and_the_longest_is_shown() -> None:
    listings = split_objdump(OBJDUMP)
    assert [item.name for item in listings] == ["attention", "helper"]
    text = shown(listings, None, {"resources": "1 KB"})
    assert text.startswith("resources: 1 KB\nfunctions: attention (4 lines), helper")
    assert "vfmadd231ps" in text and "1160:" not in text
    assert "1160:" in shown(listings, "help", {})
    assert "There is no function 'x'. There are: attention, helper" in shown(listings, "x", {})
    assert [item.name for item in split_sass(SASS)] == ["one", "two"]
    assert shown([], None, {}) == "The listing is empty."


@pytest.mark.parametrize("wanted", ["1160", "0x1160", "0X1160"])
def test_an_address_that_a_profile_names_finds_its_function(wanted: str) -> None:
    text = shown(split_objdump(OBJDUMP), wanted, {})
    assert "\nhelper, 1 lines\n" in text and "1160:" in text and "1150:" not in text
    assert "There is no function 'ffff'" in shown(split_objdump(OBJDUMP), "ffff", {})
    inside = shown(split_objdump(OBJDUMP), "1154", {})
    assert "\nattention, 4 lines\n" in inside, "an address within an instruction, as samples have"
    assert "There is no function '1159'" in shown(split_objdump(OBJDUMP), "1159", {})
    assert "\none, " in shown(split_sass(SASS), "0010", {})


def test_the_lines_around_an_address_are_shown() -> None:
    straight = "\n".join(f"    {0x3000 + i:x}:\tnop" for i in range(3000))
    text = shown(split_objdump(f"0000000000003000 <long>:\n{straight}\n"), "3700", {})
    assert f"\nlong, lines {0x700 + 1 - 40} to " in text and "3700:" in text
    first = shown(split_objdump(f"0000000000003000 <long>:\n{straight}\n"), "3700", {},
                  Window(first_line=1, lines=2))  # fmt: skip
    assert "lines 1 to 2 of 3000" in first


def test_the_function_with_the_deepest_loop_is_shown_unless_one_is_named() -> None:
    straight = "\n".join(f"    {0x3000 + i:x}:\tnop" for i in range(400))
    listing = f"{NESTED}\n0000000000003000 <long_without_a_loop>:\n{straight}\n"
    assert deepest(listing) == "kernel" and deepest(listing[listing.index("<long") - 17 :]) is None
    text = shown(split_objdump(listing), deepest(listing), {})
    assert "long_without_a_loop (400 lines)" in text and "\nkernel, " in text


def test_a_long_listing_begins_at_its_hottest_loop() -> None:
    body = [f"    {0x2000 + i:x}:\tnopw   0x0(%rax,%rax,1)" for i in range(1000)]
    body[900] = f"    {0x2000 + 900:x}:\tjne    {0x2000 + 600:x} <f+0x1>"
    assert hottest_loop(body) == 595
    text = shown(split_objdump("0000 <f>:\n" + "\n".join(body)), None, {})
    assert "of 1000, around the longest backward" in text and "f, lines 596 to " in text
    assert hottest_loop(split_sass(SASS)[0].text.splitlines()) == 0


@pytest.mark.skipif(shutil.which("objdump") is None, reason="binutils are not installed")
async def test_the_assembly_of_a_real_candidate() -> None:
    async with LocalEvaluator() as evaluator:
        seed = await evaluator.ask("attention_cpu", SeedQuestion())
        text = (await evaluator.ask("attention_cpu", ListingQuestion(files=seed.files))).text
        assert "functions: attention" in text
        assert "%r" in text, "instructions with their registers"
        broken = Candidate(files=dict.fromkeys(seed.files, "int x = ;"))
        listing = await evaluator.ask("attention_cpu", ListingQuestion(files=broken.files))
        refused = listing.text
        assert refused.startswith("compile_error: ") and "\n" not in refused
        unknown = ProfileQuestion(files=seed.files, wanted=ProfileWanted(configuration="no"))
        answer = await evaluator.ask("mha_forward", unknown)
        assert "There is no configuration" in answer.text
        machine = await evaluator.ask("attention_cpu", MachineQuestion())
        assert next(iter(machine.peak_flops.values())) > 1e9
        assert any(line.startswith("options: -O3") for line in machine.facts)


def test_every_line_of_a_long_listing_can_be_read_page_by_page() -> None:
    body = [f"    {0x2000 + i:x}:\tvmovaps %ymm{i % 16},0x{i:x}(%rsp)" for i in range(3000)]
    listings = split_objdump("0000 <f>:\n" + "\n".join(body))
    seen: list[str] = []
    first, pages = 1, 0
    while first:
        text = shown(listings, None, {}, Window(first_line=first))
        assert len(text) < 14_000
        _, heading, *lines = text.splitlines()
        assert heading.startswith(f"f, lines {first} to ")
        more = re.fullmatch(r"\(go on with first_line=(\d+)\)", lines[-1])
        seen += lines[:-1] if more else lines
        first, pages = int(more[1]) if more else 0, pages + 1
    assert pages > 3 and len(seen) == 3000
    assert seen[1234].startswith("24d2:"), "in their order"
    whole = shown(listings, None, {}, Window(lines=100_000))
    assert whole.splitlines()[2:] == seen
    assert "f has 3000 lines; there is no line 3001" in shown(
        listings, None, {}, Window(first_line=3001)
    )
