"""Hooks of pytest that say at the end which tests were not run. A `conftest.py` imports them."""

from __future__ import annotations

import pytest

_collected: set[str] = set()
_reported: set[str] = set()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(ids: list[str]) -> None:
    _collected.update(ids)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _reported.add(report.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Nothing is left out silently: neither slow tests, nor those that a crashed process did not come to."""
    if missing := sorted(_collected - _reported):
        terminalreporter.section(f"{len(missing)} tests were not run, as a test process ended before", red=True)
        terminalreporter.line("\n".join(missing))
    if config.option.markexpr == "not slow":
        terminalreporter.line("Tests marked slow were left out; `make test-all` runs them too.")
