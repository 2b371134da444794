import pytest

from avo_tui.domain.questions import tells_times
from avo_tui.evaluation.backends.cuda.device_tools import WatchError, summarise

HEAD = (
    '"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size",'
    '"Grid Size","Device","CC","Section Name","Metric Name","Metric Unit","Metric Value",'
    '"Rule Name","Rule Type","Rule Description"\n'
)


def row(number: int, section: str, metric: str, unit: str, value: str, advice: str = "") -> str:
    rest = f'"{section}","{metric}","{unit}","{value}","","","{advice}"\n'
    launch = '"attention(int)","1","7","(384, 1, 1)","(9, 1, 1)","0","9.0"'
    return f'"{number}","7","python","h",{launch},{rest}'


def test_figures_and_advice_are_told_per_launch() -> None:
    text = (
        "==PROF== Connected to process 7\n"
        + HEAD
        + row(0, "GPU Speed Of Light Throughput", "Duration", "ms", "1.84")
        + row(0, "GPU Speed Of Light Throughput", "Compute (SM) Throughput", "%", "71.2")
        + row(0, "GPU Speed Of Light Throughput", "Something Else", "%", "3")
        + row(0, "WarpStateStats", "", "", "", "Each warp waits 5.1 cycles for a barrier")
        + row(1, "GPU Speed Of Light Throughput", "Duration", "us", "9")
        + "==PROF== Disconnected from process 7\n"
    )
    said = summarise(text, "full-4k")
    assert said.count("attention on full-4k") == 2
    assert "Compute (SM) Throughput" in said
    assert "71.2 %" in said
    assert "Something Else" not in said
    assert "· Each warp waits 5.1 cycles" in said
    shares = summarise(text, "full-4k", times=False)
    assert tells_times(said) and not tells_times(shares) and "71.2 %" in shares


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("==ERROR== ERR_NVGPUCTRPERM - no permission\n", "no permission"),
        ("==WARNING== No kernels were profiled.\n", "No kernels were profiled"),
        ("", "said nothing"),
        ("failed: running: CUDA_ERROR_LAUNCH_FAILED\n", "CUDA_ERROR_LAUNCH_FAILED"),
    ],
)
def test_no_figures_have_a_reason(text: str, said: str) -> None:
    with pytest.raises(WatchError, match=said):
        summarise(text, "full-4k")
