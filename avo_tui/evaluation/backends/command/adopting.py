"""Writes the `avo.toml` of a repository from guesses, and fills in what a first run shows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from avo_tui.evaluation.backends.command import base as bases
from avo_tui.evaluation.backends.command.detecting import Guess, guess
from avo_tui.evaluation.backends.command.formats import FORMATS
from avo_tui.evaluation.backends.command.project import FILE, parse_project
from avo_tui.evaluation.ports import EvaluatorError

_NO_METRICS = "metrics = []"
_MOST_METRICS = 12


def propose(folder: Path, given: Mapping[str, str], commit: str = "") -> tuple[str, Guess]:
    """(the text of an `avo.toml`, what was guessed); `given` are fields that a person said."""
    guessed = guess(folder)
    for name, value in given.items():
        setattr(guessed, name, [value] if name == "editable" else value)
        guessed.why[name] = "as you said"
    if "editable" in given:
        guessed.editable = [part.strip() for part in given["editable"].split(",") if part.strip()]
    if "benchmark" in given and "format" not in given:
        guessed.format, guessed.output, guessed.metrics = _format_of(given["benchmark"])
        guessed.why["format"] = "by the command"
    if "format" in given:
        known = FORMATS.get(given["format"])
        if known is None:
            raise EvaluatorError(
                f"there is no format {given['format']!r}; there is {', '.join(FORMATS)}"
            )
        guessed.output = known.output if known.output and known.output in guessed.benchmark else ""
        guessed.metrics = ["wall"] if given["format"] == "wall" else []
    base = commit or bases.is_commit(folder)
    if not base:
        base = f"sha256:{bases.copied(folder).id[:16]}"
        guessed.why["base"] = "there is no git here: a copy of the folder as it is now"
    else:
        guessed.why["base"] = "the commit that is checked out"
        base = base[:12]
    return _rendered(guessed, base, given.get("name", ""), given.get("goal", "")), guessed


def _format_of(command: str) -> tuple[str, str, list[str]]:
    """(format, output, metrics) that an option or a program in a command tells."""
    for name, known in FORMATS.items():
        first = known.option.split("=")[0].split()[0] if known.option else ""
        if (first and len(first) > 2 and first in command) or name in command:
            return name, known.output if known.output in command else "", []
    return "wall", "", ["wall"]


def _rendered(guessed: Guess, base: str, name: str, goal: str) -> str:
    why = guessed.why

    def comment(field: str) -> str:
        return f"  # {why[field]}" if field in why else ""

    lines = [
        "# How avo-tui builds, tests and measures this repository. What has a comment beside it",
        "# is a guess: look at it. `avo adopt --check` tries all of it.",
    ]
    lines += ["", "[project]", f"title = {_text(guessed.title)}"]
    lines += [f"name = {_text(name)}"] if name else []
    lines += [
        f"base = {_text(base)}{comment('base')}",
        f"editable = {_list(guessed.editable)}{comment('editable')}",
        f"goal = {_text(goal)}" if goal else '# goal = "What to make faster, and what must stay."',
        "",
        "[build]",
        f"command = {_text(guessed.build)}{comment('build')}" if guessed.build
        else 'command = ""  # nothing to build was seen',
    ]  # fmt: skip
    lines += [f"network = true{comment('network')}"] if guessed.network else []
    lines += [
        "",
        "[test]",
        f"command = {_text(guessed.test)}{comment('test')}",
        '# hidden = "../tests_private"  # a folder of yours that no candidate and no agent sees',
        "",
        "[benchmark]",
        f"command = {_text(guessed.benchmark)}{comment('benchmark')}",
        f"format = {_text(guessed.format or 'wall')}{comment('format')}",
    ]
    lines += [f"output = {_text(guessed.output)}"] if guessed.output else []
    if guessed.format in {"json", "regex"}:
        lines += ['unit = "ms"  # a guess: say the unit', 'better = "lower"']
    lines += [f"metrics = {_list(guessed.metrics)}"]
    lines += [
        "cores = 1  # that base and candidate are kept to; 0 for all",
        *(['device = "cuda"' + comment("device")] if guessed.device == "cuda" else []),
        "",
    ]
    if guessed.path or guessed.read or guessed.variables:
        lines.append("[environment]")
        lines += [f"path = {_list(guessed.path)}{comment('path')}"] if guessed.path else []
        lines += [f"read = {_list(guessed.read)}{comment('read')}"] if guessed.read else []
        if guessed.variables:
            pairs = ", ".join(f"{key} = {_text(v)}" for key, v in guessed.variables.items())
            lines.append(f"variables = {{ {pairs} }}")
        lines.append("")
    return "\n".join(lines)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _list(values: list[str]) -> str:
    return "[" + ", ".join(map(_text, values)) + "]"


def pin(folder: Path) -> str:
    """Write what the base is now where an `avo.toml` says `copy` or `HEAD`; what was done."""
    path = folder / FILE
    text = path.read_text(encoding="utf-8")
    named = re.search(r'^base = "(copy|HEAD)"', text, re.MULTILINE)
    if named is None:
        return ""
    project = parse_project(text, str(path))
    commit = bases.is_commit(folder) if named[1] == "HEAD" else ""
    if named[1] == "HEAD" and not commit:
        raise EvaluatorError(f'{folder} has no commit; write base = "copy" into {path}')
    if commit:
        base = commit[:12]
    else:
        copy = bases.copied(folder, project.project.exclude, project.test.hidden)
        base = f"sha256:{copy.id[:16]}"
    path.write_text(text.replace(named[0], f'base = "{base}"'), encoding="utf-8")
    return f"its base is {base} from now on"


def fill_metrics(folder: Path, guessed: Mapping[str, float]) -> list[str]:
    """Write the metrics that a benchmark reports into an `avo.toml` that names none."""
    path = folder / FILE
    text = path.read_text(encoding="utf-8")
    names = list(guessed)[:_MOST_METRICS]
    rest = len(guessed) - len(names)
    more = f"  # and {rest} more: {', '.join(list(guessed)[_MOST_METRICS:][:20])}" if rest else ""
    changed = re.sub(
        rf"^{re.escape(_NO_METRICS)}.*$",
        lambda _: f"metrics = {_list(names)}{more}",
        text,
        flags=re.M,
    )
    if changed == text:
        raise EvaluatorError(f"{path} names no metrics; the benchmark reports {', '.join(names)}")
    path.write_text(changed, encoding="utf-8")
    return names
