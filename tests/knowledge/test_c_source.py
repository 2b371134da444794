"""The splitter for C, C++ and CUDA."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.knowledge.c_source import c_symbols
from avo_tui.knowledge.code import parse_code


def names(text: str, big: int = 4000) -> list[str]:
    return [section.symbol for section in c_symbols(text, big)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int f(int a) { return a; }", ["f"]),
        ("namespace a::b { namespace { void g() {} } }", ["a::b::g"]),
        ('extern "C" { void h(void) { } }', ["h"]),
        ("struct S { int x; };", ["S"]),
        ("class API Name final : public Base<int> { };", ["Name"]),
        ("enum class E : int { A, B };", ["E"]),
        ("template <class T, int N = 3> T T1<T>::get() const noexcept { }", ["T1<T>::get"]),
        ("template <> struct Map<int> { };", ["Map"]),
        (
            "template <int D>\n__global__ void __launch_bounds__(384, 1) k(const int* p) { }",
            ["k"],
        ),
        ("__global__ LAUNCH_BOUNDS_2(1, 2) void k2(int x) { }", ["k2"]),
        ("A::A(int x) : x_(x), y_{x} { }", ["A::A"]),
        ("A::~A() { }", ["A::~A"]),
        ("bool operator==(A a, A b) { return true; }", ["operator=="]),
        ("int operator()(int a) { return a; }", ["operator()"]),
        ("void f(T x = {}) { }", ["f"]),
        ("int table[] = { 1, 2, 3 }; void after() { }", ["after"]),
        ("auto f = [](int x) { return x; }; void after() { }", ["after"]),
        ("#define M(x) { x\nvoid f() { }", ["f"]),
        ("#define M(x) \\\n  { x\nvoid f() { }", ["f"]),
        ("#if A\nvoid f() {\n#else\nvoid f(int) {\n#endif\n}\nvoid g() { }", ["f", "g"]),
        (
            "/* { */ void f() { char c = '{'; auto s = \"}\"; } // }\nvoid g() { }",
            ["f", "g"],
        ),
        ('auto s = R"x( } " { )x"; void g() { int big = 1\'000\'000; }', ["g"]),
        ("union U { int a; float b; } u; void f() {}", ["U", "f"]),
    ],
)
def test_symbols(text: str, expected: list[str]) -> None:
    assert names(text) == expected


def test_a_big_class_gives_its_members() -> None:
    text = "namespace n { struct Big { int x;\n void one() { }\n void two() { } }; }"
    assert names(text) == ["n::Big"]
    assert names(text, big=10) == ["n::Big::one", "n::Big::two"]


def test_a_comment_belongs_to_what_follows_it() -> None:
    text = '#include "x.h"\n\n// Says what f does.\nvoid f() { }\n'
    section = c_symbols(text, 4000)[0]
    assert text[section.start : section.end].startswith("// Says what f does.")


def test_kernels_are_labelled() -> None:
    parsed = parse_code("__global__ void k() { }\n", "k.cu", ".cu")
    assert parsed.sections[0].path == ("kernel k",)


@given(st.text(alphabet="{}()<>;:,=#\\\"'/*\nabc template class struct namespace", max_size=300))
def test_anything_is_covered(text: str) -> None:
    parsed = parse_code(text, "x.cpp", ".cpp")
    at = 0
    for section in parsed.sections:
        assert section.start >= at
        assert not text[at : section.start].strip(" \t\n};")
        at = section.end
    assert at <= len(text)
    assert not text[at:].strip(" \t\n};")
