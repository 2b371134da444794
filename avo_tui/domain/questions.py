"""What is asked of an evaluator about a candidate beside its score: each question, its answer.

A question travels as it is from a tool, through the engine and whatever stands between, to the
process that has the device; `ask` of each passes it on. A new one is a class here, a case of
`Pipeline.ask` that answers it, and whoever asks it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Generic, Literal, TypeVar

from pydantic import Field, TypeAdapter

from avo_tui.domain.base import DEFERRED, Value
from avo_tui.domain.listing import Window
from avo_tui.domain.plain import Safe
from avo_tui.domain.profile import ProfileWanted
from avo_tui.domain.quick import QUICK_SECONDS, QuickComparison
from avo_tui.domain.scratch import InputsWanted, ScratchReport


class Text(Value):
    """An answer in words."""

    text: Safe


Answer = TypeVar("Answer", bound=Value)


class Question(Value, Generic[Answer]):
    """One question; `op` is its name in a request."""

    answers: ClassVar[type[Value]] = Text
    """The type of its answer."""

    op: str
    files: dict[str, str]
    """The files of the candidate, or of the program that is to run."""

    def unanswered(self, why: str) -> Answer:
        """The answer where there is none, because no worker can give it."""
        raise NotImplementedError


class _InWords(Question[Text]):
    def unanswered(self, why: str) -> Text:
        return Text(text=why)


class ProfileQuestion(_InWords):
    """Where a candidate spends its time on a configuration.

    Several lines; one sentence if the machine has no profiler.
    """

    op: Literal["profile"] = "profile"
    wanted: ProfileWanted = ProfileWanted()


class ListingQuestion(_InWords):
    """The machine code of a function, by a part of its name; the hottest one without.

    `window` says which lines of it; those of its hottest loop without.
    """

    op: Literal["disassemble"] = "disassemble"
    function: str | None = None
    window: Window = Window()


class QuickQuestion(Question[QuickComparison]):
    """Two candidates called in turn within one process, warm and cold, for about `seconds`.

    On all scored configurations, or on one. Nothing is checked, and no gate uses it. `more`:
    another request of the same call follows at once, for which the device is kept.
    """

    answers: ClassVar[type[Value]] = QuickComparison
    op: Literal["compare_quickly"] = "compare_quickly"
    other: dict[str, str]
    configuration: str | None = None
    seconds: float = QUICK_SECONDS
    more: bool = False

    def unanswered(self, why: str) -> QuickComparison:
        return QuickComparison(trouble=why)


class ScratchQuestion(Question[ScratchReport]):
    """A small program of the task's language, compiled and run in the sandbox.

    With `inputs` it works on them: files beside it in a compiled language, the arguments of a CUDA
    candidate. Those that there are not raise EvaluatorError.
    """

    answers: ClassVar[type[Value]] = ScratchReport
    op: Literal["scratch"] = "scratch"
    seconds: float = 10.0
    inputs: InputsWanted | None = None

    def unanswered(self, why: str) -> ScratchReport:
        return ScratchReport(compiled=False, outcome=why)


AnyQuestion = Annotated[
    ProfileQuestion | ListingQuestion | QuickQuestion | ScratchQuestion, Field(discriminator="op")
]
ANY_QUESTION: TypeAdapter[AnyQuestion] = TypeAdapter(AnyQuestion, config=DEFERRED)
"""Reads a question from a request."""

QUESTIONS = frozenset({"profile", "disassemble", "compare_quickly", "scratch"})
"""Their names in requests."""
