"""Compiled units: what they hold, whether the manifest fits them, what they take."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.domain.report import Resources
from avo_tui.evaluation.backends.cuda import cubin, ptxas
from avo_tui.evaluation.backends.cuda.manifest import Manifest
from avo_tui.evaluation.backends.cuda.manifest_text import Issue, ManifestError, line_of, undotted


class Unit(Value):
    """One compiled translation unit."""

    variants: tuple[int | None, ...]
    """The variants (None: no variant) that use it."""
    macros: dict[str, str]
    code: bytes = Field(repr=False)
    """The cubin."""
    symbols: dict[str, str]
    """Entry as the manifest names it → symbol in the cubin."""
    image: cubin.Image
    hidden: bool = False
    """Made for hidden configurations alone: nothing of it is shown."""

    def request(self, path: str) -> dict[str, object]:
        """What the GPU process is told of it; `path` holds the code."""
        fresh = self.image.global_bytes > 0
        return {"path": path, "symbols": self.symbols, "fresh": fresh}


SIZES = {
    "tensor": 8, "workspace": 8, "map": 128, "i32": 4, "u32": 4, "i64": 8, "u64": 8, "f32": 4,
    "f64": 8,
}  # fmt: skip
"""Bytes of each kind of parameter."""


def check_entries(manifest: Manifest, units: Sequence[Unit], file: str, text: str) -> None:
    """Every stage names a kernel of its unit, with as many parameters of the same sizes."""
    issues: list[Issue] = []

    def issue(path: str, reason: str) -> None:
        line = line_of(text, undotted(path)) if file.endswith(".toml") else None
        if all(i.path != path for i in issues):
            issues.append(Issue(path=path, line=line, reason=reason))

    for unit in units:
        for variant in unit.variants:
            for stage, where in manifest.launches_of(variant):
                kernel = unit.image.kernels.get(unit.symbols[stage.entry])
                if kernel is None:
                    have = ", ".join(sorted(unit.image.kernels)) or "none"
                    issue(
                        f"{where}.entry",
                        f"there is no kernel {stage.entry!r} in the compiled source; it has: {have}"
                        ' (declare it extern "C" __global__)',
                    )
                    continue
                if stage.params is not None:
                    params, path = stage.params, f"{where}.params"
                elif stage.entry in manifest.kernels:
                    params = manifest.kernels[stage.entry].params
                    path = f"kernels.{stage.entry}.params"
                else:
                    issue(
                        f"{where}.entry",
                        f"{stage.entry!r} has no parameters: add [kernels.{stage.entry}]",
                    )
                    continue
                if len(params) != len(kernel.params):
                    issue(
                        path,
                        f"lists {len(params)} parameters; kernel {stage.entry} has "
                        f"{len(kernel.params)}",
                    )
                    continue
                for i, (param, size) in enumerate(zip(params, kernel.params, strict=True)):
                    ours = SIZES[param.kind]
                    if ours != size:
                        issue(
                            f"{path}[{i}]",
                            f"{param.kind} has {ours} bytes; parameter {i} of kernel "
                            f"{stage.entry} has {size}",
                        )
    if issues:
        raise ManifestError(issues, file)


def resources_of(
    units: Sequence[Unit], logs: Sequence[str], counts: Sequence[dict[str, int]]
) -> Resources:
    """Registers, spills, memory, code and counts: the largest over all units."""
    kernels: dict[str, dict[str, int]] = {}
    for unit, log in zip(units, logs, strict=True):
        named = {symbol: entry for entry, symbol in unit.symbols.items()}
        for symbol, use in ptxas.kernels(log).items():
            name = named.get(symbol, symbol)
            if len(units) > 1:
                which = ", ".join("default" if v is None else f"{v}" for v in unit.variants)
                name = f"{name} [variant {which}]"
            image = unit.image.kernels.get(symbol)
            kernels[name] = {
                "registers": use.registers,
                "spill_bytes": use.spill_stores + use.spill_loads,
                "stack_bytes": use.stack_bytes,
                "shared_memory": image.static_shared if image else use.static_shared,
                "barriers": use.barriers,
                "code_bytes": image.code_bytes if image else 0,
            }
    instructions: dict[str, int] = {}
    for unit_counts in counts:
        for name, number in unit_counts.items():
            instructions[name] = max(instructions.get(name, 0), number)

    def largest(key: str) -> int:
        return max((k[key] for k in kernels.values()), default=0)

    warnings: list[str] = []
    for log in logs:
        warnings += ptxas.warnings(log)
    return Resources(
        registers=largest("registers"),
        spill_bytes=largest("spill_bytes"),
        stack_bytes=largest("stack_bytes"),
        shared_memory=largest("shared_memory"),
        code_bytes=max((u.image.code_bytes for u in units), default=0),
        instructions=instructions,
        kernels=kernels,
        warnings=tuple(dict.fromkeys(warnings)),
    )
