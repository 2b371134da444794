"""The agent's settings and the model created from them."""

from __future__ import annotations

import random
from collections.abc import Callable

from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.agent.model.faults import Backoff
from avo_tui.operators.agent.model.port import Model
from avo_tui.operators.agent.settings import AgentSettings

Remake = Callable[[AgentSettings], Model]
"""Creates the model for the settings. Raises ValueError, with one sentence."""


class Setup:
    """Settings and model, updated when the person changes options of the run.

    Kept between steps, so that connections and knowledge about the endpoint are kept too.
    """

    def __init__(
        self,
        settings: AgentSettings,
        model: Model,
        remake: Remake | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """Without `remake`, later changes of the run's settings are ignored."""
        self.settings = settings
        self.model = model
        self.patience = Backoff(
            settings.wait_first,
            settings.wait_longest,
            settings.breaker,
            chance or random.Random(),  # noqa: S311 - jitter, no secret
        )
        self.most_output: int | None = None
        """Largest number of output tokens that the endpoint allows; None until it refused a request
        for more."""
        self._remake = remake
        self._followed: RunSettings | None = None

    async def follow(self, run: RunSettings) -> str:
        """Apply changes in the settings of the run.

        Called between two requests. If the new settings cannot be applied, for example because a
        key file is missing, nothing changes and one sentence says why; otherwise returns "".
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
