"""Crowds and strangers at real nodes: nobody ends, and those who matter get in. ``crowds`` measures the same larger."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from . import crowds

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

MEMORY_MAX = 200 * 2**20


def test_more_clients_than_descriptors_keep_nobody_out_who_matters(tmp_path: Path) -> None:
    """A node whose limit can't be raised lets in as many as fit; a peer that restarts and who asks still get in."""
    program = (
        "import trio; from pathlib import Path; from tests.processes import crowds; crowds.FILES = 256; "
        f"print(trio.run(lambda: crowds.idle(Path({str(tmp_path)!r}), hard=256, count=300)))"
    )  # a process of its own, since a hard limit does not come back
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all(50 < held < 256 for held in eval(done.stdout)), done.stdout


def test_clients_beyond_the_soft_limit_are_let_in(tmp_path: Path) -> None:
    """The node raises what it may."""
    assert trio.run(lambda: crowds.idle(tmp_path, hard=None, count=300)) == [300] * 3


def test_probes_are_one_line(tmp_path: Path) -> None:
    """However many they are."""
    assert sum(trio.run(lambda: crowds.probes(tmp_path, 500)).values()) == 1


def test_clients_that_do_not_read_cost_a_bounded_amount_of_memory(tmp_path: Path) -> None:
    """And hold up no one else's reads."""
    assert trio.run(lambda: crowds.unread(tmp_path, 30)) < MEMORY_MAX


def test_frames_that_do_not_end_cost_a_bounded_amount_of_memory(tmp_path: Path) -> None:
    """The largest goes for the next one."""
    assert trio.run(lambda: crowds.begun(tmp_path, 60)) < MEMORY_MAX
