"""A node that starts on its journal: what it takes over, and what it refuses, by the files alone.

Each case is a directory as a process left it that was killed or stopped, with something done to its journal since.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import replog.log.journal_file
from replog.directory.layout import LOG_FOLDER, ORIGIN_FILE, format_directory, open_directory
from replog.disk.environment import DATA_FILE
from replog.errors import Damaged, StorageError
from replog.log import journal_layout
from replog.log.journal_file import JOURNAL_FILE, FileOnDisk, Journal
from replog.log.journal_layout import BLOCK_BYTES, SECTOR_BYTES
from replog.log.journaled import JournaledLogStore
from replog.log.records import JournalMark
from replog.log.report import open_pinned_log
from replog.log.space import MIB, LogLimits
from replog.paxos.ballot import Ballot, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.recovered import Recovered
from tests.faults.acknowledged import CLUSTER, MEMBERSHIP, NODE, ballot_of, record_of

RING_BYTES = 64 * 1024
JOURNALED = LogLimits(map_step_bytes=MIB, reserve_bytes=0, journal=True)
DIRECT = LogLimits(map_step_bytes=MIB, reserve_bytes=0, journal=False)
PROMISE = Ballot(99, NODE)


@pytest.fixture
def directory(quick_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(journal_layout, "JOURNAL_BYTES", RING_BYTES)
    format_directory(quick_path / "node", node=NODE, cluster=CLUSTER, membership=MEMBERSHIP)
    return quick_path / "node"


@contextlib.contextmanager
def opened(directory: Path, limits: LogLimits = JOURNALED) -> Iterator[JournaledLogStore]:
    """Closed as the end of a killed process would."""
    held = open_directory(directory)
    try:
        store = held.open_log(limits)
        try:
            yield store
        finally:
            store.close()
    finally:
        held.close()


def recovered(directory: Path, limits: LogLimits = JOURNALED) -> Recovered:
    with opened(directory, limits) as store:
        return store.recover()


def write(store: JournaledLogStore, *slots: int, chosen_through: int | None = None) -> None:
    chosen = None if chosen_through is None else Slot(chosen_through)
    for slot in slots:
        store.write([LogWrite(ballot_of(slot), (record_of(slot),), chosen)])


def killed(directory: Path, first: int = 1, last: int = 5) -> None:
    """A process that was killed: slots up to three are in the log, the others and a promise in the journal alone."""
    with opened(directory) as store:
        store.recover()
        write(store, *range(first, last - 1))
        store.checkpoint()
        write(store, last - 1, last)
        store.write([LogWrite(PROMISE, (), None)])


def stopped(directory: Path) -> None:
    with opened(directory) as store:
        store.recover()
        write(store, 1, 2, 3)
        store.finish()


def journal(directory: Path) -> Path:
    return directory / LOG_FOLDER / JOURNAL_FILE


def mark(directory: Path) -> JournalMark:
    with open_pinned_log(directory / LOG_FOLDER) as log:
        return log.position().journal


def contents(directory: Path) -> dict[str, bytes]:
    names = (DATA_FILE, JOURNAL_FILE)
    return {
        name: (directory / LOG_FOLDER / name).read_bytes() for name in names if (directory / LOG_FOLDER / name).exists()
    }


def refusal(directory: Path, kind: type[StorageError] = Damaged, limits: LogLimits = JOURNALED) -> str:
    """Starting is refused, and neither file has changed."""
    before = contents(directory)
    with pytest.raises(kind) as caught:
        recovered(directory, limits)
    assert contents(directory) == before
    assert str(caught.value).startswith(f"{journal(directory)}: ")
    return str(caught.value)


# --- what is taken over ---


@pytest.mark.parametrize("limits", [JOURNALED, DIRECT], ids=["journal", "no journal"])
def test_what_a_killed_process_had_only_journaled_is_in_the_log_when_the_next_one_begins(
    directory: Path, limits: LogLimits
) -> None:
    """In one transaction, before anything is answered; a start without a journal takes it over, too."""
    killed(directory)
    found = recovered(directory, limits)
    assert found.promise == PROMISE
    assert [record.slot for record in found.accepted] == [1, 2, 3, 4, 5]
    after = mark(directory)
    assert after.is_open is limits.journal
    assert after.covered == after.last + 1 or not limits.journal
    with open_pinned_log(directory / LOG_FOLDER) as log:
        assert log.promise().ballot == PROMISE
    assert recovered(directory, limits) == found


def test_every_start_passes_over_a_number(directory: Path) -> None:
    """So a number is never used twice, whatever a cut left of the last one (J6)."""
    numbers = []
    for _start in range(4):
        killed(directory)
        numbers.append(mark(directory).covered)
        recovered(directory)
        numbers.append(mark(directory).covered)
    assert numbers == sorted(set(numbers))


def test_nothing_is_changed_before_recovery(directory: Path) -> None:
    """Opening only looks: a process that ends before it recovered has changed nothing."""
    killed(directory)
    before = contents(directory)
    with opened(directory):
        pass
    assert contents(directory) == before


def test_a_clean_stop_leaves_everything_in_the_log_and_needs_the_journal_no_more(directory: Path) -> None:
    """It may be lost, damaged or exchanged then, and is made anew."""
    stopped(directory)
    assert not mark(directory).is_open
    for spoil in (Path.unlink, lambda path: path.write_bytes(b"\xff" * 5000), lambda path: os.truncate(path, 100)):
        before = mark(directory).id
        spoil(journal(directory))
        found = recovered(directory)
        assert ([record.slot for record in found.accepted], found.damaged_reason) == ([1, 2, 3], "")
        assert mark(directory).id != before
        with opened(directory) as store:
            store.recover()
            store.finish()


def test_a_journal_that_is_turned_off_is_read_once_and_may_go(directory: Path) -> None:
    """The log then says that nothing is in it."""
    killed(directory)
    found = recovered(directory, DIRECT)
    journal(directory).unlink()
    assert recovered(directory, DIRECT) == found
    assert recovered(directory, JOURNALED) == found


def test_a_bit_that_flips_in_a_stopped_nodes_journal_means_nothing(directory: Path) -> None:
    """Even where the next record would begin: after a clean stop nothing can be there."""
    stopped(directory)
    place = mark(directory).end * BLOCK_BYTES
    data = bytearray(journal(directory).read_bytes())
    data[place] ^= 1
    journal(directory).write_bytes(data)
    assert recovered(directory).damaged_reason == ""


# --- what makes it abstain ---


def test_a_damaged_record_makes_the_node_abstain_for_ever_and_what_came_before_it_is_kept(directory: Path) -> None:
    """The reason is stored with the records before it, and stays when the journal is written on (J16)."""
    killed(directory)
    covered = mark(directory)
    data = bytearray(journal(directory).read_bytes())
    data[(covered.end + 1) * BLOCK_BYTES + 100] ^= 1  # slot 5's: slot 4 stands before it, the promise behind
    journal(directory).write_bytes(data)
    found = recovered(directory)
    assert "of the journal is damaged" in found.damaged_reason
    assert [record.slot for record in found.accepted] == [1, 2, 3, 4]
    assert mark(directory).covered >= covered.covered + 3
    with opened(directory) as store:
        store.recover()
        write(store, 6, 7)
    assert recovered(directory).damaged_reason == found.damaged_reason


def test_a_log_that_was_set_back_under_its_journal_is_noticed_after_a_clean_stop(directory: Path) -> None:
    """Its journal has records that it does not know of."""
    stopped(directory)
    before = (directory / LOG_FOLDER / DATA_FILE).read_bytes()
    with opened(directory) as store:
        store.recover()
        write(store, 4, 5)
        store.finish()
    with (directory / LOG_FOLDER / DATA_FILE).open("r+b") as file:  # in place: the file is the original
        file.write(before)
        file.truncate(len(before))
    assert "the log was set back" in recovered(directory).damaged_reason


# --- what is refused ---


def test_a_journal_that_is_gone_is_not_begun_anew(directory: Path) -> None:
    """It may hold what the node promised: the message says what to put back, with or without a journal from now on."""
    killed(directory)
    data = journal(directory).read_bytes()
    journal(directory).unlink()
    for limits in (JOURNALED, DIRECT):
        text = refusal(directory, limits=limits)
        assert "it is missing" in text
        assert "put back the one that the node wrote last" in text
        assert "replace a dead node" in text
    journal(directory).write_bytes(data)
    assert recovered(directory).promise == PROMISE


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: os.truncate(path, RING_BYTES), "truncated"),
        (lambda path: os.truncate(path, 0), "first block"),
        (lambda path: path.write_bytes(bytes(RING_BYTES + BLOCK_BYTES)), "first block"),
    ],
    ids=["short", "empty", "zeros"],
)
def test_a_journal_that_is_short_or_zeroed_is_refused(
    directory: Path, spoil: Callable[[Path], object], says: str
) -> None:
    killed(directory)
    spoil(journal(directory))
    assert says in refusal(directory)


def test_an_older_copy_of_the_journal_is_refused(directory: Path) -> None:
    """One from before the last checkpoint lacks what the log has (J15)."""
    killed(directory)
    copy = journal(directory).read_bytes()
    killed(directory, 6, 10)
    now = journal(directory).read_bytes()
    journal(directory).write_bytes(copy)
    assert "an older copy" in refusal(directory)
    journal(directory).write_bytes(now)
    assert [record.slot for record in recovered(directory).accepted] == list(range(1, 11))


def test_the_journal_of_another_node_is_refused(directory: Path, quick_path: Path) -> None:
    """Another directory's by its first block, another one of this directory's by its id."""
    other = quick_path / "other"
    format_directory(other, node=NODE, cluster=CLUSTER, membership=MEMBERSHIP)
    killed(directory)
    killed(other)
    own = journal(directory).read_bytes()
    shutil.copy(journal(other), journal(directory))
    assert "belongs to another directory" in refusal(directory, StorageError)
    earlier = bytearray(own)
    ring = journal_layout.Ring(b"an earlier one's", RING_BYTES)
    with opened(other) as store:
        store.recover()
        earlier[:BLOCK_BYTES] = journal_layout.encode_header(ring, store.identity)
    journal(directory).write_bytes(own)
    with opened(directory) as store:
        earlier[:BLOCK_BYTES] = journal_layout.encode_header(ring, store.identity)
    journal(directory).write_bytes(earlier)
    assert "another one than the log was written beside" in refusal(directory)


def test_a_directory_that_was_copied_with_its_journal_is_still_a_copy(directory: Path, quick_path: Path) -> None:
    """Whoever vouches for it gets both, as they were."""
    killed(directory)
    shutil.copytree(directory, quick_path / "copy")
    (quick_path / "copy" / ORIGIN_FILE).unlink()
    assert recovered(quick_path / "copy") == recovered(directory)


# --- the disk fails ---


def test_a_block_that_the_disk_can_not_read_is_damage_where_it_counts(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pending record can't be read: the node abstains. What the log covers is not needed."""
    killed(directory)
    with failing_reads(monkeypatch, journal(directory), BLOCK_BYTES):
        assert recovered(directory).damaged_reason == ""
    killed(directory, 6, 10)
    pending = mark(directory).end * BLOCK_BYTES
    with failing_reads(monkeypatch, journal(directory), pending):
        assert "of the journal is damaged" in recovered(directory).damaged_reason


@contextlib.contextmanager
def failing_reads(monkeypatch: pytest.MonkeyPatch, path: Path, bad: int) -> Iterator[None]:
    """Reads of the file ``path`` fail that touch the byte ``bad``."""
    pread, fails = os.pread, path.stat().st_ino

    def failing(descriptor: int, length: int, offset: int) -> bytes:
        if os.fstat(descriptor).st_ino == fails and offset <= bad < offset + length:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(descriptor, length, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", failing)
        yield


@pytest.mark.parametrize("outcome", [errno.EIO, errno.ENOSPC, -SECTOR_BYTES], ids=["EIO", "ENOSPC", "short"])
def test_a_write_that_fails_or_comes_back_short_is_the_last(
    directory: Path, monkeypatch: pytest.MonkeyPatch, outcome: int
) -> None:
    """Its outcome is unknown: nothing is written any more, neither there nor to the log, not at a clean stop (J5)."""
    with opened(directory) as store:
        store.recover()
        write(store, 1)

        def failing(_descriptor: int, data: bytes, _offset: int) -> int:
            if outcome < 0:
                return len(data) + outcome
            raise OSError(outcome, os.strerror(outcome))

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", failing)
            with pytest.raises(StorageError, match=rf"{re.escape(str(journal(directory)))}: a write failed.*start the"):
                write(store, 2)
        before = contents(directory)
        for act in (
            lambda: write(store, 3),
            store.checkpoint,
            store.finish,
            lambda: store.compact(Slot(1), slots_max=1),
            lambda: store.install_floor(Slot(1), MEMBERSHIP),
        ):
            with pytest.raises(StorageError, match="a write failed"):
                act()
        assert contents(directory) == before
    assert [record.slot for record in recovered(directory).accepted] == [1]


def test_a_disk_that_has_no_room_for_a_journal_is_written_without_one(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left of the attempt, the reason is kept to be told, and the next start tries again (J1)."""

    def full(_descriptor: int, _offset: int, _count: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(replog.log.journal_file, "write_zeros", full)
        with opened(directory) as store:
            store.recover()
            assert "no room" in store.lack
            write(store, 1, 2)
            assert os.listdir(directory / LOG_FOLDER).count(JOURNAL_FILE) == 0
            assert [name for name in os.listdir(directory / LOG_FOLDER) if "partial" in name] == []
            store.finish()
    with opened(directory) as store:
        assert [record.slot for record in store.recover().accepted] == [1, 2]
        assert store.lack == ""
        write(store, 3)
        assert store.checkpoint_at_s < float("inf")


def test_nothing_that_the_log_does_not_cover_is_ever_written_over(directory: Path) -> None:
    """Whoever forgets the checkpoint is stopped before the write, not after it (J11)."""
    with opened(directory) as store:
        store.recover()
        write(store, 1)
    ring = journal_layout.Ring(mark(directory).id, RING_BYTES)
    careless = Journal(FileOnDisk(journal(directory)), ring, mark(directory))

    def write_on(count: int) -> None:
        for _number in range(count):
            careless.append(b"x")

    try:
        for _lap in range(5):
            write_on(10)
            careless.release()
        with pytest.raises(AssertionError):
            write_on(17)
    finally:
        careless.close()
