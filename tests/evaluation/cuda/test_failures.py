import pytest

from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.cuda import conversation
from avo_tui.evaluation.backends.cuda.process import ProcessDiedError, ProcessTimeoutError


def driver(name: str, stage: str = "") -> dict[str, object]:
    return {"ok": False, "kind": "driver", "name": name, "doing": "running", "stage": stage}


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (driver("CUDA_ERROR_ILLEGAL_ADDRESS"), Verdict.ILLEGAL_ACCESS),
        (driver("CUDA_ERROR_MISALIGNED_ADDRESS"), Verdict.ILLEGAL_ACCESS),
        (driver("CUDA_ERROR_LAUNCH_FAILED"), Verdict.CRASH),
        (driver("CUDA_ERROR_ASSERT"), Verdict.CRASH),
        (driver("CUDA_ERROR_SOMETHING_NEW"), Verdict.CRASH),
        (driver("CUDA_ERROR_LAUNCH_TIMEOUT"), Verdict.TIMEOUT),
        (driver("CUDA_ERROR_OUT_OF_MEMORY"), Verdict.OUT_OF_MEMORY),
        (driver("CUDA_ERROR_INVALID_VALUE", "stages[0]"), Verdict.MANIFEST_ERROR),
        (driver("CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "stages[1]"), Verdict.MANIFEST_ERROR),
        (driver("CUDA_ERROR_INVALID_VALUE"), Verdict.CRASH),
        ({"ok": False, "kind": "memory", "doing": "allocating"}, Verdict.OUT_OF_MEMORY),
        ({"ok": False, "kind": "harness", "doing": "x", "trace": "y"}, Verdict.HARNESS_ERROR),
    ],
)
def test_every_answer_has_its_verdict(reply: dict[str, object], verdict: str) -> None:
    found = conversation.of_reply(reply, "full-4k", "printed")
    assert found.verdict is verdict
    assert "full-4k" in found.feedback.summary
    assert found.feedback.configuration == "full-4k"


def test_a_launch_error_names_the_stage() -> None:
    found = conversation.of_reply(driver("CUDA_ERROR_INVALID_CLUSTER_SIZE", "stages[2]"), "c", "")
    assert found.feedback.summary.startswith("stages[2]: ")


def test_what_is_hidden_stays_hidden() -> None:
    found = conversation.of_reply(driver("CUDA_ERROR_ILLEGAL_ADDRESS"), None, "")
    assert "hidden" in found.feedback.summary
    assert found.feedback.configuration is None


def test_time_outs_and_deaths() -> None:
    assert conversation.of_timeout(ProcessTimeoutError(3), "c").verdict is Verdict.TIMEOUT
    assert conversation.of_death(ProcessDiedError(-11), "c", "").verdict is Verdict.CRASH
    assert conversation.of_death(ProcessDiedError(1), "c", "").verdict is Verdict.HARNESS_ERROR
