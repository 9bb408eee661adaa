"""Options of the whole test run."""

from __future__ import annotations

import signal

import pytest

from tests.faults.families import pytest_runtest_logreport, pytest_sessionfinish, pytest_terminal_summary

__all__ = ["pytest_addoption", "pytest_runtest_logreport", "pytest_sessionfinish", "pytest_terminal_summary"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite", action="store_true", help="write down what each scenario tells as what it should tell"
    )


def pytest_configure() -> None:
    """A shell that runs the tests in its background has them ignore SIGINT, and what they start inherits that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
