"""``replog sim`` as somebody with a state machine of their own runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import replog

from .conftest import Replog

MACHINE = """
import replog

class Counter(replog.StateMachine):
    def apply(self, state, command):
        total = int(state.get(b"total", b"0")) + len(command.payload)
        state.put(b"total", b"%d" % total)
        return b"%d" % total

    def query(self, view, request):
        return view.get(b"total", b"0")

class Nothing:
    pass
"""


@pytest.fixture(autouse=True)
def _folder_of_my_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_of_mine.py").write_text(MACHINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_a_state_machine_in_the_working_directory_is_found(replog: Replog) -> None:
    """Where `replog dev` works, `replog sim` works: the README's command."""
    done = replog("sim", "--state-machine", "module_of_mine:Counter", "--seeds", 7, "--steps", 200, "--jobs", 1)
    assert (done.code, done.out.splitlines()[0]) == (0, "CLEAN: 1 seed, no violation"), done.err


@pytest.mark.parametrize("name", ["module_of_mine:Nothing", "module_of_mine:Missing", "nowhere:Counter", "Counter"])
def test_what_is_no_state_machine_is_named(replog: Replog, name: str) -> None:
    """The same sentence as from `serve` and `config check`, before anything runs."""
    done = replog("sim", "--state-machine", name, "--seeds", "0:2", "--jobs", 1)
    assert done.code == 2
    assert done.err.startswith(f"error: state machine {name}") or f"{name!r} is not module:Class" in done.err


def test_a_working_directory_that_was_deleted_is_no_defect(tmp_path: Path) -> None:
    """Somebody cleaned up behind a shell that is still there."""
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"rmdir {gone} && exec {sys.executable} -m replog sim --seeds 0:1"
    environment = {**os.environ, "PYTHONPATH": str(Path(replog.__file__).parent.parent)}
    done = subprocess.run(["sh", "-c", script], cwd=gone, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, "defect" in done.stderr) == (0, False), done.stderr
