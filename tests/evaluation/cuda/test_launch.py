"""What is asked of the driver before a launch, with the driver's answers made up."""

import pytest
from cuda.bindings import driver

from avo_tui.evaluation.backends.cuda.harness import launch
from avo_tui.evaluation.backends.cuda.harness.launch import DriverError
from avo_tui.evaluation.backends.cuda.launch_plan import PlannedStage

Triple = tuple[int, int, int]
Asked = tuple[object, int]

SHARED = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
WIDE = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
OK = driver.CUresult.CUDA_SUCCESS


def stage(number: int, shared_memory: int = 0, cluster: Triple | None = None) -> PlannedStage:
    return PlannedStage(
        entry="k", grid=(4, 1, 1), block=(32, 1, 1), cluster=cluster, shared_memory=shared_memory,
        cooperative=False, programmatic=False, params=(), path=f"stages[{number}]",
    )  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    found: list[Asked] = []

    def record(function: object, kind: object, value: int) -> tuple[object]:
        found.append((kind, value))
        return (OK,)

    monkeypatch.setattr(driver, "cuFuncSetAttribute", record)
    return found


def test_a_kernel_may_have_what_its_largest_launch_needs(asked: list[Asked]) -> None:
    launch.prepare("f", [stage(0, 200_000), stage(1, 60_000)])
    assert asked == [(SHARED, 200_000)]


def test_little_dynamic_memory_is_asked_for_too_beside_static_memory(asked: list[Asked]) -> None:
    launch.prepare("f", [stage(0, 16_384)])
    assert asked == [(SHARED, 16_384)]


@pytest.mark.parametrize(
    ("cluster", "wanted"), [(None, []), ((8, 1, 1), []), ((4, 4, 1), [(WIDE, 1)])]
)
def test_only_wide_clusters_need_leave(
    asked: list[Asked], cluster: Triple | None, wanted: list[Asked]
) -> None:
    launch.prepare("f", [stage(0, cluster=cluster), stage(1)])
    assert asked == wanted


def test_a_refusal_names_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = (driver.CUresult.CUDA_ERROR_INVALID_VALUE,)
    monkeypatch.setattr(driver, "cuFuncSetAttribute", lambda *_: answer)
    with pytest.raises(DriverError) as caught:
        launch.prepare("f", [stage(0), stage(1, 300_000)])
    assert caught.value.stage == "stages[1]"
