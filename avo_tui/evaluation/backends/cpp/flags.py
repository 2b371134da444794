"""Compiler flags: the fixed ones, and those a source may ask for with a `// flags:` line."""

from __future__ import annotations

import re

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.compiler_flags import FLAGS_LINE

FIXED = ("-O3", "-march=native", "-fopenmp", "-std=gnu++17", "-fPIC", "-shared", "-Wall", "-Wextra")

_ALLOWED = re.compile(
    r"-O[123]|-Ofast|-std=(c|gnu)\+\+(17|20|23)"
    r"|-m(no-)?(fma|avx2?|avx512[a-z0-9]+|sse[a-z0-9.]*|bmi2?|prefer-vector-width=\d+)"
    r"|-mtune=[a-z0-9-]+|-mcpu=native"
    r"|-f(no-)?(fast-math|finite-math-only|math-errno|trapping-math|signed-zeros|rounding-math"
    r"|associative-math|reciprocal-math|unsafe-math-optimizations|strict-aliasing|omit-frame-pointer"
    r"|unroll-loops|unroll-all-loops|peel-loops|split-loops|unswitch-loops|tree-[a-z-]+|slp-vectorize"
    r"|vectorize|inline|inline-functions|ipa-[a-z-]+|gcse|gcse-las|schedule-insns2?|sched-[a-z-]+"
    r"|rename-registers|prefetch-loop-arrays|modulo-sched|align-loops|align-functions|web|split-paths"
    r"|exceptions|rtti|threadsafe-statics|lto|graphite-identity|loop-nest-optimize)"
    r"|-falign-(loops|functions|jumps)=\d+|-finline-limit=\d+|-ffp-contract=(fast|on|off)"
    r"|-fvect-cost-model=(unlimited|dynamic|cheap)|-fsimd-cost-model=(unlimited|dynamic|cheap)"
    r"|-ffp-model=(fast|precise|strict)|-W(no-)?[a-z0-9-]+(=\d+)?"
    r"|--param=[a-z0-9-]+=\d+|-D[A-Z][A-Z0-9_]*(=[A-Za-z0-9_]+)?"
)
_MOST = 24


class FlagError(ValueError):
    """A flag that a candidate may not use."""


def declared_flags(candidate: Candidate) -> tuple[str, ...]:
    """The further flags of a candidate, in order; raises FlagError that names the one refused."""
    flags: list[str] = []
    for name, text in candidate.files.items():
        for line in FLAGS_LINE.findall(text):
            for flag in line.split():
                if not _ALLOWED.fullmatch(flag):
                    raise FlagError(
                        f"{name} asks for the compiler flag {flag}, which is not allowed; "
                        "optimisation, floating-point and -D flags are"
                    )
                flags.append(flag)
    unique = tuple(dict.fromkeys(flags))
    if len(unique) > _MOST:
        raise FlagError(f"a candidate may ask for at most {_MOST} compiler flags")
    return unique
