"""What the toy backend says about itself; torch is imported where it is made."""

from collections.abc import Sequence

from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.descriptor import BackendDescriptor, BackendOptions
from avo_tui.evaluation.finding import Finding


def _make(options: BackendOptions) -> Backend:
    from avo_toys.backend import PostfixBackend

    return PostfixBackend()


def _examine() -> Sequence[Finding]:
    return [Finding(name="postfix", state="ok", text="the stack machine is ready")]


DESCRIPTOR = BackendDescriptor(
    language="postfix",
    label="programs of a stack machine, interpreted over torch tensors",
    make=_make,
    suffixes=(".postfix",),
    dtypes=("float32",),
    examine=_examine,
)
