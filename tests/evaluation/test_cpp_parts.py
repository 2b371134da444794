"""The parts of the C++ backend that need no process."""

import _ctypes
import contextlib
import fcntl
import importlib.machinery
import mmap
import os
import random
import re
import shutil
import struct
import subprocess
import sysconfig
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.report import Resources
from avo_tui.domain.score import ConfigurationScore
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cpp import (
    allowed_symbols,
    benchmark,
    driver,
    glue,
    loops,
    machine,
    profile,
)
from avo_tui.evaluation.backends.cpp.benchmark import too_short
from avo_tui.evaluation.backends.cpp.candidate_process import Calibration, Overhead, Stage
from avo_tui.evaluation.backends.cpp.compiler import CompiledCpp
from avo_tui.evaluation.backends.cpp.elf import (
    ElfError,
    Import,
    SharedObject,
    read_object,
    read_shared_object,
)
from avo_tui.evaluation.backends.cpp.memory import (
    PAGE,
    Addresses,
    Arena,
    Layouts,
    Tensor,
    place,
)
from avo_tui.evaluation.backends.cpp.process import Call
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.tasks import find_tasks


def source(text: str) -> Candidate:
    return Candidate(files={"kernel.cpp": text})


class TestFlags:
    def test_finds_them_in_the_source(self) -> None:
        found = driver.Driver().options(source("// flags: -ffast-math -funroll-loops\n//x\n"))
        assert found == (*driver.FIXED, "-ffast-math", "-funroll-loops")

    @pytest.mark.parametrize(
        "flag",
        ["-fplugin=x.so", "-I/etc", "-o/tmp/x", "-Wl,-rpath,/x", "@file", "-include/etc/passwd",
         "-xnone", "-B/tmp", "-lblas", "-DX=\"$(id)\"", "-fopenmp;id", "/etc/passwd", "-Wa,-x"],
    )  # fmt: skip
    def test_refuses_what_reaches_outside(self, flag: str) -> None:
        with pytest.raises(driver.FlagError, match="not allowed"):
            driver.Driver().options(source(f"// flags: -O3 {flag}\n"))


class TestElf:
    @pytest.fixture(scope="class")
    @classmethod
    def library(cls) -> bytes:
        spec = importlib.machinery.PathFinder.find_spec("_ctypes")
        path = spec.origin if spec else None
        if not path or not path.endswith(".so"):
            path = str(Path(sysconfig.get_config_var("LIBDIR"), "libpython3.so"))
        if not Path(path).is_file():
            pytest.skip(f"no shared object to read beside {_ctypes.__name__}")
        return Path(path).read_bytes()

    def test_reads_imports_with_their_library(self, library: bytes) -> None:
        shared = read_shared_object(library)
        assert any(name.startswith("libc.so") for name in shared.needed)
        assert any(i.library.startswith("libc.so") for i in shared.imports)
        assert any(name.startswith("PyInit") for name in shared.exports)
        assert shared.code_bytes > 1000
        assert shared.executable_segments == 1  # so many may be mapped

    def test_nonsense_is_an_elf_error(self) -> None:
        for data in (b"", b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 200, b"MZ" * 500):
            with pytest.raises(ElfError):
                read_shared_object(data)

    @given(data=st.data())
    def test_an_altered_file_is_read_or_refused(self, library: bytes, data: st.DataObject) -> None:
        altered = bytearray(library)
        for _ in range(data.draw(st.integers(1, 20))):
            at = data.draw(st.integers(0, min(len(altered), 8192) - 1))
            altered[at] = data.draw(st.integers(0, 255))
        try:
            read_shared_object(bytes(altered))
        except ElfError:
            return


class TestObjectFile:
    @pytest.fixture(scope="class")
    @classmethod
    def data(cls) -> bytes:
        path = (
            shutil.which("g++")
            and subprocess.run(
                ["g++", "-print-file-name=crtbegin.o"], capture_output=True, text=True, check=True
            ).stdout.strip()
        )
        if not path or not Path(path).is_file():
            pytest.skip("no object file to read")
        return Path(path).read_bytes()

    def test_reads_what_it_refers_to(self, data: bytes) -> None:
        file = read_object(data)
        assert "_ITM_deregisterTMCloneTable" in file.undefined
        assert "deregister_tm_clones" not in file.undefined  # defined in it
        assert file.code_bytes > 0

    @given(data_=st.data())
    def test_an_altered_file_is_read_or_refused(self, data: bytes, data_: st.DataObject) -> None:
        altered = bytearray(data)
        for _ in range(data_.draw(st.integers(1, 20))):
            index = data_.draw(st.integers(0, len(altered) - 1))
            altered[index] = data_.draw(st.integers(0, 255))
        with contextlib.suppress(ElfError):
            read_object(bytes(altered[: data_.draw(st.integers(0, len(altered)))]))


class TestImports:
    def shared(self, *names: str, library: str = "libc.so.6", needed: str = "libc.so.6"):  # type: ignore[no-untyped-def]
        found = tuple(Import(name, library, weak=False) for name in names)
        return SharedObject((needed,), found, frozenset({"attention"}), 100)

    @pytest.mark.parametrize(
        "name",
        ["memcpy", "malloc", "free", "printf", "_Znwm", "_ZdlPvm", "_ZSt20__throw_length_errorPKc",
         "__cxa_finalize", "_ITM_deregisterTMCloneTable", "__stack_chk_fail", "GOMP_parallel",
         "omp_get_num_threads", "__gxx_personality_v0", "_ZNSt8ios_base4InitC1Ev",
         "_ZNSt16invalid_argumentC1EPKc", "_ZNSt12out_of_rangeD1Ev", "_ZSt21ios_base_library_initv",
         "__isoc23_strtol", "__isoc23_strtoul", "__strcpy_chk", "__memmove_chk"],
    )  # fmt: skip
    def test_computing_is_allowed(self, name: str) -> None:
        assert allowed_symbols.objection(self.shared(name), "attention") is None

    @pytest.mark.parametrize(
        "name",
        ["fork", "system", "execve", "dlopen", "dlsym", "pthread_create", "clock_gettime", "open",
         "fopen", "socket", "getenv", "mprotect", "syscall", "ptrace", "kill", "nanosleep",
         "__isoc23_fscanf", "__read_chk", "__longjmp_chk", "__isoc23_strtol_chk_", "_chk",
         "omp_get_wtime", "_ZNSt6chrono3_V212steady_clock3nowEv", "signal", "sigaction",
         "_ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE",
         "_ZNSt13random_device7_M_initERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
         "_ZNSt14basic_ifstreamIcSt11char_traitsIcEEC1EPKcSt13_Ios_Openmode", "cblas_sgemm"],
    )  # fmt: skip
    def test_the_rest_is_not(self, name: str) -> None:
        objection = allowed_symbols.objection(self.shared(name), "attention")
        assert objection is not None and name in objection

    def test_what_is_said_to_be_allowed_is(self) -> None:
        text = allowed_symbols.allowed()
        assert "madvise" in text and "malloc" in text
        for group in re.findall(r"\(([^)]*)\)", text):
            assert allowed_symbols.objection(self.shared(*group.split(", ")), "attention") is None

    def test_of_a_linked_runtime_library_only_what_the_candidate_refers_to_counts(self) -> None:
        shared = self.shared("close", "memcpy", "_ZGTtnam")
        own = frozenset({"memcpy@GLIBC_2.2.5", "_ZNSt6vectorIfSaIfEE", "__udivti3", "GOMP_barrier"})
        assert allowed_symbols.objection(shared, "attention") is not None
        told = allowed_symbols.objection(shared, "attention", own)
        assert told is not None and "allowed: _ZNSt6vectorIfSaIfEE;" in told
        fine = own - {"_ZNSt6vectorIfSaIfEE"}
        assert allowed_symbols.objection(shared, "attention", fine) is None
        for name in ("close", "dlopen", "_ZNSt6chrono3_V212steady_clock3nowEv", "omp_get_wtime"):
            told = allowed_symbols.objection(shared, "attention", fine | {name})
            assert told is not None and name in told

    def test_mathematics_is_allowed_as_a_whole(self) -> None:
        assert (
            allowed_symbols.objection(self.shared("any", library="libm.so.6"), "attention") is None
        )

    def test_another_library_is_not(self) -> None:
        objection = allowed_symbols.objection(self.shared(needed="libopenblas.so.0"), "attention")
        assert objection is not None and "libopenblas" in objection

    def test_the_entry_must_be_there(self) -> None:
        objection = allowed_symbols.objection(self.shared("memcpy"), "another")
        assert objection is not None and "another" in objection


def test_counts_vector_instructions() -> None:
    listing = (
        "    10f9:\tvfmadd231ps %ymm1,%ymm2,%ymm3\n"
        "    10fe:\tvfmadd231ss (%rdi),%xmm2,%xmm3\n"
        "    1102:\tvmovups %ymm4,-0x40(%rsp)\n"
        "    1108:\tvmovaps %ymm4,0x60(%rsi)\n"
        "    110d:\tvdivps %ymm1,%ymm2,%ymm3\n"
        "    1111:\tcall   1030 <expf@plt>\n"
    )
    counts = loops.count(listing)
    assert counts["instructions"] == 6
    assert counts["fma 256-bit"] == 1 and counts["fma scalar"] == 1
    assert counts["vector stack moves"] == 1
    assert counts["divisions"] == 1 and counts["calls"] == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("clflush (%rax)", "clflush"),
        ("clflushopt 0x40(%rdi,%rax,1)", "clflushopt"),
        ("clwb   (%rbx)", "clwb"),
        ("dc\tcivac, x0", "dc civac"),
        ("dc\tzva, x0", ""),
        ("prefetcht0 (%rax)", ""),
        ("vmovntps %ymm0,(%rax)", ""),
    ],
)
def test_an_instruction_that_flushes_caches_is_named(line: str, told: str) -> None:
    listing = f"    10f9:\tvmovups %ymm4,(%rsp)\n    10fe:\t{line}\n    1102:\tret\n"
    assert loops.cache_flush(listing) == told


def test_the_header_declares_the_entry_point() -> None:
    text = glue.header(find_tasks().get("attention_cpu"))
    assert 'extern "C" void attention(const float* q, const float* k' in text
    assert "float* out, int64_t batch" in text and "bool causal" in text


@given(rows=st.integers(1, 300), columns=st.integers(1, 100))
def test_a_tensor_ends_at_its_guard_page(rows: int, columns: int) -> None:
    at = place("x", (rows, columns), "float32", 3 * PAGE)
    assert at.shift % 64 == 0
    assert 0 <= at.pages_bytes - at.shift - at.bytes < 64


def test_neither_the_place_nor_the_address_of_a_tensor_can_be_foreseen() -> None:
    """Each place of a configuration comes about as often; an address comes again in half the calls,
    else it is anywhere; tensors of one stretch never touch."""
    task = find_tasks().get("attention_cpu")
    layouts, addresses, calls = Layouts(task), Addresses(), 200
    configuration = task.configurations[0]
    most = layouts.most_calls(configuration)
    stretch = [next(iter(s.inputs.values())).offset for s in layouts.draw(configuration, most)]
    assert len(set(stretch)) == most, "no two calls of a stretch share a place"
    used: Counter[int] = Counter()
    kept, before, seen = 0, dict[object, int](), set[int]()
    for _ in range(calls):
        (slot,) = layouts.draw(configuration, 1)
        (arguments,) = addresses.draw([slot])
        tensors = [one for one in arguments if isinstance(one, Tensor)]
        spans = sorted((one.address, one.address + one.place.pages_bytes) for one in tensors)
        assert all(end + PAGE <= begin for (_, end), (begin, _) in pairwise(spans))
        assert {one.descriptor for one in tensors if one.place.name in slot.inputs} == {11}
        first = tensors[0]
        used[first.place.offset] += 1
        kept += before.get(key := first.place, -1) == first.address
        before[key] = first.address
        seen.add(first.address)
    assert len(used) == most if most < 5 else len(used) > most / 2
    assert max(used.values()) < 4 * calls / len(used) and len(seen) > calls / 4
    again = calls - len(used)
    assert 0.3 * again < kept < 0.7 * again


def test_a_write_outside_an_output_is_seen() -> None:
    at = place("out", (5, 7), "float32", 0)
    arena = Arena("test", at.pages_bytes, writable=True)
    arena.poison(at, 0)
    assert arena.trespass(at) is None
    assert bool(arena.tensor(at).isnan().all())
    arena.tensor(at).fill_(1.0)
    assert arena.trespass(at) is None
    arena._map[at.shift - 3] = 0
    assert arena.trespass(at) == -3
    arena.poison(at, 0)
    arena._map[at.shift + at.bytes + 2] = 0
    assert arena.trespass(at) == at.bytes + 2
    arena.close()


def test_the_overhead_is_the_median_of_the_latest_exchanges() -> None:
    overhead = Overhead()
    for used in (10_000, 90_000, 30_000):
        overhead.note(Call(2 * used, used))
    assert overhead.exchange == Call(60_000, 30_000)
    for _ in range(15):  # the machine is busier now
        overhead.note(Call(200_000, 80_000))
    assert overhead.exchange == Call(200_000, 80_000)


def test_no_time_is_told_below_the_scatter_of_the_overhead() -> None:
    overhead = Overhead()
    for used in (10_000, 20_000, 30_000, 40_000, 50_000) * 3:
        overhead.note(Call(used, used))
    assert overhead.exchange.used == 30_000
    assert overhead.resolution == pytest.approx(18_000)


def test_a_peak_is_not_below_what_was_reached() -> None:
    reached = 102e9
    slow_clock = Calibration(1.4e9, 32.0, reached)
    assert slow_clock.ceilings(2, tiles=False).peak_flops >= 2 * reached


def test_a_case_passes_for_a_timed_call_where_it_is_no_larger() -> None:
    seen: list[str] = []
    told: list[bool] = []
    cases = {
        name: (name, SimpleNamespace(inputs={"q": torch.zeros(size)}, expected={}))
        for name, size in (("smaller", 8), ("alike", 16), ("larger", 99))
    }

    def run(name: str, inputs: object) -> list[None]:
        seen.append(name)
        return [None]

    subject: Any = SimpleNamespace(run=run)
    bench: Any = SimpleNamespace(
        _chance=random.Random(1),
        _watch=SimpleNamespace(phase=lambda name: contextlib.nullcontext()),
        _refuse_wrong=lambda *given, tell: told.append(tell),
    )
    for names, expected in (((), ()), (("larger",), ("larger",)), (cases, ("smaller", "alike"))):
        bench._disguise = [cases[name] for name in names]
        seen.clear()
        for _ in range(30):
            benchmark.Bench._pretend(bench, subject, {"q": torch.zeros(16)})
        assert set(seen) == set(expected)
    assert not any(told), "a check case's values stay its own"


def test_of_a_listing_only_the_candidate_s_own_functions_are_shown() -> None:
    head, own, brought = "a.so:\n\n", "10 <attention(float*)>:\n  10:\tret\n", "20 <brought>:\n"
    functions = profile._functions(f"a.o:\n\n{own}\n00 <other>:\n")
    assert profile._only(functions, head + own + brought) == head + own


def test_a_processor_that_waits_for_a_disk_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "cpu  9 9 9 9 9 9\ncpu0 1 2 3 40 5 6\ncpu1 1 2 3 50 5 6\nintr 7\n"
    monkeypatch.setattr(Path, "read_text", lambda self: told)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert machine._idle_ticks() == {0: 45}


def test_a_rate_above_the_peak_is_refused() -> None:
    task = find_tasks().get("attention_cpu")
    calibration = Calibration(3e9, 32.0, 80e9)
    stage = Stage(task, Sandbox(), Path("runner"), Layouts(task), calibration, 0)
    configuration = task.configurations[0]
    flops = task.flops(configuration)

    def score(gflops: float) -> ConfigurationScore:
        milliseconds = flops / gflops / 1e6
        return ConfigurationScore(
            name="x", throughput=gflops, p20=1, p80=1, ratio=1, milliseconds=milliseconds
        )

    def refuse(gflops: float, **instructions: int) -> ConfigurationScore:
        facts = Resources(instructions=instructions)
        compiled = CompiledCpp(task.seed(), facts, "", Path("library"))
        return benchmark.refuse_impossible(stage, compiled, configuration, score(gflops))

    assert refuse(60.0).flags == ()
    assert refuse(95.0).flags == ("above the measured ceiling",)
    with pytest.raises(Rejected) as caught:
        refuse(130.0)
    assert caught.value.verdict is Verdict.SUSPICIOUS
    assert "less than the" in caught.value.feedback.summary
    assert refuse(130.0, **{loops.TILE_PRODUCTS: 4}).flags == ()  # AMX does more than any vector
    with pytest.raises(Rejected):
        refuse(8000.0, **{loops.TILE_PRODUCTS: 4})


def test_inputs_cannot_be_written_however_they_are_opened() -> None:
    at = place("q", (3000,), "float32", 0)
    arena = Arena("test", at.pages_bytes, writable=False)
    again = os.open(f"/proc/self/fd/{arena.descriptor}", os.O_RDWR)
    try:
        for attempt in (
            lambda: os.write(again, b"x"),
            lambda: mmap.mmap(again, at.pages_bytes),
            lambda: os.ftruncate(again, 0),
            lambda: fcntl.fcntl(again, fcntl.F_ADD_SEALS, 0),
        ):
            with pytest.raises(OSError, match=r"not permitted|denied"):
                attempt()
        arena.tensor(at).fill_(2.0)  # ours goes on
        assert os.pread(again, 4, at.offset + at.shift) == struct.pack("<f", 2.0)
    finally:
        os.close(again)
        arena.close()


def test_calls_that_are_far_longer_than_the_median_count() -> None:
    steady = [1.0, 1.01, 0.99] * 8
    assert benchmark.even(steady, steady) == steady
    paid_later = [1.0, 1.0, 4.0] * 8
    assert sum(benchmark.even(paid_later, steady)) / 24 > 1.9
    assert benchmark.even(paid_later, paid_later) == paid_later  # the machine did it to both
    assert benchmark.even([], []) == []


@pytest.mark.parametrize(
    ("drifts", "kept"),
    [((0.0, 0.5), 0), ((0.3, 0.2), 1), ((0.2, 0.3), 0), ((0.5, 0.5), 0)],
    ids=str,
)
def test_of_two_runs_on_a_busy_machine_the_steadier_counts(
    drifts: tuple[float, float], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [
        benchmark.Samples([n + 1.0] * 20, {"library": [1.0] * 10 + [1.0 + drift] * 10})
        for n, drift in enumerate(drifts)
    ]
    left, exchange = list(runs), SimpleNamespace(used=0.0)
    bench: Any = SimpleNamespace(
        task=SimpleNamespace(reference_baseline="library"), calls=1,
        warm=lambda subjects, seconds: None, sample=lambda subject: left.pop(0),
    )  # fmt: skip
    subject: Any = SimpleNamespace(
        refuse_leftovers=lambda: None, overhead=SimpleNamespace(exchange=exchange)
    )
    context: Any = SimpleNamespace(
        watch=SimpleNamespace(phase=lambda name: contextlib.nullcontext())
    )

    def score_of(bench: object, samples: benchmark.Samples) -> ConfigurationScore:
        took = samples.candidate[0]
        return ConfigurationScore(name="x", throughput=1, p20=1, p80=1, ratio=1, milliseconds=took)

    monkeypatch.setattr(benchmark, "score_of", score_of)
    assert benchmark._measure(bench, subject, context, 0.0).milliseconds == kept + 1
    assert len(left) == (1 if drifts[0] <= 0.1 else 0), "timed again where it drifted alone"


def test_a_kernel_that_the_exchange_outweighs_is_marked() -> None:
    (flag,) = too_short(40_000, 1, 12_000)
    assert flag == "too short to tell: 12 µs of exchange were taken off each call of 40 µs"
    (flag,) = too_short(9_600, 16, 5_000)
    assert flag == "too short to tell: 5 µs of exchange were taken off each 16 calls of 10 µs"
    assert too_short(40_000, 1, 9_000) == () == too_short(1e6, 1, 30_000)
