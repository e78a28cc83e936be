"""Settings of all tests, and what no test may leave behind."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A slow machine is no defect: whole tests have a timeout of their own.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")

# Shells start commands in the background without Ctrl-C, and everything that the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="module")
def _scheduling() -> Iterator[None]:
    """No test makes this process a real-time one: it and all that it starts would starve the rest of the machine."""
    yield
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Show a failure when it happens: a run that is stopped from outside never comes to the summary."""
    gc.disable()  # until the tests are collected
    if (terminal := config.pluginmanager.get_plugin("terminalreporter")) is not None:
        config.pluginmanager.register(_Failures(terminal))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Exempt what there is now from the search for garbage.

    The thousands of tests and all that they have imported are no garbage, and code that frees memory searches often.
    """
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Let the interpreter take everything apart at its end."""
    gc.unfreeze()


class _Failures:
    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome not in {"passed", "skipped"}:  # also one that is attempted again
            self._terminal.ensure_newline()
            self._terminal.write_line(f"{report.nodeid} ({report.when})\n{report.longreprtext}")
