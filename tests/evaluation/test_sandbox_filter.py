"""The filter of system calls, number by number, as the kernel would run it."""

import re
from pathlib import Path

import pytest

from avo_tui.evaluation.sandbox import calls, seccomp

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
HEADERS = {"x86_64": "x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "asm-generic/unistd.h"}
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def answer(program: list[tuple[int, int, int, int]], data: dict[int, int]) -> int:
    """What a classic BPF program returns; `data` is by offset."""
    at = held = 0
    while True:  # ends: a filter jumps forward only
        code, yes, no, value = program[at]
        at += 1
        if code == 0x20:
            held = data[value]
        elif code == 0x06:
            return value
        else:
            true = {0x15: held == value, 0x45: bool(held & value), 0x35: held >= value}[code]
            at += yes if true else no


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_call_is_answered_as_its_name_says(machine: str) -> None:
    program, arch = seccomp._program(machine, ["kcmp"]), ARCHITECTURES[machine]
    names = {number: name for name, number in calls.table(machine).items()}
    for number in range(600):
        name = names.get(number, "")
        told = answer(program, {0: number, 4: arch, 16: 0x11})
        refused = name in seccomp.REFUSED and name != "kcmp"
        assert told == (EPERM if refused else ENOSYS if name == "clone3" else ALLOW), name
        assert answer(program, {0: number, 4: arch ^ 1, 16: 0}) == KILL
    for bit in range(32):
        clone = {0: calls.table(machine)["clone"], 4: arch, 16: 1 << bit}
        new = bit in {17, 25, 26, 27, 28, 29, 30}  # CLONE_NEWNS to CLONE_NEWNET
        assert answer(program, clone) == (EPERM if new else ALLOW)
    if machine == "x86_64":
        for number in (0x40000000, 0x40000029, 0xFFFFFFFF):
            assert answer(program, {0: number, 4: arch, 16: 0}) == KILL


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_numbers_are_those_of_the_kernel(machine: str) -> None:
    header = Path("/usr/include") / HEADERS[machine]
    if not header.exists():
        pytest.skip("no headers of the kernel (Debian: linux-libc-dev)")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
    numbers = {name: int(number) for name, number in found}
    numbers["newfstatat"] = numbers.get("newfstatat", numbers.get("fstatat", -1))
    told = {n: v for n, v in calls.table(machine).items() if n in numbers}
    assert told == {name: numbers[name] for name in told} and len(told) > 80
    assert calls.table("s390x") == {}
