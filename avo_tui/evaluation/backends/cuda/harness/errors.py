"""Names of driver errors, and whether the candidate caused them."""

from __future__ import annotations

from typing import Any

from cuda.bindings import driver

LAUNCH_ERRORS = frozenset({
    "CUDA_ERROR_INVALID_VALUE",
    "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
    "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE",
    "CUDA_ERROR_INVALID_CLUSTER_SIZE",
    "CUDA_ERROR_NOT_SUPPORTED",
    "CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION",
})  # fmt: skip
"""Errors of a launch whose numbers in the manifest exceed this device's limits."""


class DriverError(RuntimeError):
    """A call of the driver failed. `name` is that of the error, `doing` what was being done."""

    def __init__(self, name: str, doing: str, stage: str = "") -> None:
        super().__init__(f"{doing}: {name}")
        self.name = name
        self.doing = doing
        self.stage = stage
        """Path in the manifest of what failed; empty if the manifest is not the cause."""


def check(result: tuple[Any, ...], doing: str, stage: str = "") -> Any:
    """The value of a driver call. Raises DriverError where it failed."""
    code, *values = result
    if code != driver.CUresult.CUDA_SUCCESS:
        raise DriverError(code.name, doing, stage)
    return values[0] if len(values) == 1 else tuple(values)
