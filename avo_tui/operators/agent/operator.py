"""The operator `agent`: a model behind the Messages API that edits kernels through the toolbox."""

from __future__ import annotations

from avo_tui.domain.events import CandidateEdited, ToolReturned
from avo_tui.domain.records import Author
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.secrets import Redact, following_redactor, redactor, secret_values
from avo_tui.operators.agent.model.endpoint import AnthropicModel
from avo_tui.operators.agent.model.port import NO_KEY, Model
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.operators.agent.setup import Setup
from avo_tui.operators.agent.step import AgentStep
from avo_tui.operators.ports import StepOutcome, Workbench

OF_A_CHANGE = frozenset({"compile", "check", "evaluate", "submit"})
"""Tools that run the working candidate; of the unchanged parent they tell nothing new."""
OF_ANYTHING = frozenset({"evaluate_many", "bench", "profile", "disassemble", "scratch"})
"""Tools that learn something, whatever the working candidate is."""


class AgentOperator:
    """Runs one conversation per step. The model and its connections are kept between steps."""

    author: Author = "agent"

    def __init__(self, setup: Setup, redact: Redact | None = None) -> None:
        self.setup = setup
        self._redact = redact or redactor(secret_values())
        self._reviewed: set[str] = set()
        self._futile = 0
        """Number of consecutive steps in which the agent did no work."""

    @property
    def model_name(self) -> str:
        return self.setup.model.name

    async def vary(self, bench: Workbench) -> StepOutcome:
        """Make one step; continues the same conversation if the step was interrupted."""
        step = AgentStep(bench, self.setup, self._redact, self.author, self._reviewed)
        outcome = await step.run()
        await self._mind_futility(bench, outcome)
        return outcome

    async def _mind_futility(self, bench: Workbench, outcome: StepOutcome) -> None:
        """Wait longer after each consecutive step without work, then pause for the person.

        Otherwise a model that refuses, only talks, or ends each step at once would start new steps
        as fast as it answers, until the budget is used up.
        """
        if outcome.outcome != "nothing" or bench.control.budget_left() is not None or worked(bench):
            self._futile = 0
            return
        self._futile += 1
        count = f"{self._futile} step{'s' if self._futile > 1 else ''} in a row"
        reason = f"{count} without any work, the last: {outcome.reason or 'no reason was given'}"
        settings = self.setup.settings
        if self._futile < settings.futile_limit:
            wait = settings.futile_wait * 4.0 ** (self._futile - 1)
            await bench.control.park(wait, reason)
            return
        self._futile = 0
        await bench.control.pause_for(
            f"{reason}. Look at the transcript; a hint, another model or a rewind may help, then"
            " resume"
        )


def worked(bench: Workbench) -> bool:
    """Whether the step ran anything that could tell something new.

    Edits alone do not, nor does compiling the unchanged parent.
    """
    events = bench.reading.step_events()
    edited = any(isinstance(e, CandidateEdited) for e in events)
    tools = OF_ANYTHING | OF_A_CHANGE if edited else OF_ANYTHING
    return any(isinstance(e, ToolReturned) and e.ok and e.tool in tools for e in events)


def make(settings: RunSettings) -> AgentOperator:
    """The operator of a session. Raises ValueError with one sentence, such as for a missing key."""
    own = AgentSettings.of(settings)
    in_use = _model(own)

    def remake(changed: AgentSettings) -> Model:
        nonlocal in_use
        in_use = _model(changed)
        return in_use

    # the redactor asks the model that is in use at that time
    redact = following_redactor(lambda: in_use.credentials())
    return AgentOperator(Setup(own, in_use, remake), redact)


def _model(settings: AgentSettings) -> AnthropicModel:
    """The model with its credentials. Raises ValueError with one sentence."""
    model = AnthropicModel(settings)
    if not model.has_credentials():
        raise ValueError(NO_KEY)
    return model
