"""What the agent works with: its settings and the model made from them."""

from __future__ import annotations

import random
from collections.abc import Callable

from avo_tui.domain.records import RunSettings
from avo_tui.operators.agent.model.faults import Patience
from avo_tui.operators.agent.model.port import Model
from avo_tui.operators.agent.settings import AgentSettings

Remake = Callable[[AgentSettings], Model]
"""Makes the model for settings. Raises ValueError with one sentence."""


class Setup:
    """Settings and model, which follow the options of the run when the person changes them.

    Kept from step to step, so that connections and what is known of the endpoint last.
    """

    def __init__(
        self,
        settings: AgentSettings,
        model: Model,
        remake: Remake | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """Without `remake` the settings stay as they are, whatever becomes of the run's."""
        self.settings = settings
        self.model = model
        self.patience = Patience(
            settings.wait_first,
            settings.wait_longest,
            settings.breaker,
            chance or random.Random(),  # noqa: S311 - jitter, no secret
        )
        self.most_output: int | None = None
        """Output tokens of one answer that the endpoint allows; None until it refused more."""
        self._remake = remake
        self._followed: RunSettings | None = None

    async def follow(self, run: RunSettings) -> str:
        """Take up what has changed in the settings of the run.

        Called between two requests. Returns one sentence where they cannot be taken up, such as
        for a key file that is gone since; then nothing changes. Empty where all is well.
        """
        if self._remake is None or run == self._followed:
            return ""
        self._followed = run
        try:
            wanted = AgentSettings.of(run)
            if wanted == self.settings:
                return ""
            model = self._remake(wanted)
        except ValueError as error:
            return f"the changed settings are not in force, the agent goes on as before: {error}"
        old, self.model, self.settings = self.model, model, wanted
        self.most_output = None
        self.patience.first, self.patience.longest = wanted.wait_first, wanted.wait_longest
        self.patience.breaker = wanted.breaker
        await old.close()
        return ""
