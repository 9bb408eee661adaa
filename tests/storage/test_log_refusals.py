"""A disk that forgot, or that is somebody else's, is refused with the file's name and the next step.

A node that does not remember its promises must not vote (P9), so none of these may ever end in a fresh start.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from replog.directory.layout import IDENTITY_FILE, LOCK_FILE, LOG_FOLDER, ORIGIN_FILE, format_directory, open_directory
from replog.disk.environment import DATA_FILE
from replog.errors import Damaged, Lacking, Refused, ReplogError, StorageError
from replog.log.records import FORMAT_VERSION, IDENTITY_KEY, seal
from replog.paxos.effects import LogWrite
from tests.faults.acknowledged import CLUSTER, LIMITS, MEMBERSHIP, NODE, ballot_of, record_of
from tests.faults.directories import ROOT, adopt

HOLD = """
import pathlib, sys
from replog.directory.layout import open_directory
held = open_directory(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A stopped node that promised and accepted."""
    path = tmp_path / "node"
    format_directory(path, node=NODE, cluster=CLUSTER, membership=MEMBERSHIP)
    held = open_directory(path)
    store = held.open_log(LIMITS)
    store.recover()
    store.write([LogWrite(ballot_of(1), tuple(record_of(slot) for slot in range(1, 5)), None)])
    store.close()
    held.close()
    return path


def refusal(path: Path, kind: type[ReplogError]) -> str:
    """What starting from ``path`` is refused with; whatever happens, nothing in it may change."""
    before = contents(path)
    with pytest.raises(kind) as caught:
        start(path)
    assert contents(path) == before
    return str(caught.value)


def start(path: Path) -> None:
    held = open_directory(path)
    try:
        held.open_log(LIMITS).close()
    finally:
        held.close()


def contents(path: Path) -> dict[str, bytes]:
    """Every file but for those that say who is looking and where it lies."""
    passing = (LOCK_FILE, ORIGIN_FILE, "lock.mdb")
    files = [file for file in path.rglob("*") if file.is_file() and file.name not in passing]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def overwrite(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


# --- not formatted ---


def test_an_absent_or_empty_directory_is_not_formatted(tmp_path: Path) -> None:
    """It says to format it once, and makes nothing."""
    for path in (tmp_path / "absent", tmp_path):
        text = refusal(path, Refused)
        assert f"{path} is not formatted" in text
        assert f"replog init {path}" in text


def test_a_directory_of_something_else_is_none(tmp_path: Path) -> None:
    """It is named as foreign, and not offered to be formatted."""
    (tmp_path / "photos").mkdir()
    assert "is not a data directory of replog" in refusal(tmp_path, Refused)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    """It is said so, and nothing of it is read."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(Refused, match="file is no directory; name the one that `replog init` formatted"):
        open_directory(tmp_path / "file")


@pytest.mark.parametrize("call", ["exists", "read_bytes"])
def test_a_directory_that_may_not_be_read_lacks_a_permission(
    directory: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Wherever that is noticed, nothing stored is at fault."""

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, call, refuse)
    with pytest.raises(Lacking, match=r"Permission denied.*Nothing stored is at fault"):
        open_directory(directory)


def test_a_directory_that_lost_its_identity_is_not_taken_for_a_new_one(directory: Path) -> None:
    """A log without an identity may have been a node's."""
    (directory / IDENTITY_FILE).unlink()
    text = refusal(directory, Refused)
    assert f"{directory / IDENTITY_FILE} is missing" in text
    assert "replace a dead node" in text


def test_formatting_refuses_what_is_not_empty(directory: Path, tmp_path: Path) -> None:
    """Neither a formatted directory nor anybody's files are formatted over."""
    before = contents(directory)
    with pytest.raises(Refused, match="already formatted for node n1 of cluster"):
        format_directory(directory, node=NODE, cluster=CLUSTER, membership=MEMBERSHIP)
    assert contents(directory) == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(Refused, match=re.escape(f"{other} is not empty (it has thesis.tex)")):
        format_directory(other, node=NODE, cluster=CLUSTER, membership=MEMBERSHIP)


def test_a_formatted_directory_is_its_owners_alone(directory: Path) -> None:
    """Nobody else reads commands or writes promises."""
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / LOG_FOLDER).stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / LOG_FOLDER / DATA_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((directory / IDENTITY_FILE).stat().st_mode) == 0o600


# --- another's ---


@pytest.mark.parametrize("cluster", [CLUSTER, b"another cluster!"], ids=["other incarnation", "foreign cluster"])
def test_a_log_of_another_directory_is_refused(directory: Path, tmp_path: Path, cluster: bytes) -> None:
    """A log restored from an earlier formatting, or from another cluster, does not belong to this directory."""
    other = tmp_path / "other"
    format_directory(other, node=NODE, cluster=cluster, membership=MEMBERSHIP)
    shutil.rmtree(directory / LOG_FOLDER)
    shutil.copytree(other / LOG_FOLDER, directory / LOG_FOLDER)
    assert "is a copy, or was restored from a backup" in refusal(directory, Refused)
    adopt(directory)
    text = refusal(directory, StorageError)
    assert str(directory / LOG_FOLDER / DATA_FILE) in text
    assert cluster.hex() in text
    assert "never start the mixture" in text


def test_a_directory_of_another_format_names_both_versions(directory: Path) -> None:
    """A release that does not know a format leaves it alone."""
    newer = [FORMAT_VERSION + 1, CLUSTER, NODE, b"i" * 16, MEMBERSHIP]
    (directory / IDENTITY_FILE).write_bytes(seal(IDENTITY_KEY, msgspec.msgpack.encode(newer)))
    text = refusal(directory, StorageError)
    assert f"{directory / IDENTITY_FILE}: it has format version {FORMAT_VERSION + 1}" in text
    assert "use the release that wrote it" in text


def test_a_damaged_identity_file_is_made_up_for_by_the_logs_copy(directory: Path) -> None:
    """One of two copies is enough."""
    overwrite(directory / IDENTITY_FILE, 9, b"?")
    start(directory)


def test_a_copy_of_a_directory_is_refused_until_somebody_vouches_for_it(directory: Path, tmp_path: Path) -> None:
    """A backup that is put back forgot what was promised since; a directory that was only moved did not."""
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    text = refusal(copy, Refused)
    assert f"{copy} is a copy, or was restored from a backup" in text
    assert f"delete {copy / ORIGIN_FILE}" in text
    assert "replace a dead node" in text
    directory.rename(tmp_path / "moved")
    start(tmp_path / "moved")
    (copy / ORIGIN_FILE).unlink()
    start(copy)
    start(copy)


# --- in use ---


def test_a_directory_in_use_names_the_process_that_uses_it(directory: Path) -> None:
    """Two processes never share a directory, and the second one learns who the first is."""
    held = open_directory(directory)
    try:
        done = subprocess.run(
            [sys.executable, "-c", HOLD, directory], cwd=ROOT, capture_output=True, text=True, check=False
        )
    finally:
        held.close()
    assert done.returncode != 0
    assert f"{directory / LOCK_FILE} is held by another process (id {os.getpid()})" in done.stderr
    start(directory)


def test_the_lock_of_a_killed_process_is_free(directory: Path) -> None:
    """A lock ends with its process, however that ended."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, directory], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert "is held by another process" in refusal(directory, Refused)
        child.send_signal(signal.SIGKILL)
    start(directory)


# --- lost and damaged ---


def test_a_log_that_is_gone_is_not_begun_afresh(directory: Path) -> None:
    """A formatted directory without its log is a node that forgot."""
    (directory / LOG_FOLDER / DATA_FILE).unlink()
    text = refusal(directory, StorageError)
    assert str(directory / LOG_FOLDER / DATA_FILE) in text
    assert "never starts afresh" in text


@pytest.mark.parametrize("size", [0, 100, 4096, 3 * 4096, 6 * 4096])
def test_a_truncated_log_is_refused_before_it_is_mapped(directory: Path, size: int) -> None:
    """LMDB would be killed by a file that is too short; the check says so instead."""
    os.truncate(directory / LOG_FOLDER / DATA_FILE, size)
    text = refusal(directory, Damaged)
    assert f"{directory / LOG_FOLDER / DATA_FILE} is damaged" in text
    assert "truncated" in text or "not what its number says" in text
    assert "replace a dead node" in text


@pytest.mark.parametrize("pages", [(0,), (1,), (0, 1)])
def test_zeroed_root_pages_are_refused(directory: Path, pages: tuple[int, ...]) -> None:
    """A log without its root pages is lost, not empty."""
    for page in pages:
        overwrite(directory / LOG_FOLDER / DATA_FILE, page * 4096, bytes(4096))
    assert f"root page {pages[0]} is overwritten or zeroed" in refusal(directory, Damaged)


def test_a_zeroed_log_is_refused(directory: Path) -> None:
    """A file full of zeros is not an empty log either."""
    path = directory / LOG_FOLDER / DATA_FILE
    overwrite(path, 0, bytes(path.stat().st_size))
    assert "overwritten or zeroed" in refusal(directory, Damaged)


def test_an_unreadable_log_is_a_storage_error(directory: Path) -> None:
    """Something that is no file where the log should be is said, not raised through."""
    path = directory / LOG_FOLDER / DATA_FILE
    path.unlink()
    path.mkdir()
    assert str(path) in refusal(directory, StorageError)
