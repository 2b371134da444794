"""The operator `guesser`: tries every order of the words of a program."""

import itertools

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.run_settings import OperatorTraits, RunSettings
from avo_tui.operators.descriptor import OperatorDescriptor
from avo_tui.operators.ports import StepOutcome, Workbench


class Guesser:
    """One step tries one program that was not tried yet."""

    author = "guesser"

    async def vary(self, bench: Workbench) -> StepOutcome:
        await bench.control.boundary("before a guess")
        head = bench.reading.candidate(bench.reading.head.candidate)
        words = head.files["kernel.postfix"].split()
        for order in sorted(set(itertools.permutations(words)), key=len):
            guess = Candidate(files={"kernel.postfix": " ".join(order) + "\n"})
            if bench.reading.find_attempt(guess.id) is None:
                break
        else:
            return StepOutcome(outcome="stopped", reason="every order was tried")
        result = await bench.evaluating.evaluate(guess, " ".join(order))
        if not result.report.correct:
            return StepOutcome(outcome="nothing", reason=result.report.feedback.summary)
        answer = await bench.evaluating.submit(result, "another order", "guessed")
        outcome = "committed" if answer.version is not None else "nothing"
        return StepOutcome.model_validate({"outcome": outcome, "reason": answer.reason})


def _make(settings: RunSettings) -> Guesser:
    return Guesser()


DESCRIPTOR = OperatorDescriptor(
    name="guesser",
    label="tries every order of the words of a program",
    make=_make,
    traits=OperatorTraits(title="guesser", hints="none", ladder=()),
)
