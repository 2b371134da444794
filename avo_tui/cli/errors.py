"""Turns exceptions into one sentence on standard error and an exit status."""

import contextlib
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

_debug = False
_JSON = "avo_tui.json_wanted"

_WRONG_USE: type[Exception] = typer.BadParameter.__mro__[2]
"""`ClickException`, wherever this version of typer keeps it: wrong use, reported by typer."""


INTERRUPTED = 130
"""Exit status after SIGINT, as shells have it."""


class Failure(Exception):  # noqa: N818 - an answer to the person
    """Something the person asked for cannot be done; the text says why and what to do."""


def set_debug(on: bool) -> None:
    """Show tracebacks from now on."""
    global _debug
    _debug = on


def sentence(error: BaseException) -> str:
    """The text that is shown for an exception, in one line that moves no cursor: it may hold the
    name of a file, or words, of somebody else's."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or error.title
        text = f"{field}: {first['msg']}"
    elif isinstance(error, OSError):
        what = f"{error.filename}: " if error.filename else ""
        text = f"{what}{error.strerror or error}"
    elif isinstance(error, UnicodeDecodeError):
        text = f"a file that should be text is not UTF-8: byte {error.start} of it cannot be read"
    elif isinstance(error, UnicodeEncodeError):
        text = f"{error.object[:200]!a} is not valid Unicode: give it another name"
    elif isinstance(error, ModuleNotFoundError) and error.name == "torch":
        from avo_tui.evaluation.evaluators import NO_TORCH

        text = NO_TORCH
    elif isinstance(error, KeyError):
        text = str(error.args[0]) if error.args else "not there"
    else:
        text = str(error) or type(error).__name__
    from avo_tui.domain.plain import safe
    from avo_tui.domain.secrets import redact

    return redact(safe(" ".join(text.split())))


def expected(error: BaseException) -> bool:
    """True for errors whose text is meant for the person: each class of error of ours is."""
    if isinstance(error, ModuleNotFoundError):
        return error.name == "torch"
    ours = type(error).__module__.partition(".")[0] in {"avo_tui", "pydantic_core"}
    return ours or isinstance(error, OSError | UnicodeError) or type(error) is ValueError


class Group(TyperGroup):
    """A group of commands whose errors become one line on standard error and exit status 1."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note whether JSON is asked for, before the command sees its options."""
        ctx.meta[_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        return guarded(lambda: super(Group, self).invoke(ctx), json_wanted=ctx.meta[_JSON])


def guarded(call: Callable[[], Any], *, json_wanted: bool = False) -> Any:
    """Call, and turn what goes wrong into one line and status 1.

    With `json_wanted` the sentence is also an object on standard output: {"error": "…"}.
    """
    try:
        return call()
    except (typer.Exit, typer.Abort, _WRONG_USE):
        raise
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except Exception as error:
        if _debug:
            traceback.print_exc()
        known = expected(error)
        text = sentence(error) if known else f"{type(error).__name__}: {sentence(error)}"
        more = "" if known or _debug else " (unexpected; --debug shows where)"
        with contextlib.suppress(OSError):
            typer.echo(f"avo: {text}{more}", err=True)
        if json_wanted:
            with contextlib.suppress(OSError):  # a full disk behind it may be what went wrong
                typer.echo(json.dumps({"error": text}))
        raise typer.Exit(1) from None
