"""`set`: changes options of the run, such as the agent's model or effort."""

from __future__ import annotations

from avo_tui.domain.commands import Command, SetOptions
from avo_tui.domain.events import OptionsChanged
from avo_tui.domain.run_settings import OptionValue
from avo_tui.domain.state import SessionState
from avo_tui.evolution.commands.base import CommandAnswer, CommandSpec, Desk, Refused, short
from avo_tui.evolution.options import changed_settings, known_options
from avo_tui.operators import registry


def _summary(command: SetOptions) -> str:
    return short(", ".join(f"{name}={_word(value)}" for name, value in command.options.items()))


def _word(value: OptionValue | None) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _handle(desk: Desk, command: SetOptions) -> CommandAnswer:
    before = desk.run.state.session.settings
    try:
        after = changed_settings(before, command.options)
        operator = registry.descriptor(before.operator)
        # A session that is not running may be set up where its key is not at hand.
        asks = not desk.run.mode.only_inbox and any(
            name.startswith(f"{before.operator}.") for name in command.options
        )
        reason = operator.accepts(after) if asks and operator.accepts is not None else None
    except ValueError as error:
        raise Refused(str(error).rstrip(".")) from error
    if reason is not None:
        raise Refused(reason)
    defaults = {option.name: option.default for option in known_options(before)}
    parts = []
    for name, value in command.options.items():
        old, default = before.option(name), defaults[name] or "none"
        new = f"{default} again, its default" if value is None else _word(value)
        parts.append(f"{name} is {new} (it was {_word(old) or default})")
    change = OptionsChanged(options=dict(command.options))
    return CommandAnswer(f"{', '.join(parts)}; takes effect at the next use", (change,))


def _undo(state: SessionState, command: SetOptions) -> Command:
    settings = state.session.settings
    return SetOptions(options={name: settings.option(name) for name in command.options})


SPEC = CommandSpec(SetOptions, _handle, summary=_summary, undo=_undo)
