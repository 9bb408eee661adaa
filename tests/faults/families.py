"""Families of tests that need something of the machine must not all be skipped where the machine has it.

With ``REQUIRE_FAULT_TESTS=1``, as ``.ci/run`` sets it, a run fails if every test of a family was skipped on a
machine with /dev/fuse, strace and root: there a skip hides a broken harness. Its hooks are imported by
``tests/conftest.py``.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

FAMILIES = ("power_cut", "injected", "network_namespace")

_ran: Counter[str] = Counter()
_skipped: Counter[str] = Counter()


def is_required() -> bool:
    """Whether this run must show the faults."""
    has_what_it_takes = Path("/dev/fuse").exists() and shutil.which("strace") is not None and os.geteuid() == 0
    return os.environ.get("REQUIRE_FAULT_TESTS") == "1" and has_what_it_takes


def skipped_families() -> list[str]:
    """The families of which some tests were skipped and none ran."""
    return [family for family in FAMILIES if _skipped[family] and not _ran[family]]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count, once a test; under xdist the one that counts is the controller."""
    for family in FAMILIES:
        if family in report.keywords:
            if report.skipped:
                _skipped[family] += 1
            elif report.when == "call":
                _ran[family] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a family that was skipped as a whole into a failure."""
    is_worker = hasattr(session.config, "workerinput")
    if not is_worker and is_required() and skipped_families():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which family failed that way."""
    if is_required():
        for family in skipped_families():
            terminalreporter.write_line(f"FAILED: every test of the family {family} was skipped", red=True)
