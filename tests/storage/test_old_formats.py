"""A directory of formats that are not read any more is refused with a sentence that says what to do, and left alone.

It was written by the code before (``old_directory.py``): log format 3, state format 2. One of the log format before
this one is read, and raised (``format_4_directory.py``).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from replog.directory.inspection import Finding, inspect, verify
from replog.directory.layout import IDENTITY_FILE, LOG_FOLDER, STATE_FOLDER, open_directory
from replog.errors import StorageError
from replog.log import journal_layout
from replog.log.records import FORMAT_VERSION, encode_position, is_of_format_before
from replog.log.report import open_pinned_log
from replog.log.space import MIB, LogLimits
from replog.paxos.ballot import Ballot, NodeId
from replog.paxos.recovered import Recovered
from replog.state.report import look_at_state, verify_state
from replog.state.store import LmdbStateStore
from tests.faults.directories import adopt

ARCHIVE = Path(__file__).parent / "old_directory.tar.xz"
ARCHIVE_OF_FORMAT_4 = Path(__file__).parent / "format_4_directory.tar.xz"
DEADLINE_S = 30


@pytest.fixture
def old(quick_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(quick_path, filter="data")
    return quick_path / "old"


def contents(path: Path) -> dict[str, bytes]:
    """Everything but LMDB's table of readers, which holds nothing that must last."""
    files = (file for file in path.rglob("*") if file.is_file() and file.name != "lock.mdb")
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.mark.parametrize("look", [open_directory, inspect, verify], ids=lambda look: look.__name__)
def test_a_log_of_format_3_is_refused_and_left_as_it_is(old: Path, look: Callable[[Path], object]) -> None:
    """Both numbers and the next step, from whatever opens the directory."""
    before = contents(old)
    with pytest.raises(StorageError) as caught:
        look(old)
    assert str(caught.value) == (
        f"{old / 'identity'}: it has format version 3 and this program reads versions 4 and 5 only; nothing was "
        "changed, so use the release that wrote it."
    )
    assert contents(old) == before


@pytest.mark.parametrize("look", [LmdbStateStore.open, look_at_state, verify_state], ids=lambda look: look.__name__)
def test_a_state_of_format_2_is_refused_and_left_as_it_is(old: Path, look: Callable[[Path], object]) -> None:
    """The log beside it may be of this format: then the state may be made again."""
    before = contents(old)
    with pytest.raises(StorageError) as caught:
        look(old / STATE_FOLDER)
    words = str(caught.value)
    assert words.startswith(
        f"{old / STATE_FOLDER / 'data.mdb'}: it has format 2 and this program reads format 3 only; "
    )
    assert "nothing was changed. Use the release that wrote it, or have it made again: Stop this node" in words
    assert contents(old) == before


@pytest.mark.processes
def test_a_node_does_not_start_on_it(old: Path) -> None:
    """``replog serve`` ends with the exit code of a storage failure and that sentence."""
    before = contents(old)
    settings = old.parent / "replica.toml"
    settings.write_text(f'data_dir = "{old.name}"\nstate_machine = "shop_sm:Shop"\nmembers = {{n1 = "127.0.0.1:1"}}\n')
    words = [sys.executable, "-m", "replog", "serve", "--config", str(settings)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert done.returncode == StorageError.exit_code, done.stderr
    assert re.search(
        r"format version 3.*versions 4 and 5 only.*use the release that wrote it", " ".join(done.stderr.split())
    )
    assert "Traceback" not in done.stderr
    assert contents(old) == before


# --- the format before ---


@pytest.fixture
def before(quick_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stopped node's directory of format 4."""
    monkeypatch.setattr(journal_layout, "JOURNAL_BYTES", 2**16)
    with tarfile.open(ARCHIVE_OF_FORMAT_4) as archive:
        archive.extractall(quick_path, filter="data")
    adopt(quick_path / "old")
    return quick_path / "old"


def recovered(path: Path, *, is_journaled: bool) -> Recovered:
    held = open_directory(path)
    store = held.open_log(LogLimits(map_step_bytes=MIB, reserve_bytes=0, journal=is_journaled))
    try:
        return store.recover()
    finally:
        store.close()
        held.close()


def formats(path: Path) -> tuple[bool, bool]:
    """Whether the identity file, and the log's record of it, are of format 4."""
    with open_pinned_log(path / LOG_FOLDER) as log:
        stored = log.identity_record()
    return is_of_format_before((path / IDENTITY_FILE).read_bytes()), is_of_format_before(stored)


def log_findings(path: Path) -> list[Finding]:
    return [finding for finding in verify(path).findings if finding.place.startswith(LOG_FOLDER)]


@pytest.mark.parametrize("is_journaled", [True, False])
def test_a_log_of_format_4_is_raised_when_a_node_starts_on_it(before: Path, *, is_journaled: bool) -> None:
    """Nothing of what it remembered changes, and a second start finds it as the first one left it."""
    assert formats(before) == (True, True)
    assert inspect(before).log.chosen_through == 10
    assert log_findings(before) == []
    assert formats(before) == (True, True)
    found = recovered(before, is_journaled=is_journaled)
    assert (found.promise, found.chosen_through, found.compacted_through) == (Ballot(7, NodeId(2)), 10, 2)
    assert [record.slot for record in found.accepted] == [11, 12]
    assert (found.membership.version, found.damaged_reason, found.damaged_chosen) == (2, "", ())
    assert formats(before) == (False, False)
    assert recovered(before, is_journaled=is_journaled) == found
    assert log_findings(before) == []


def test_a_file_of_identity_that_was_left_behind_follows(before: Path) -> None:
    """The power failed between the log and the file: both are read, and then the file says the log's format."""
    stale = (before / IDENTITY_FILE).read_bytes()
    found = recovered(before, is_journaled=True)
    (before / IDENTITY_FILE).write_bytes(stale)
    assert formats(before) == (True, False)
    assert recovered(before, is_journaled=True) == found
    assert formats(before) == (False, False)


def test_a_program_of_format_4_refuses_what_was_raised(before: Path) -> None:
    """By its identity file, and by the log alone where that file was left behind: neither record is one of format 4."""
    recovered(before, is_journaled=False)
    stored = msgspec.msgpack.decode((before / IDENTITY_FILE).read_bytes()[4:])
    assert stored[0] == FORMAT_VERSION == 5
    with open_pinned_log(before / LOG_FOLDER) as log:
        position = encode_position(log.position())
    assert len(position) - 4 != 44  # the length that it insists on
