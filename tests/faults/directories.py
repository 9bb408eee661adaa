"""Formatted directories for the tests that hurt them, and the workload as a process."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from replog.directory.layout import ORIGIN_FILE, STATE_FOLDER, format_directory
from replog.log.space import MIB
from replog.state.store import LmdbStateStore

from .acknowledged import CLUSTER, MEMBERSHIP, NODE

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: what it is used for kills processes and breaks calls, never the machine.

    A sync of a busy disk takes tens of milliseconds, and these tests commit tens of thousands of times.
    """
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="replog-test-", dir=memory) as folder:
        yield Path(folder)


def formatted(path: Path) -> Path:
    """A directory as it is before a node's first start."""
    format_directory(path, node=NODE, cluster=CLUSTER, membership=MEMBERSHIP)
    LmdbStateStore.open(path / STATE_FOLDER, map_step_bytes=MIB).close()
    return path


def adopt(path: Path) -> None:
    """Say that this copy of a directory may be used."""
    (path / ORIGIN_FILE).unlink(missing_ok=True)


def workload(directory: Path, slots: int, said: str = "-", words: Sequence[str] = ()) -> list[str]:
    """The command that runs the workload; start it in ``ROOT``."""
    return [sys.executable, "-m", "tests.faults.workload", str(directory), said, str(slots), *words]
