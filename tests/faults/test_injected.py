"""Every storage call of a workload fails once, in every way it can: the process stops with its own exit code.

The kernel's answer is replaced by ``strace``, so the code under test is the real one down to the system call. A short
write is the harder one of two: the call says that a part was written, and nothing was.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from replog.directory.layout import open_directory
from replog.errors import StorageError
from replog.log.journal_file import JOURNAL_FILE

from .acknowledged import Acknowledged, check_log, check_state
from .directories import ROOT, adopt, formatted, workload
from .workload import Said, run

COUNT = 40
SLOTS = 14
WRITES = ("pwrite64", "pwritev", "write", "writev")
CALLS = (*WRITES, "fdatasync", "fsync", "fallocate", "ftruncate")
FAULTS = {
    "EIO": (CALLS, "error=EIO"),
    "ENOSPC": (CALLS, "error=ENOSPC"),
    "short": (WRITES, "retval=100"),
}
CALL = re.compile(r"\d+ +(\w+)\(")
BLOCKS_AHEAD = re.compile(r"\d+ +(fallocate\(|pwrite64\(\d+, \"(\\0)+\")")


@cache
def why_not() -> str:
    """Why nothing can be injected on this machine; empty: it can."""
    strace = shutil.which("strace")
    if strace is None:
        return "no strace (Debian: strace)"
    tried = subprocess.run([strace, "-f", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"strace can't trace here: {tried.stderr.strip()}"


@pytest.fixture(scope="module", params=[(), ("--journal",)], ids=["lmdb", "journal"])
def words(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What the workload is told."""
    told: tuple[str, ...] = request.param
    return told


@pytest.fixture(scope="module")
def storage_calls(tmp_path_factory: pytest.TempPathFactory, words: tuple[str, ...]) -> list[str]:
    """The names of the workload's storage calls in their order, which is the same every time."""
    if why_not():
        pytest.skip(why_not())
    folder = tmp_path_factory.mktemp("unhurt")
    done, lines = traced(formatted(folder / "node"), [], words)
    assert done.returncode == 0, done.stderr
    return [found[1] for line in lines if (found := CALL.match(line))]


def traced(
    directory: Path, injection: list[str], words: tuple[str, ...]
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the workload with its storage calls traced, those of the data files and the journal alone."""
    trace = directory.with_suffix(".trace")
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(trace), "-e", f"trace={','.join(CALLS)}", *injection]
    for folder in ("log", "state"):
        strace += ["-P", str(directory / folder / "data.mdb")]
    for name in (JOURNAL_FILE, f"{JOURNAL_FILE}.partial"):
        strace += ["-P", str(directory / "log" / name)]
    command = [*strace, *workload(directory, SLOTS, words=words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done, trace.read_text().splitlines()


@pytest.mark.injected
@pytest.mark.parametrize("first", range(0, COUNT, 10))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_storage_call_that_fails_ends_the_process_and_loses_nothing(
    quick_path: Path, storage_calls: list[str], words: tuple[str, ...], fault: str, first: int
) -> None:
    """Whichever storage call fails, the process ends with the storage error's code, and restarts whole."""
    names, effect = FAULTS[fault]
    places = [place for place, name in enumerate(storage_calls) if name in names][:COUNT]
    assert len(places) == COUNT
    original = formatted(quick_path / "original")
    for place in places[first : first + 10]:
        name = storage_calls[place]
        nth = storage_calls[: place + 1].count(name)  # strace counts the calls of each name on their own
        directory = quick_path / f"{place}-{name}-{nth}"
        shutil.copytree(original, directory)
        adopt(directory)
        _hurt(directory, f"inject={name}:{effect}:when={nth}", words)


def _hurt(directory: Path, injection: str, words: tuple[str, ...]) -> None:
    done, lines = traced(directory, ["-e", injection], words)
    injected = [line for line in lines if "INJECTED" in line]
    assert len(injected) == 1, injection
    is_without_journal = bool(words) and not (directory / "log" / JOURNAL_FILE).exists()
    is_full = "error=ENOSPC" in injection and is_without_journal and done.returncode == 0
    if is_full or ("error=EIO" not in injection and BLOCKS_AHEAD.match(injected[0])):
        # Taking blocks ahead of use found none, or some only: no commit was tried, and it goes on with what there is.
        # A journal that found no room while it was made is done without.
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == StorageError.exit_code, f"{injection}: {done.returncode} {done.stderr}"
        assert re.search(r"(data.mdb|journal): a write failed|journal can't be made", done.stderr), done.stderr
        assert "Traceback" not in done.stderr
    said = Acknowledged.read(done.stdout)
    last = check_log(directory, said).chosen_through
    check_state(directory, said)
    _go_on(directory, said)
    assert last <= said.slot + 1


def _go_on(directory: Path, said: Acknowledged) -> None:
    """The same directory serves again."""
    held = open_directory(directory)
    more = directory.with_suffix(".said")
    try:
        run(held, Said(str(more)), 4)
    finally:
        held.close()
    now = Acknowledged.read(more.read_text())
    assert now.slot >= said.slot + 4
    check_log(directory, now)
    check_state(directory, now)
