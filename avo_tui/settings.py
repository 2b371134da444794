"""Settings of a person, from options, the environment, and a TOML file, in this order of priority.

The file is `avo-tui/config.toml` in the platform's place for configuration; `AVO_CONFIG` names
another. Every field may also come from the environment as `AVO_` and its name, such as `AVO_MODEL`.
Secrets do not belong here: the API key is read from `ANTHROPIC_API_KEY` alone.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from avo_tui.config_place import config_file

TABLES = frozenset({"agent", "notify", "hooks", "keys"})
"""Fields that are a table of the file, and JSON in the environment."""


class NotifySettings(BaseModel):
    """The table `[notify]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    urls: tuple[str, ...] = ()
    """Where messages go, as URLs of apprise, such as `ntfy://ntfy.example/topic`."""
    kinds: tuple[str, ...] = ()
    """Kinds of alerts (`notify/alerts.py`) that are told; () is all."""
    most_an_hour: int = Field(default=12, ge=1)
    """Messages an hour; what is above that is told together later."""
    quiet: str = ""
    """Hours without messages, such as `22:00-07:00`; what happens then is told together after."""
    urgent: tuple[str, ...] = ()
    """Kinds that are told in quiet hours, too."""
    link: str = ""
    """The address of `avo web --address`, which every message then carries."""


class Settings(BaseModel):
    """What a person prefers, for every session that does not say otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sessions: Path | None = None
    """Folder that new sessions go into; None: `sessions/` of the current folder, or one's own."""
    kernels: Path | None = None
    """A folder with tasks, looked at before all others; None is none."""
    operator: str = "auto"
    """Operator of new sessions; `auto` is the agent where an API key is set, else the tuner."""
    model: str | None = None
    """Model of the agent; None is the agent's own default."""
    gate: Literal["strict", "paper", "vector"] = "strict"
    """Acceptance gate of new sessions."""
    budget_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Cap in dollars for a run; None is no cap."""
    budget_hours: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Cap in hours of running for a run; None is no cap."""
    budget_evaluations: int | None = Field(default=None, ge=0)
    """Cap in evaluations for a run; None is no cap."""
    supervisor_attempts: int | None = Field(default=None, ge=0)
    """Attempts without a commit after which the supervisor intervenes; 0 is never."""
    supervisor_seconds: float | None = Field(default=None, ge=0)
    """Running seconds without a commit after which the supervisor intervenes; 0 is never."""
    supervisor_failures: int | None = Field(default=None, ge=0)
    """Equal failures in a row after which the supervisor intervenes; 0 is never."""
    supervisor_repeats: int | None = Field(default=None, ge=0)
    """Repeated candidates after which the supervisor intervenes; 0 is never."""
    supervisor_usd: float | None = Field(default=None, ge=0)
    """Dollars without a commit after which the supervisor intervenes; 0 is never."""
    memory_limit: int | None = Field(default=None, ge=1000)
    """Characters of notes that the agent carries from step to step."""
    tuner_attempts: int | None = Field(default=None, ge=1)
    """Attempts in one step of the tuner."""
    agent: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Options of the agent, such as `effort`; a table of the file, JSON in the environment."""
    demo_hours: float = Field(default=1.0, gt=0)
    """Hours of running after which `avo demo` ends by itself."""
    allow_weak_sandbox: bool = False
    """Run candidates also where the machine cannot confine them; every screen then says so."""
    theme: Literal["avo-dark", "avo-light", "ansi-dark", "ansi-light"] | None = None
    """Colours of the app; the `ansi` ones are the terminal's own sixteen. None: `ansi-dark` where
    the terminal has no more, else `avo-dark`."""
    low_bandwidth: bool | None = None
    """One repaint a second and few colours; None: where an SSH connection proves to be slow."""
    pictures: Literal["auto", "kitty", "iterm2", "sixel", "cells"] = "auto"
    """How charts are drawn: as images by one of three protocols, or in cells. `auto`: as images
    where the terminal says that it takes them, by the first of these that it does."""
    notify: NotifySettings = NotifySettings()
    """Messages to a person who is away; a table of the file."""
    hooks: dict[str, str] = Field(default_factory=dict)
    """Commands that are run when something happens, by its kind, such as `new_best = "…"`."""
    keys: dict[str, str] = Field(default_factory=dict)
    """Keys of actions that should be others, by the action's name, such as `hint = "i"`."""

    @field_validator("sessions", "kernels")
    @classmethod
    def _home(cls, folder: Path | None) -> Path | None:
        try:
            return None if folder is None else folder.expanduser()
        except RuntimeError as error:
            raise ValueError(f"{folder}: there is no such user on this machine") from error

    def run_options(self) -> dict[str, str | int | float | bool]:
        """The settings that are stored in a session as options: `supervisor.attempts` and so on."""
        options: dict[str, str | int | float | bool] = {}
        for name, value in self.model_dump().items():
            group, _, rest = name.partition("_")
            if group in {"supervisor", "tuner", "memory"} and value is not None:
                options[f"{group}.{rest}"] = value
        options.update({f"agent.{name}": value for name, value in self.agent.items()})
        if self.allow_weak_sandbox:
            options["allow_weak_sandbox"] = True
        return options


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process.

    Raises ValueError, one sentence with the file or variable, the field and what is wrong with it.
    A field that there is not is an error: a mistyped cap would be no cap.
    """
    chosen = _of_file(config_file())
    for name, value in _of_environment().items():
        in_file = chosen.get(name)
        if isinstance(in_file, dict) and isinstance(value, dict):
            value = in_file | value
        chosen[name] = value
    try:
        return Settings.model_validate(chosen)
    except ValidationError as error:
        raise ValueError(_what_is_wrong(error)) from error


def _of_file(path: Path) -> dict[str, Any]:
    """The fields that the file sets; none where there is no file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:  # no TOML, or no UTF-8
        raise ValueError(f"{path}: {error}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error


def _of_environment() -> dict[str, Any]:
    """The fields that variables set; an empty variable sets nothing."""
    fields = {}
    for name in Settings.model_fields:
        variable = f"AVO_{name.upper()}"
        text = os.environ.get(variable)
        if text and name in TABLES:
            try:
                fields[name] = json.loads(text)
            except ValueError as error:
                raise ValueError(f"the variable {variable} is no JSON: {error}") from error
        elif text:
            fields[name] = text
    return fields


def _what_is_wrong(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    variable = f"AVO_{str(first['loc'][0]).upper()}" if first["loc"] else ""
    source = f"the variable {variable}" if variable in os.environ else str(config_file())
    if first["type"] != "extra_forbidden":
        return f"{source}: {field}: {first['msg']}"
    near = difflib.get_close_matches(field, Settings.model_fields, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; docs/settings.md lists what there is"
    return f"{source}: there is no setting {field}{hint}"
