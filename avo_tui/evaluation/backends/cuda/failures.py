"""Turns answers of the GPU process into verdicts with helpful feedback."""

from __future__ import annotations

from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda.process import ProcessDiedError, ProcessTimeoutError, Reply

LAUNCH_ERRORS = {
    "CUDA_ERROR_INVALID_VALUE": "the device cannot launch it with these numbers",
    "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES": "a block asks for more registers, threads or shared "
    "memory than a multiprocessor has",
    "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE": "a cooperative grid must fit on the device at once",
    "CUDA_ERROR_INVALID_CLUSTER_SIZE": "no cluster of this size fits with these resources",
    "CUDA_ERROR_NOT_SUPPORTED": "the device does not do this",
    "CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION": "the resources do not go together",
}
_ACCESS = {
    "CUDA_ERROR_ILLEGAL_ADDRESS": "an access to memory that is not the candidate's",
    "CUDA_ERROR_MISALIGNED_ADDRESS": "an access that is not aligned to its size",
    "CUDA_ERROR_INVALID_ADDRESS_SPACE": "an instruction used on the wrong kind of memory",
    "CUDA_ERROR_INVALID_PC": "a jump outside the code",
    "CUDA_ERROR_HARDWARE_STACK_ERROR": "the call stack was corrupted or too small",
}
_CRASHES = {
    "CUDA_ERROR_ASSERT": "a device-side assertion failed",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION": "an illegal instruction: a trap, or one this device lacks",
    "CUDA_ERROR_LAUNCH_FAILED": "the kernel was ended by a fault, such as shared memory used "
    "beyond its size or a barrier misused",
}
_HINTS = {
    "CUDA_ERROR_ILLEGAL_ADDRESS": "Check the indices at the ends of the sequence and the grid.",
    "CUDA_ERROR_MISALIGNED_ADDRESS": "Vector accesses and TMA need 16-byte, swizzled tiles "
    "128- to 1024-byte alignment.",
    "CUDA_ERROR_LAUNCH_FAILED": "Check shared-memory sizes, mbarrier counts and wgmma descriptors.",
    "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES": "Give the kernel __launch_bounds__(threads, blocks).",
}


def of_reply(reply: Reply, configuration: str | None, printed: str) -> Rejected:
    """The rejection for an answer that is not `ok`. `configuration` is None where it is hidden.

    What was `printed`, and what the answer says it was doing, is told as it is: see `conversation`.
    """
    where = f" on {configuration}" if configuration else " on a hidden configuration"
    doing = str(reply.get("doing", ""))
    if reply["kind"] == "memory":
        return Rejected(
            Verdict.OUT_OF_MEMORY,
            Feedback(
                summary=f"the GPU has not enough memory{where}",
                configuration=configuration,
                detail=doing,
                hint="Use smaller workspaces.",
            ),
        )
    if reply["kind"] == "harness":
        return Rejected(
            Verdict.HARNESS_ERROR,
            Feedback(
                summary=f"the harness failed{where}" + (f": {doing[:200]}" if doing else ""),
                configuration=configuration,
                log=str(reply.get("trace", "")),
            ),
        )
    name = str(reply["name"])
    stage = str(reply.get("stage", ""))
    feedback = {
        "configuration": configuration,
        "detail": f"{name} while {doing}" if doing else name,
        "hint": _HINTS.get(name, ""),
        "log": printed,
    }
    if name == "CUDA_ERROR_OUT_OF_MEMORY":
        summary = f"the GPU has not enough memory{where}"
        return Rejected(Verdict.OUT_OF_MEMORY, Feedback(summary=summary, **feedback))
    if stage and name in LAUNCH_ERRORS:
        summary = f"{stage}: {LAUNCH_ERRORS[name]} ({name}){where}"
        return Rejected(Verdict.MANIFEST_ERROR, Feedback(summary=summary, **feedback))
    if name in _ACCESS:
        summary = f"illegal access{where}: {_ACCESS[name]}"
        return Rejected(Verdict.ILLEGAL_ACCESS, Feedback(summary=summary, **feedback))
    if name in {"CUDA_ERROR_LAUNCH_TIMEOUT", "CUDA_ERROR_TIMEOUT"}:
        summary = f"the driver ended a kernel that ran too long{where}"
        return Rejected(Verdict.TIMEOUT, Feedback(summary=summary, **feedback))
    summary = f"crash{where}: {_CRASHES.get(name, 'the GPU stopped')} ({name})"
    return Rejected(Verdict.CRASH, Feedback(summary=summary, **feedback))


def of_timeout(error: ProcessTimeoutError, configuration: str | None) -> Rejected:
    """The rejection for a run that did not end. `configuration` is None where it is hidden: the
    limit would tell its size."""
    where = f" on {configuration}" if configuration else " on a hidden configuration"
    limit = f"within {error.seconds:.0f} s" if configuration else "in time"
    return Rejected(
        Verdict.TIMEOUT,
        Feedback(
            summary=f"no answer {limit}{where}; the process was killed",
            configuration=configuration,
            hint="A barrier that not all threads reach, an mbarrier with the wrong count or phase, "
            "or a spin on memory that nobody writes waits for ever.",
        ),
    )


def of_death(error: ProcessDiedError, configuration: str | None, printed: str) -> Rejected:
    """The rejection for a process that ended without an answer."""
    where = f" on {configuration}" if configuration else ""
    how = f"by {error.signal}" if error.signal else f"with code {error.code}"
    verdict = Verdict.CRASH if error.signal else Verdict.HARNESS_ERROR
    return Rejected(
        verdict,
        Feedback(
            summary=f"the GPU process was ended {how}{where}",
            configuration=configuration,
            log=printed,
        ),
    )
