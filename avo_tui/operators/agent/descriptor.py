"""The descriptor of the operator `agent`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from avo_tui.domain.run_settings import OperatorTraits, RunSettings
from avo_tui.operators.agent.model.address import chosen_address, is_local
from avo_tui.operators.agent.settings import DEFAULT_MODEL, AgentSettings
from avo_tui.operators.descriptor import OperatorDescriptor, OptionInfo
from avo_tui.operators.ports import Operator

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE")


def _make(settings: RunSettings) -> Operator:
    from avo_tui.operators.agent import make

    return make(settings)


def _unavailable() -> str | None:
    if any(os.environ.get(name) for name in KEYS):
        return None
    return f"the agent needs {KEYS[0]} in the environment; the tuner and `avo demo` need no key"


def _accepts(settings: RunSettings) -> str | None:
    own = AgentSettings.of(settings)
    if own.provider != "anthropic" or own.api_key_file:
        return None  # creating the client finds the credentials, or says what is missing
    if is_local(chosen_address(own.base_url)):
        return None
    return _unavailable()


def _estimate(settings: RunSettings) -> Sequence[str]:
    from avo_tui.operators.agent.model.estimate import estimate

    return estimate(settings).lines(settings)


def _check(settings: RunSettings) -> None:
    own = AgentSettings.of(settings)
    from avo_tui.operators.agent.model.clients import make_client

    make_client(own)  # it knows what its cloud needs; nothing is asked of the network
    from avo_tui.operators.toolbox.switched_off import ToolboxSettings

    ToolboxSettings.of(settings)


def _options() -> Sequence[OptionInfo]:
    from avo_tui.operators.toolbox.switched_off import ToolboxSettings

    return (*AgentSettings.listed(), *ToolboxSettings.listed())


DESCRIPTOR = OperatorDescriptor(
    name="agent",
    label="an autonomous coding agent: needs a key, spends money",
    make=_make,
    unavailable=_unavailable,
    accepts=_accepts,
    traits=OperatorTraits(title="agent"),
    preference=20,
    models=(DEFAULT_MODEL,),
    estimate=_estimate,
    options=_options,
    check=_check,
)
