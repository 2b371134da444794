"""Which headers a candidate may include. NVRTC reads host files, so this is decided before it runs.

The scan is deliberately strict: it also looks into comments and strings, so that no trick with
either hides a directive from it. What it lets through, the sandbox still confines.
"""

from __future__ import annotations

import posixpath
import re

from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate

ALLOWED = re.compile(
    r"""^(
    cuda_(bf16|fp16|fp8|fp6|fp4)\.h | mma\.h | cuda_pipeline(_primitives|_helpers)?\.h
  | cuda_awbarrier(_primitives|_helpers)?\.h | cooperative_groups\.h
  | cooperative_groups/[a-z_]+\.h | vector_types\.h | vector_functions\.h | math_constants\.h
  | device_atomic_functions\.h | sm_[0-9]{2}_(intrinsics|atomic_functions)\.h
  | cuda\.h | cuda_runtime\.h | c?std(int|def)(\.h)? | curand_(philox4x32_x|kernel)\.h
  | (cuda|cub|nv|cute|cutlass)/[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*(\.h|\.hpp|\.cuh|\.inl)?
    )$""",
    re.VERBOSE,
)
_GAP = r"(?:\s|\\\r?\n|/\*.*?\*/)*"
_HASH = r"(?:\#|%:|\?\?=)"
_DIRECTIVE = re.compile(
    rf"{_HASH}{_GAP}(include_next|include|import|embed|__include_macros)\b({_GAP})([^\n]{{0,200}})",
    re.DOTALL,
)
_PROBE = re.compile(r"__has_include(_next)?|__has_embed|\.incbin")
_TARGET = re.compile(r'^(?:<([^<>"\n]{1,120})>|"([^<>"\n]{1,120})")')
_CUTLASS = re.compile(
    r'^[ \t]*#[ \t]*include[ \t]*[<"]((?:cute|cutlass)/[^<>"\n]{1,120})[>"]', re.M
)


class IncludeIssue(Value):
    """An include that is not allowed."""

    file: str
    line: int
    reason: str


def scan(candidate: Candidate) -> list[IncludeIssue]:
    """Every include in the candidate's files that is not allowed, in order."""
    issues: list[IncludeIssue] = []
    for name, text in candidate.files.items():
        if name in {"launch.toml", "launch.json"}:
            continue
        # The compiler joins continued lines first; keep offsets by joining to nothing in a copy.
        issues += _scan_text(name, text, set(candidate.files))
        joined = re.sub(r"(\\|\?\?/)[ \t]*\r?\n", "", text)
        if joined != text:
            seen = {i.reason for i in issues}
            issues += [
                i for i in _scan_text(name, joined, set(candidate.files)) if i.reason not in seen
            ]
    return issues


def needing_cutlass(candidate: Candidate) -> list[IncludeIssue]:
    """The candidate's own includes of CUTLASS and CuTe: what to say where neither is installed."""
    return [
        IncludeIssue(
            file=name,
            line=text.count("\n", 0, match.start()) + 1,
            reason=f"{match[1]!r} is not on this machine; the person who runs it can install "
            "CUTLASS: pip install 'avo-tui[cutlass]', or set CUTLASS_PATH to a checkout",
        )
        for name, text in candidate.files.items()
        for match in _CUTLASS.finditer(text)
        if match[1] not in candidate.files
    ]


def _scan_text(name: str, text: str, own: set[str]) -> list[IncludeIssue]:
    issues = []
    for match in _DIRECTIVE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        word, rest = match[1], match[3]
        if word != "include":
            reason = f"#{word} is not allowed; use #include with an allowed header"
            issues.append(IncludeIssue(file=name, line=line, reason=reason))
            continue
        target = _TARGET.match(rest)
        if target is None:
            reason = f"an include must name its header plainly, not {rest.strip()[:60]!r}"
            issues.append(IncludeIssue(file=name, line=line, reason=reason))
            continue
        reason_of = refuse(target[1] or target[2], target[2] is not None, name, own)
        if reason_of:
            issues.append(IncludeIssue(file=name, line=line, reason=reason_of))
    for match in _PROBE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        issues.append(IncludeIssue(file=name, line=line, reason=f"{match[0]} is not allowed"))
    return issues


def refuse(target: str, quoted: bool, file: str, own: set[str]) -> str | None:
    """Why `target` must not be included from `file`; None where it may."""
    plain = posixpath.normpath(target) == target and not target.startswith("/")
    if plain and ".." not in target.split("/"):
        beside = posixpath.join(posixpath.dirname(file), target)
        if quoted and (beside in own or target in own):
            return None
        if ALLOWED.match(target):
            return None
    return (
        f"header {target!r} is not allowed: include the candidate's own files, CUDA's device "
        "headers (cuda_bf16.h, mma.h, cooperative_groups.h, …), cuda/…, cub/…, nv/…, cute/… or "
        "cutlass/…"
    )
