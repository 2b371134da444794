"""The operator `agent`: a model behind the Messages API that edits kernels through the toolbox."""

from __future__ import annotations

import random
from collections.abc import Callable

import anthropic

from avo_tui.domain.records import Author, RunSettings
from avo_tui.operators.agent.endpoint import AnthropicModel
from avo_tui.operators.agent.faults import Patience
from avo_tui.operators.agent.loop import AgentStep
from avo_tui.operators.agent.model import NO_KEY, Model
from avo_tui.operators.agent.prompts import prompt
from avo_tui.operators.agent.redaction import redactor, secrets
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.operators.ports import StepOutcome, Workbench


class AgentOperator:
    """Runs one conversation per step. The model and its connections are kept between steps."""

    author: Author = "agent"

    def __init__(
        self,
        settings: AgentSettings,
        model: Model,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        self.settings = settings
        self.model = model
        self._redact = redact or redactor(secrets())
        self._patience = Patience(
            settings.wait_first,
            settings.wait_longest,
            settings.breaker,
            random.Random(),  # noqa: S311 - jitter, no secret
        )
        self._reviewed: set[str] = set()

    async def vary(self, bench: Workbench) -> StepOutcome:
        """One step; goes on in the same conversation where its events show one."""
        step = AgentStep(
            bench,
            self.model,
            self.settings,
            self._patience,
            self._redact,
            self.author,
            self._reviewed,
        )
        return await step.run()


def make(settings: RunSettings) -> AgentOperator:
    """The operator of a session. Raises ValueError with one sentence, such as for a missing key."""
    own = AgentSettings.of(settings)
    try:
        model = AnthropicModel(own, prompt("compaction"))
    except anthropic.CredentialsError as error:
        raise ValueError(f"{NO_KEY} ({error})") from None
    if not model.has_credentials():
        raise ValueError(NO_KEY)
    return AgentOperator(own, model, redactor(model.credentials()))
