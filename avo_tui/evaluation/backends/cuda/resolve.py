"""Resolves a manifest for one configuration and one device, and checks the result.

Every error of a launch that can be found without a GPU is found here, so that a machine without a
GPU reports the same errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from avo_tui.evaluation.backends.cuda.launch_plan import (
    DeviceFacts,
    LaunchPlan,
    PlannedMap,
    PlannedParam,
    PlannedStage,
    PlannedWorkspace,
    TensorSpec,
)
from avo_tui.evaluation.backends.cuda.manifest import (
    DTYPE_BYTES,
    MAX_WORKSPACE_BYTES,
    Issue,
    Manifest,
    ManifestError,
    Param,
    Stage,
    TensorMap,
    line_of,
    undotted,
)
from avo_tui.evaluation.backends.cuda.toolkit import architecture_number
from avo_tui.evaluation.expressions import (
    ExpressionError,
    Number,
    evaluate_condition,
    evaluate_integer,
    evaluate_real,
)

SWIZZLE_BYTES = {"none": 0, "32B": 32, "64B": 64, "128B": 128}


@dataclass(frozen=True)
class Origin:
    """Where a manifest comes from, for the words and line numbers of errors."""

    text: str = ""
    file: str = "launch.toml"
    configuration: str = ""
    """Name of the configuration that the manifest is resolved for."""


class _Resolver:
    """Resolves one manifest for one configuration; raises ManifestError at the first error."""

    def __init__(
        self,
        manifest: Manifest,
        names: Mapping[str, Number],
        tensors: Sequence[TensorSpec],
        device: DeviceFacts,
        constants: Mapping[str, int],
        origin: Origin,
    ) -> None:
        self.manifest = manifest
        self.device = device
        self.tensors = {t.name: t for t in tensors}
        self.origin = origin
        self.names: dict[str, Number] = {**names, "SMS": device.sms}
        for name, constant in constants.items():
            self.names.setdefault(name, constant)
        self.variant = self._variant()
        for name, value in manifest.macros_of(self.variant).items():
            known = {**names, "SMS": device.sms}
            if name in known and value != known[name]:
                self.fail(
                    "macros",
                    f"macro {name} is {value}, but {name} is {self.names[name]} here: choose it by "
                    "a variant, or use another name",
                )
            if isinstance(value, bool | int):
                self.names[name] = int(value)
        own = {} if self.variant is None else manifest.variants[self.variant].tensor_maps
        base = "" if self.variant is None else f"variants[{self.variant}]."
        self.map_sources: dict[str, tuple[TensorMap, str]] = {
            **{n: (m, f"tensor_maps.{n}") for n, m in manifest.tensor_maps.items()},
            **{n: (m, f"{base}tensor_maps.{n}") for n, m in own.items()},
        }
        self.workspaces = self._workspaces(base)
        self.maps: dict[str, PlannedMap] = {}

    def fail(self, path: str, reason: str) -> NoReturn:
        origin = self.origin
        line = line_of(origin.text, undotted(path)) if origin.file.endswith(".toml") else None
        suffix = f" (configuration {origin.configuration})" if origin.configuration else ""
        raise ManifestError([Issue(path=path, line=line, reason=reason + suffix)], origin.file)

    def integer(self, expression: int | str, path: str, low: int, high: int) -> int:
        try:
            value = evaluate_integer(expression, self.names)
        except ExpressionError as error:
            self.fail(path, f"{expression!r}: {error}")
        if not low <= value <= high:
            shown = f"{expression!r} is {value}" if isinstance(expression, str) else f"{value}"
            self.fail(path, f"{shown}; it must be from {low} to {high}")
        return value

    def _variant(self) -> int | None:
        for index, variant in enumerate(self.manifest.variants):
            try:
                if evaluate_condition(variant.when, self.names):
                    return index
            except ExpressionError as error:
                self.fail(f"variants[{index}].when", f"{variant.when!r}: {error}")
        return None

    def _workspaces(self, base: str) -> dict[str, PlannedWorkspace]:
        own = {} if self.variant is None else self.manifest.variants[self.variant].workspace
        sources = {
            **{n: (w, f"workspace.{n}") for n, w in self.manifest.workspace.items()},
            **{n: (w, f"{base}workspace.{n}") for n, w in own.items()},
        }
        planned: dict[str, PlannedWorkspace] = {}
        for name, (workspace, path) in sources.items():
            if name in self.tensors:
                self.fail(path, f"{name} is the name of a tensor of the task")
            size = self.integer(workspace.bytes, f"{path}.bytes", 1, MAX_WORKSPACE_BYTES)
            planned[name] = PlannedWorkspace(
                bytes=size, zero=workspace.zero, persistent=workspace.persistent
            )
            if sum(w.bytes for w in planned.values()) > MAX_WORKSPACE_BYTES:
                limit = MAX_WORKSPACE_BYTES >> 20
                self.fail(f"{path}.bytes", f"all workspaces together exceed {limit} MiB")
        return planned

    def plan(self) -> LaunchPlan:
        stages, path = self.manifest.stages_of(self.variant)
        planned = tuple(self._stage(s, f"{path}[{i}]", i) for i, s in enumerate(stages))
        written = {t.name for t in self.tensors.values() if t.output}
        reached = {p.buffer for s in planned for p in s.params if p.kind == "pointer"}
        reached |= {
            self.maps[p.buffer].buffer for s in planned for p in s.params if p.kind == "map"
        }
        for name in sorted(written - reached):
            self.fail(path, f"no stage is given the output {name!r}")
        return LaunchPlan(
            variant=self.variant,
            stages=planned,
            maps=self.maps,
            workspaces=self.workspaces,
            prepare=self._prepare(reached),
        )

    def _prepare(self, timed: set[str]) -> tuple[PlannedStage, ...]:
        """The prepare stages; `timed` are the buffers of the timed ones.

        They see weights and persistent workspaces, and fill all of these that are read.
        """
        stages, path = self.manifest.prepare_of(self.variant)
        planned = tuple(self._stage(s, f"{path}[{i}]", i) for i, s in enumerate(stages))
        persistent = {name for name, w in self.workspaces.items() if w.persistent}
        allowed = persistent | {t.name for t in self.tensors.values() if t.weight}
        reached: set[str] = set()
        for stage in planned:
            for param in stage.params:
                if param.kind not in {"pointer", "map"}:
                    continue
                name = param.buffer if param.kind == "pointer" else self.maps[param.buffer].buffer
                reached.add(name)
                if name not in allowed:
                    what = "the workspace" if name in self.workspaces else "the tensor"
                    self.fail(
                        stage.path,
                        f"a prepare stage is given {what} {name!r}; it may see weights and "
                        f"persistent workspaces only: {', '.join(sorted(allowed)) or 'none here'}",
                    )
        for name in sorted((persistent & timed) - reached):
            self.fail(
                f"workspace.{name}", "is persistent, but no prepare stage is given it to fill"
            )
        return planned

    def _extent(
        self, values: Sequence[int | str], path: str, limits: tuple[int, int, int]
    ) -> tuple[int, int, int]:
        extent = [1, 1, 1]
        for i, value in enumerate(values):
            extent[i] = self.integer(value, f"{path}[{i}]", 1, limits[i])
        return extent[0], extent[1], extent[2]

    def _stage(self, stage: Stage, path: str, index: int) -> PlannedStage:
        grid = self._extent(stage.grid, f"{path}.grid", (2**31 - 1, 65_535, 65_535))
        block = self._extent(stage.block, f"{path}.block", (1024, 1024, 64))
        if math.prod(block) > 1024:
            self.fail(f"{path}.block", f"has {math.prod(block)} threads; the limit is 1024")
        cluster = None
        if stage.cluster is not None:
            cluster = self._extent(stage.cluster, f"{path}.cluster", (16, 16, 16))
            if math.prod(cluster) > 16:
                self.fail(f"{path}.cluster", f"has {math.prod(cluster)} blocks; the limit is 16")
            for axis, (g, c) in enumerate(zip(grid, cluster, strict=True)):
                if g % c:
                    self.fail(
                        f"{path}.grid[{axis}]", f"{g} blocks do not divide into clusters of {c}"
                    )
            if architecture_number(self.device.architecture) < 90:
                self.fail(f"{path}.cluster", "clusters need sm_90 or later")
        shared = self.integer(
            stage.shared_memory, f"{path}.shared_memory", 0, self.device.shared_memory
        )
        if index == 0 and stage.programmatic:
            self.fail(f"{path}.programmatic", "the first stage has no stage before it to depend on")
        return PlannedStage(
            entry=stage.entry,
            grid=grid,
            block=block,
            cluster=cluster,
            shared_memory=shared,
            cooperative=stage.cooperative,
            programmatic=stage.programmatic,
            params=self._params(stage, path),
            path=path,
        )

    def _params(self, stage: Stage, path: str) -> tuple[PlannedParam, ...]:
        given = self.manifest.params_of(stage, path)
        if given is None:
            self.fail(
                f"{path}.entry",
                f"{stage.entry!r} has no parameters: add [kernels.{stage.entry}] with params",
            )
        params, base = given
        return tuple(self._param(p, f"{base}[{i}]") for i, p in enumerate(params))

    def _param(self, param: Param, path: str) -> PlannedParam:
        kind = param.kind
        value = getattr(param, kind)
        if kind == "map":
            self._map(value, path)
            return PlannedParam(kind="map", buffer=value)
        if kind in {"tensor", "workspace"}:
            size, item = self._buffer(value, f"{path}.{kind}", workspace_only=kind == "workspace")
            top = size // item - 1
            offset = self.integer(param.offset, f"{path}.offset", 0, top) * item
            return PlannedParam(kind="pointer", buffer=value, value=offset)
        if kind in {"f32", "f64"}:
            try:
                real = evaluate_real(value, self.names)
            except ExpressionError as error:
                self.fail(f"{path}.{kind}", f"{value!r}: {error}")
            return PlannedParam.model_validate({"kind": kind, "value": real})
        bits = 8 * DTYPE_BYTES[kind]
        low = 0 if kind[0] == "u" else -(1 << (bits - 1))
        high = min((1 << bits) - 1 if kind[0] == "u" else (1 << (bits - 1)) - 1, 1 << 62)
        number = self.integer(value, f"{path}.{kind}", low, high)
        return PlannedParam.model_validate({"kind": kind, "value": number})

    def _buffer(self, name: str, path: str, *, workspace_only: bool = False) -> tuple[int, int]:
        """(bytes, bytes of one element) of a tensor or workspace."""
        if name in self.workspaces:
            return self.workspaces[name].bytes, 1
        if name in self.tensors and not workspace_only:
            spec = self.tensors[name]
            return spec.bytes, DTYPE_BYTES[spec.dtype]
        known = [*([] if workspace_only else self.tensors), *self.workspaces]
        return self.fail(path, f"there is no {name!r}; there are: {', '.join(known) or 'none'}")

    def _map(self, name: str, path: str) -> None:
        if name in self.maps:
            return
        if name not in self.map_sources:
            known = ", ".join(self.map_sources) or "none"
            self.fail(f"{path}.map", f"there is no tensor map {name!r}; there are: {known}")
        source, base = self.map_sources[name]
        self.maps[name] = self._planned_map(source, base)

    def _planned_map(self, source: TensorMap, path: str) -> PlannedMap:
        """Checked against the tensor's bounds and the rules of cuTensorMapEncodeTiled."""
        size, _ = self._buffer(source.tensor, f"{path}.tensor")
        spec = self.tensors.get(source.tensor)
        dtype = source.dtype or (spec.dtype if spec else None)
        if dtype is None:
            self.fail(f"{path}.dtype", "a map of a workspace must say its dtype")
        item = DTYPE_BYTES[dtype]
        dims = self._map_dims(source, path, spec if spec and dtype == spec.dtype else None)
        strides = self._map_strides(source, path, dims, item)
        offset = self.integer(source.offset, f"{path}.offset", 0, size) * item
        if offset % 16:
            self.fail(f"{path}.offset", f"is {offset} bytes; it must be a multiple of 16")
        last = offset + (dims[0] - 1) * item + item
        last += sum((d - 1) * s for d, s in zip(dims[1:], strides, strict=True))
        if last > size:
            self.fail(
                f"{path}.dims",
                f"the view ends at byte {last}, but {source.tensor!r} has {size} bytes",
            )
        box = self._box(source, path, len(dims))
        self._check_swizzle(source, path, box[0] * item)
        steps = source.element_strides or [1] * len(dims)
        if len(steps) != len(dims):
            self.fail(f"{path}.element_strides", f"has {len(steps)} entries; dims has {len(dims)}")
        if source.fill == "nan" and dtype not in {"bf16", "f16", "f32", "f64"}:
            self.fail(f"{path}.fill", f"nan needs a floating-point dtype, not {dtype}")
        return PlannedMap(
            buffer=source.tensor,
            offset=offset,
            dtype=dtype,
            dims=tuple(dims),
            strides=tuple(strides),
            box=box,
            element_strides=tuple(
                self.integer(s, f"{path}.element_strides[{i}]", 1, 8) for i, s in enumerate(steps)
            ),
            swizzle=source.swizzle,
            l2=source.l2,
            fill=source.fill,
        )

    def _map_dims(self, source: TensorMap, path: str, spec: TensorSpec | None) -> list[int]:
        """Extents of a map in elements, innermost first.

        `spec` is the tensor whose shape they are where the manifest gives none; None where there
        is no such tensor.
        """
        if source.dims is not None:
            return [
                self.integer(d, f"{path}.dims[{i}]", 1, 1 << 32) for i, d in enumerate(source.dims)
            ]
        if spec is None or source.strides is not None:
            self.fail(f"{path}.dims", "must be given for a workspace, or with strides or dtype")
        if len(spec.shape) > 5:
            self.fail(f"{path}.dims", "the tensor has more than five dimensions; give a view")
        return list(reversed(spec.shape))

    def _map_strides(
        self, source: TensorMap, path: str, dims: Sequence[int], item: int
    ) -> list[int]:
        """Distances in bytes between neighbours, of all dimensions but the innermost."""
        rank = len(dims)
        if source.strides is not None:
            if len(source.strides) != rank - 1:
                self.fail(
                    f"{path}.strides",
                    f"has {len(source.strides)} entries; {rank} dimensions need {rank - 1}",
                )
            strides = [
                self.integer(s, f"{path}.strides[{i}]", 0, 1 << 40) * item
                for i, s in enumerate(source.strides)
            ]
        else:
            strides = [math.prod(dims[: i + 1]) * item for i in range(rank - 1)]
        for i, stride in enumerate(strides):
            if stride % 16 or stride >= 1 << 40:
                self.fail(
                    f"{path}.strides" + (f"[{i}]" if source.strides else ""),
                    f"the stride of dimension {i + 1} is {stride} bytes; it must be a multiple of "
                    "16 below 2^40",
                )
        return strides

    def _check_swizzle(self, source: TensorMap, path: str, inner: int) -> None:
        """`inner` is the innermost extent of the box in bytes."""
        if inner % 16:
            self.fail(f"{path}.box[0]", f"is {inner} bytes; it must be a multiple of 16")
        span = SWIZZLE_BYTES[source.swizzle]
        if span and inner > span:
            self.fail(
                f"{path}.box[0]",
                f"is {inner} bytes; swizzle {source.swizzle} allows at most {span}",
            )

    def _box(self, source: TensorMap, path: str, rank: int) -> tuple[int, ...]:
        if len(source.box) != rank:
            self.fail(f"{path}.box", f"has {len(source.box)} entries; dims has {rank}")
        return tuple(self.integer(b, f"{path}.box[{i}]", 1, 256) for i, b in enumerate(source.box))


def resolve(
    manifest: Manifest,
    names: Mapping[str, Number],
    tensors: Sequence[TensorSpec],
    device: DeviceFacts,
    constants: Mapping[str, int] | None = None,
    origin: Origin = Origin(),
) -> LaunchPlan:
    """The launches of `manifest` for one configuration.

    `names` are the configuration's names for expressions; `constants` are those of the source,
    which macros of the manifest override; `origin` is named in errors. Raises ManifestError at
    the first error.
    """
    return _Resolver(manifest, names, tensors, device, constants or {}, origin).plan()
