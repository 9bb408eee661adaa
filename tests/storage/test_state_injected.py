"""Every storage call of a state's flushes and of an install fails once: the process stops, and the state is whole.

Other than the workload of ``tests/faults/test_injected.py``, this one makes its state and installs another one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from replog.errors import StorageError
from replog.state.store import LmdbStateStore
from tests.faults.test_injected import CALL, CALLS, FAULTS, why_not
from tests.faults.workload import Said

from .power_cut import ROOT
from .state_cases import STEP_BYTES
from .state_writer import Acknowledged, check, write

pytestmark = pytest.mark.injected

COUNT = 40
PARTS = 2
FILES = ("data.mdb", "fresh/data.mdb", "incoming/data.mdb")
FLUSHES = 14
SOURCE_FLUSHES = 10

Words = Callable[[Path], list[str]]


def command(folder: Path, count: int, *more: str | Path) -> list[str]:
    return [sys.executable, "-m", "tests.storage.state_writer", *map(str, (folder, "-", count, *more))]


def traced(state: Path, words: list[str], injection: list[str]) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run a writer with the storage calls on its state's files traced; its output, and the lines of the trace."""
    trace = state.with_suffix(".trace")
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(trace), "-e", f"trace={','.join(CALLS)}", *injection]
    for file in FILES:
        strace += ["-P", str(state / file)]
    done = subprocess.run([*strace, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done, trace.read_text().splitlines()


def hurt_every_call(folder: Path, prepare: Callable[[Path], None], words: Words, fault: str, part: int) -> None:
    """Run the writer once for each of its first storage calls, with that call failing."""
    names, effect = FAULTS[fault]
    unhurt = folder / "unhurt"
    prepare(unhurt)
    done, lines = traced(unhurt, words(unhurt), [])
    assert done.returncode == 0, done.stderr
    calls = [found[1] for line in lines if (found := CALL.match(line))]
    places = [place for place, name in enumerate(calls) if name in names][:COUNT]
    assert len(places) == COUNT
    for place in places[part::PARTS]:
        name = calls[place]
        nth = calls[: place + 1].count(name)  # strace counts the calls of each name on their own
        state = folder / f"{place}-{name}-{nth}"
        prepare(state)
        _hurt(state, words(state), f"inject={name}:{effect}:when={nth}")
        shutil.rmtree(state)


def _hurt(state: Path, words: list[str], injection: str) -> None:
    done, lines = traced(state, words, ["-e", injection])
    injected = [line for line in lines if "INJECTED" in line]
    assert len(injected) == 1, injection
    if "error=ENOSPC" in injection and "fallocate" in injected[0]:
        # Taking blocks ahead of use found none: it asks for fewer.
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == StorageError.exit_code, f"{injection}: {done.returncode} {done.stderr}"
        assert str(state) in done.stderr
        assert "Traceback" not in done.stderr
    said = Acknowledged.read(done.stdout)
    through = check(state, said)
    store = LmdbStateStore.open(state, map_step_bytes=STEP_BYTES)
    write(store, Said(os.devnull), 3)
    store.close()
    assert check(state, Acknowledged(flushed=through + 3)) == through + 3


@pytest.fixture(autouse=True)
def _can_inject() -> None:
    if why_not():
        pytest.skip(why_not())


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("fault", ["EIO", "ENOSPC"])
def test_a_storage_call_that_fails_ends_the_process_and_the_state_is_whole(
    quick_path: Path, fault: str, part: int
) -> None:
    """From making the state on: exit code 5, and what is found is one flush, at least the last one acknowledged."""

    def prepare(state: Path) -> None:
        """There is no state yet."""

    hurt_every_call(quick_path, prepare, lambda state: command(state, FLUSHES), fault, part)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_storage_call_that_fails_during_an_install_leaves_the_old_state_or_the_new_one(
    quick_path: Path, part: int
) -> None:
    """Making it, receiving into it, finishing it, and the flushes after it."""
    source, old = quick_path / "source", quick_path / "old"
    for folder, count in ((source, SOURCE_FLUSHES), (old, 3)):
        subprocess.run(command(folder, count), cwd=ROOT, stdout=subprocess.DEVNULL, check=True)

    def prepare(state: Path) -> None:
        shutil.copytree(old, state)

    hurt_every_call(quick_path, prepare, lambda state: command(state, FLUSHES, source), "EIO", part)
