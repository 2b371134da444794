"""The list of commands: which there are, in which module each is, and how `avo --help` shows them.

A module is imported when one of its commands is called, so that help, completion and the first
picture wait for none of the others. A command is a function of a module with
`@app.command()`, and a line here; a group of commands is a module whose `app` is called by the
group's name.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from avo_tui.cli.errors import Group

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Start": {
        "demo": (".starting", "Evolve a CPU kernel: no key, no GPU, nothing to set up."),
        "run": (".starting", "Start a session and open it, or go on with one."),
        "adopt": (".repository", "Make a repository of yours a task, and try its commands."),
        "task": (".task", "Make a task of your own, see what it asks, check it."),
        "docs": (".docs", "Read a page of the documentation."),
    },
    "Watch": {
        "attach": (".app", "Open the app on a session."),
        "sessions": (".queries", "List sessions: those that need you first."),
        "status": (".queries", "Say how a run stands."),
        "replay": (".app", "Play a session from its start."),
    },
    "Steer": {
        "hint": (".control", "Give the operator of variation a hint."),
        "pause": (".control", "Pause a run."),
        "resume": (".control", "Go on after a pause, or cut a wait short."),
        "stop": (".control", "End a run in good order."),
        "rewind": (".control", "Make an earlier version the head."),
        "budget": (".control", "Change the caps of a run, or show them."),
        "set": (".control", "Change options of a run, or list them."),
        "undo": (".control", "Take back the last command that can be taken back."),
        "approve": (".control", ""),
        "reject": (".control", ""),
        "abort": (".control", ""),
        "clear-hint": (".control", ""),
        "bookmark": (".control", ""),
        "note": (".control", ""),
        "remeasure": (".control", ""),
    },
    "Look": {
        "lineage": (".queries", "List the versions of a session with their scores."),
        "show": (".queries", "Show a version or an attempt: score, source, change."),
        "attempts": (".queries", "List the attempts, what became of each, and why."),
        "compare": (".comparing", "Compare runs at equal budget."),
        "export": (".exporting", "Carry away a repository, a page, a kernel as a package."),
    },
    "Kernels and tasks": {
        "tasks": (".machine", "List the tasks."),
        "evaluate": (".candidates", "Score one candidate without a session."),
        "submit": (".candidates", "Evaluate a kernel made by hand, and commit it if it passes."),
        "bench": (".candidates", "Time candidates beside a version."),
        "suite": (".suite", "Run a whole suite of problems."),
        "knowledge": ("avo_tui.knowledge.cli", "Search K, the knowledge base, or add to it."),
    },
    "Agents": {
        "operators": (".machine", "List what can make the steps."),
        "seat": (".seat", "Sit in the seat of a session, and call one of its tools."),
        "mcp": (".seat", "Give an agent the seat of a session over MCP."),
        "worktree": (".repository", "Lay out a session's repository to edit it with your tools."),
        "brief": (".seat", "Print how to work in the seat of a session."),
        "memory": (".control", "Read the notes that are carried from step to step, or edit them."),
    },
    "Many machines": {
        "workers": (".queries", "List the devices of a run, and what each does."),
        "worker": (".away", "Measure on this machine what waits in a shared folder."),
        "campaign": (".campaign", "Run several sessions on one task that pass on versions."),
    },
    "Away": {
        "notify": (".notify", "Reach a person who is away: messages and hooks."),
        "web": (".away", "Serve the app to browsers on this machine."),
        "metrics": (".away", "Serve all sessions and devices to Prometheus."),
        "service": (".away", "Write a systemd unit that starts a run again after a reboot."),
    },
    "Care": {
        "doctor": (".machine", "Check the machine, a session, or the agent's model."),
        "session": (".session_trust", "Agree to go on with a session that somebody else made."),
    },
}
"""Heading → command → its module and what `avo --help` says; "" names it after the others."""

HIDDEN = {"web-app": ".away"}


class Commands(Mapping[str, Any]):
    """Name → command; a command's module is imported when it is asked for."""

    def __init__(self) -> None:
        self.modules = {n: module for rows in SECTIONS.values() for n, (module, _) in rows.items()}
        self.modules |= HIDDEN

    def __getitem__(self, name: str) -> Any:
        module = vars(import_module(self.modules[name], __package__))
        whole = typer.Typer(rich_markup_mode=None, add_completion=False)
        whole.add_typer(module["app"], name=name, cls=PlainGroup, no_args_is_help=True)
        built: Any = typer.main.get_command(whole)
        group = built.commands[name]
        return group.commands.get(name, group)

    def __iter__(self) -> Iterator[str]:
        return iter(self.modules)

    def __len__(self) -> int:
        return len(self.modules)


class PlainGroup(TyperGroup):
    """A group whose help shows a whole sentence for each command."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands; a sentence that is too long for a line goes on below."""
        rows = [(name, c.get_short_help_str(limit=1000)) for name, c in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Root(Group):
    """The group `avo`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": Commands()})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the shell that is named behind `--install-completion`; typer takes the one that
        calls, whichever is named."""
        words = " ".join(args).replace("=", " ").split()
        if len(words) == 2 and words[0] in ("--install-completion", "--show-completion"):
            for option in self.params:
                if words[0] in option.opts and option.callback:
                    option.callback(ctx, option, words[1])
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands under their headings, one line each; the rarer ones by name."""
        width = max(map(len, self.commands))
        for heading, commands in SECTIONS.items():
            rows = [(name.ljust(width), line) for name, (_, line) in commands.items() if line]
            others = [name for name, (_, line) in commands.items() if not line]
            with formatter.section(heading):
                formatter.write_dl(rows + [("and".ljust(width), ", ".join(others))] * bool(others))

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete names of commands and options from the list alone."""
        listed = {n: line for rows in SECTIONS.values() for n, (_, line) in rows.items()}
        shown = TyperGroup(
            name=self.name,
            params=self.params,
            commands={n: TyperCommand(n, help=line) for n, line in listed.items()},
        )
        return shown.shell_complete(typer.Context(shown), incomplete)
