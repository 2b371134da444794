"""pytest's option `--confirm-failures`: a test that failed is run once more, alone.

A suite of thousands of tests on any machine meets a test now and then that fails by chance. With
the option, when all tests have run, each that failed is run again in a process of its own, after
the workers have ended:

- it passes: it counts as *flaky*, not as failed. The run succeeds, and its last lines name the test
  and its first failure: it has to be mended;
- it fails again: the run fails, with the first failure's text as always;
- more than `MOST` failed: nothing is run again and the run fails. Chance does not break so many.

Tests of one file that fail in one fixture with one message are one failure. A worker that dies and
a test that runs into its time limit are failures of the test that ran. An error while collecting,
an interruption and `--maxfail` end the run as ever.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

MOST = 3
"""Failures that may be chance. With more, none is run again."""
SECONDS_ALONE = 1500
"""For one failure's tests; beyond every time limit of a single test."""
FIRST_LINES, LAST_LINES = 25, 35
"""Lines of a failure's text that are shown."""


@dataclass(frozen=True)
class Failure:
    """One thing that went wrong, in one test or in the tests of a file that share a fixture."""

    tests: tuple[str, ...]
    """Node ids, relative to the root folder."""
    message: str
    """In one line."""
    text: str


def failures(reports: Iterable[pytest.TestReport]) -> list[Failure]:
    """What failed, in the order in which it did; failures of one fixture in one file are one."""
    grouped: dict[tuple[str, ...], list[pytest.TestReport]] = {}
    keys: dict[str, tuple[str, ...]] = {}
    for report in reports:
        key: tuple[str, ...] = (report.nodeid,)
        if report.when == "setup":
            key = (report.nodeid.partition("::")[0], "setup", message_of(report))
        grouped.setdefault(keys.setdefault(report.nodeid, key), []).append(report)
    return [
        Failure(
            tuple(dict.fromkeys(report.nodeid for report in group)),
            message_of(group[0]),
            text_of(group[0]),
        )
        for group in grouped.values()
    ]


def message_of(report: pytest.TestReport) -> str:
    """What a report failed with, in one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = str(crash.message if crash else report.longrepr).strip().splitlines()
    return lines[0][:200] if lines else "no message"


def text_of(report: pytest.TestReport) -> str:
    """A failure's traceback and what the test printed, without the middle where it is long."""
    printed = "\n".join(f"--- {title}\n{text}" for title, text in report.sections)
    lines = f"{report.longreprtext}\n{printed}".rstrip().splitlines()
    cut = len(lines) - FIRST_LINES - LAST_LINES
    if cut > 0:
        lines[FIRST_LINES:-LAST_LINES] = [f"... {cut} lines ..."]
    return "\n".join(lines)


def passes_alone(config: pytest.Config, tests: Sequence[str]) -> tuple[bool, str]:
    """(true if these tests pass in a process of their own, what that process printed)."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"]
    command += ["--rootdir", str(config.rootpath)]
    if config.inipath is not None:
        command += ["-c", str(config.inipath)]
    for override in config.getoption("override_ini") or ():
        command += ["-o", override]
    for plugin in config.known_args_namespace.plugins:
        command += ["-p", plugin]
    environment = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    with tempfile.TemporaryDirectory() as folder:
        results, printed = Path(folder) / "results.xml", Path(folder) / "printed"
        # To a file: what a test left running may hold a pipe open for ever.
        with printed.open("w") as output:
            try:
                status = subprocess.run(
                    [*command, f"--junitxml={results}", *tests],
                    cwd=config.rootpath,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=SECONDS_ALONE,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                output.write(f"\nstopped: it did not end within {SECONDS_ALONE} s\n")
                status = None
        passes = status == 0 and _passed(results) == len(tests)
        return passes, printed.read_text(errors="replace")


def _passed(results: Path) -> int:
    """Tests that passed by a file in JUnit's format; 0 where it was not written."""
    if not results.exists():
        return 0
    cases = ElementTree.parse(results).getroot().iter("testcase")
    return sum(not any(part.tag in ("failure", "error", "skipped") for part in c) for c in cases)


class ConfirmFailures:
    """The plugin; lives in the process that reports, not in the workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._ran: set[str] = set()
        self._failed: list[pytest.TestReport] = []
        self._flaky: list[Failure] = []
        self._verdicts: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what ran and what failed."""
        self._ran.add(report.nodeid)
        if report.failed:
            self._failed.append(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Run again what failed, once the workers have ended, and correct the outcome."""
        stopped = session.exitstatus != pytest.ExitCode.TESTS_FAILED or session.shouldfail
        if stopped or not self._failed:
            return
        if missing := session.testscollected - len(self._ran):
            self._verdicts.append(f"{missing} tests never ran: nothing ran again")
            return
        failed = failures(self._failed)
        if len(failed) > MOST:
            self._verdicts.append(f"{len(failed)} failures are too many for chance: none ran again")
            return
        for failure in failed:
            passes, printed = passes_alone(self._config, failure.tests)
            if passes:
                self._flaky.append(failure)
                self._count_as_flaky(failure)
            else:
                last = "\n".join(printed.rstrip().splitlines()[-LAST_LINES:])
                self._verdicts.append(f"{last}\nnot passed when run alone: {failure.tests[0]}")
        if len(self._flaky) == len(failed):
            session.exitstatus = pytest.ExitCode.OK

    def _count_as_flaky(self, failure: Failure) -> None:
        """Move a failure's reports from the terminal's failures and errors to `flaky`."""
        terminal = self._terminal()
        if terminal is None:
            return
        for outcome in ("failed", "error"):
            reports = terminal.stats.get(outcome, [])
            moved = [report for report in reports if report.nodeid in failure.tests]
            if not moved:
                continue
            terminal.stats[outcome] = [report for report in reports if report not in moved]
            terminal.stats.setdefault("flaky", []).extend(moved)
            if not terminal.stats[outcome]:
                del terminal.stats[outcome]

    def _terminal(self) -> pytest.TerminalReporter | None:
        plugin = self._config.pluginmanager.get_plugin("terminalreporter")
        return plugin if isinstance(plugin, pytest.TerminalReporter) else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, None, None]:
        """Say last, after pytest's own summary, what was flaky and what was not."""
        yield
        if not self._flaky and not self._verdicts:
            return
        terminalreporter.section("failures run again, alone")
        for verdict in self._verdicts:
            terminalreporter.write_line(verdict, red=True)
        for failure in self._flaky:
            terminalreporter.write_line(f"The first failure of {failure.tests[0]}:", yellow=True)
            terminalreporter.write_line(failure.text)
        for failure in self._flaky:
            more = f" and {len(failure.tests) - 1} more" if len(failure.tests) > 1 else ""
            terminalreporter.write_line(
                f"flaky: {failure.tests[0]}{more}, to be mended: failed with '{failure.message}', "
                "then passed alone",
                yellow=True,
                bold=True,
            )


def add_option(parser: pytest.Parser) -> None:
    """The command-line option."""
    parser.addoption(
        "--confirm-failures",
        action="store_true",
        help="run each test that failed once more, alone, when all have run; one that passes then "
        f"is told as flaky and does not fail the run (none is run again where over {MOST} failed)",
    )


def register(config: pytest.Config) -> None:
    """Take part where the option is given, in the process that reports."""
    if config.getoption("confirm_failures") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(ConfirmFailures(config), "confirm-failures")
