"""pytest's option `--confirm-failures`: a test that failed is run once more, alone.

A suite of thousands of tests on any machine meets a test now and then that fails by chance. With
the option, when all tests have run and the workers have ended, those that failed are run again in
one process: if all pass, they count as *flaky*, the run succeeds, and its last lines name each with
its first failure: it has to be mended. If one fails again, if more than `MOST` failed, or if the
run was ended early, the run stays failed.
"""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

MOST = 6
"""Tests that may fail by chance."""
SECONDS_ALONE = 1500
LAST_LINES = 35
"""Of what the second run printed."""


class ConfirmFailures:
    """The plugin; lives in the process that reports, not in the workers."""

    def __init__(self) -> None:
        self._ran: set[str] = set()
        self._failed: dict[str, pytest.TestReport] = {}
        self._said: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._ran.add(report.nodeid)
        if report.failed:
            self._failed.setdefault(report.nodeid, report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.exitstatus != pytest.ExitCode.TESTS_FAILED or session.shouldfail:
            return
        if len(self._failed) > MOST or len(self._ran) < session.testscollected:
            self._said.append("too much failed for chance, or did not run: nothing was run again")
            return
        config = session.config
        command = [sys.executable, "-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider"]
        command.append(f"--rootdir={config.rootpath}")
        command += [w for name in config.known_args_namespace.plugins for w in ("-p", name)]
        alone = {k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"}
        ran = subprocess.run(
            [*command, *self._failed], cwd=config.rootpath, env=alone, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS_ALONE,
        )  # fmt: skip
        if ran.returncode or " skipped" in ran.stdout.splitlines()[-1]:
            self._said += [*ran.stdout.splitlines()[-LAST_LINES:], "not passed when run alone"]
            return
        session.exitstatus = pytest.ExitCode.OK
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        assert isinstance(terminal, pytest.TerminalReporter)
        reports = [r for kind in ("failed", "error") for r in terminal.stats.pop(kind, [])]
        terminal.stats["flaky"] = reports
        self._said += [f"The first failure of {r.nodeid}:\n{r.longreprtext}" for r in reports]
        for name, report in self._failed.items():
            crash = getattr(report.longrepr, "reprcrash", None)
            why = str(crash.message if crash else report.longrepr).strip().splitlines()[0][:200]
            self._said.append(
                f"flaky: {name}, to be mended: failed with '{why}', then passed alone"
            )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
        """Last, after pytest's own summary."""
        yield
        for text in self._said:
            terminalreporter.write_line(text, bold=True)


def add_option(parser: pytest.Parser) -> None:
    parser.addoption(
        "--confirm-failures",
        action="store_true",
        help="run the tests that failed once more, alone, when all have run; where they pass then "
        f"they are told as flaky and the run succeeds (none is run again where over {MOST} failed)",
    )


def register(config: pytest.Config) -> None:
    if config.getoption("confirm_failures") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(ConfirmFailures(), "confirm-failures")
