"""The journal and the log behind it as one store: who sees what while a checkpoint is made, and what room it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from replog.errors import StorageFull
from replog.log import journal_layout
from replog.log.journaled import CHECKPOINT_AGE_S, JournaledLogStore
from replog.log.space import MIB, LogLimits
from replog.paxos.ballot import Slot
from replog.paxos.effects import LogWrite
from tests.faults.acknowledged import RING_BYTES, record_of
from tests.faults.directories import formatted

from .test_journal_opening import JOURNALED, killed, mark, opened, recovered, write
from .test_log_space import BALLOT, _fill, _fill_with_ballast, record, small_disk


@pytest.fixture
def directory(quick_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(journal_layout, "JOURNAL_BYTES", RING_BYTES)
    return formatted(quick_path / "node")


def slots(store: JournaledLogStore, first: int, last: int) -> list[int]:
    found = store.read(Slot(first), Slot(last), slots_max=100, bytes_max=10**6)
    assert all(one == record_of(one.slot) for one in found)
    return [one.slot for one in found]


# --- readers beside a checkpoint ---


def test_what_is_durable_is_found_at_every_moment_of_a_checkpoint(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is let go of before LMDB has it (J11, J18)."""
    with opened(directory) as store:
        store.recover()
        write(store, 1, 2, 3, chosen_through=2)
        commit = store.log.commit
        seen = []

        def watched(writes: list[LogWrite], journal: object) -> None:
            seen.append(slots(store, 1, 9))
            commit(writes, journal)  # type: ignore[arg-type]
            seen.append(slots(store, 1, 9))

        monkeypatch.setattr(store.log, "commit", watched)
        store.checkpoint()
        assert seen == [[1, 2, 3], [1, 2, 3]]
        assert slots(store, 1, 9) == [1, 2, 3]


def test_a_checkpoint_in_the_middle_of_a_read_hides_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader has looked into LMDB before it, and finds the rest where it looked before that (J18)."""
    with opened(directory) as store:
        store.recover()
        write(store, 1)
        store.checkpoint()
        write(store, 2, 3, chosen_through=3)
        read = store.log.read

        def late(*asked: Slot, slots_max: int, bytes_max: int) -> object:
            found = read(*asked, slots_max=slots_max, bytes_max=bytes_max)
            store.checkpoint()
            return found

        monkeypatch.setattr(store.log, "read", late)
        assert slots(store, 2, 3) == [2, 3]
        write(store, 4)
        assert slots(store, 1, 4) == [1, 2, 3, 4]


def test_slots_are_read_across_journal_and_log_up_to_the_limits(directory: Path) -> None:
    """Whatever lies where, in turns: a size and a count end a read as they do in one store."""
    with opened(directory) as store:
        store.recover()
        write(store, 1, 2, 4, 5, 7)
        store.checkpoint()
        write(store, 3, 6)
        assert slots(store, 1, 9) == [1, 2, 3, 4, 5, 6, 7]
        assert [one.slot for one in store.read(Slot(2), Slot(9), slots_max=3, bytes_max=10**6)] == [2, 3, 4]
        three = sum(len(record_of(slot).value) for slot in (2, 3, 4))
        assert [one.slot for one in store.read(Slot(2), Slot(9), slots_max=9, bytes_max=three)] == [2, 3, 4]
        assert [one.slot for one in store.read(Slot(3), Slot(9), slots_max=9, bytes_max=1)] == [3]


def test_the_scrub_passes_over_a_slot_that_waits_to_be_written_over(directory: Path) -> None:
    """It was damaged in LMDB and repaired in the journal."""
    with opened(directory) as store:
        store.recover()
        write(store, 1, 2, 4, chosen_through=4)
        store.checkpoint()
        assert store.scrub(Slot(1), slots_max=10) == (5, [3])
        write(store, 3)
        assert store.scrub(Slot(1), slots_max=10) == (5, [])
        store.checkpoint()
        assert store.scrub(Slot(1), slots_max=10) == (5, [])


# --- when ---


def test_a_checkpoint_is_due_so_long_after_the_first_write_or_with_so_many_bytes(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 50 ms, or twenty times what the last one took; at once with an eighth of the ring (J12)."""
    with opened(directory) as store:
        now_s = [1000.0]
        store._clock = lambda: now_s[0]
        store.recover()
        assert store.checkpoint_at_s == float("inf")
        write(store, 1)
        assert store.checkpoint_at_s == 1000.0 + CHECKPOINT_AGE_S
        now_s[0] += 0.01
        write(store, 2)
        assert store.checkpoint_at_s < now_s[0]  # two blocks of sixteen
        commit = store.log.commit

        def slow(writes: list[LogWrite], journal: object) -> None:
            commit(writes, journal)  # type: ignore[arg-type]
            now_s[0] += 0.5

        monkeypatch.setattr(store.log, "commit", slow)
        store.checkpoint()
        assert store.checkpoint_at_s == float("inf")
        write(store, 3)
        assert store.checkpoint_at_s == pytest.approx(now_s[0] + 10.0)


def test_what_is_too_large_for_a_record_goes_to_the_log_behind_what_waits(directory: Path) -> None:
    """And takes no number (J17)."""
    with opened(directory) as store:
        store.recover()
        write(store, 8)
        before = store._journal
        assert before is not None
        write(store, 9)  # 9,000 bytes
        assert store.checkpoint_at_s == float("inf")
        write(store, 10)
    covered = mark(directory)
    assert covered.covered == covered.last
    assert [one.slot for one in recovered(directory).accepted] == [8, 9, 10]


# --- room ---


def test_room_is_found_before_the_journal_is_written(quick_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk refuses the group while nothing was tried, and what was journaled finds its room (J9)."""
    monkeypatch.setattr(journal_layout, "JOURNAL_BYTES", 2 * MIB)
    with small_disk(quick_path / "disk", "8m") as disk:
        path = formatted(disk / "node")
        limits = LogLimits(map_step_bytes=MIB, reserve_bytes=0, journal=True)
        with opened(path, limits) as store:
            store.recover()
            last, _early = _fill(store)
            assert last > 200
            with pytest.raises(StorageFull):
                store.write([LogWrite(BALLOT, (record(last + 1, 4_000),), None)])
            store.checkpoint()
            store.write([LogWrite(BALLOT.next_for(BALLOT.node), (), None)])  # a promise finds the last pages
        found = recovered(path, limits)
        assert [one.slot for one in found.accepted] == [*range(1, last + 1)]
        assert found.promise == BALLOT.next_for(BALLOT.node)


def test_pending_groups_keep_their_room(directory: Path) -> None:
    """What one reserves no later one is told to have."""
    with opened(directory) as store:
        store.recover()
        space = store.log._space
        write(store, 1)
        kept = space._reserved_bytes
        assert kept > len(record_of(1).value)
        write(store, 2)
        assert space._reserved_bytes > kept
        space._refresh()
        assert space._spare_bytes + space._reserved_bytes + space._last_page_bytes() == space.file_bytes
        store.checkpoint()
        assert space._reserved_bytes == 0


def test_a_start_on_a_full_disk_takes_its_journal_over(quick_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The room was reserved before it was journaled."""
    monkeypatch.setattr(journal_layout, "JOURNAL_BYTES", RING_BYTES)
    with small_disk(quick_path / "disk", "4m") as disk:
        path = formatted(disk / "node")
        killed(path)
        _fill_with_ballast(disk / "ballast", leave_bytes=0)
        assert [one.slot for one in recovered(path, JOURNALED).accepted] == [1, 2, 3, 4, 5]
