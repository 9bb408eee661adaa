"""What every state store promises, in memory or in LMDB."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from replog.errors import Damaged
from replog.paxos.ballot import Slot
from replog.state.contract import StateStore

from .state_cases import DISKS, Disk, chunks, contents, fill, flush, transfer


@pytest.fixture(params=sorted(DISKS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def disk(kind: str, tmp_path: Path) -> Iterator[Disk]:
    disk = DISKS[kind](tmp_path / "state")
    yield disk
    disk.close()


@pytest.fixture
def other(kind: str, tmp_path: Path) -> Iterator[Disk]:
    disk = DISKS[kind](tmp_path / "other")
    yield disk
    disk.close()


@pytest.fixture
def store(disk: Disk) -> StateStore:
    return disk.store


def test_a_new_store_is_empty_and_stands_before_the_log(store: StateStore) -> None:
    """Nothing is in it and slot 1 is the first to apply."""
    assert contents(store) == ({}, {}, 0)
    assert store.get(b"a") is None
    assert store.get(b"") is None
    assert store.get_record(b"a") is None


def test_what_is_put_is_read_before_during_and_after_a_flush(store: StateStore) -> None:
    """A flush moves a value through three places and no reader can tell."""
    store.write({b"a": b"1"})
    store.put_record(b"r", b"x")
    for step in (lambda: store.begin_flush(Slot(1)), store.flush, store.end_flush):
        assert (store.get(b"a"), store.get_record(b"r")) == (b"1", b"x")
        step()
    assert (store.get(b"a"), store.get_record(b"r")) == (b"1", b"x")


def test_a_newer_generation_hides_an_older_one(store: StateStore) -> None:
    """Changes made while a flush is under way are what reads see."""
    for number in range(6):
        store.write({b"%d" % number: b"stored"})
    flush(store, 1)
    store.write({b"1": b"flushing"})
    store.write({b"2": None})
    store.write({b"3": None})
    store.begin_flush(Slot(2))
    store.write({b"3": b"again"})
    store.write({b"4": None})
    store.write({b"6": b"new"})
    expected = {b"0": b"stored", b"1": b"flushing", b"3": b"again", b"5": b"stored", b"6": b"new"}
    for step in (lambda: None, store.flush, store.end_flush):
        step()
        assert dict(store.scan(b"", None)) == expected
        assert {key: store.get(key) for key in expected} == expected
        assert [store.get(b"2"), store.get(b"4")] == [None, None]
        assert list(store.scan(b"", None, is_reverse=True)) == sorted(expected.items(), reverse=True)


def test_an_empty_value_is_a_value(store: StateStore) -> None:
    """Present and empty is not absent."""
    store.write({b"a": b""})
    assert store.get(b"a") == b""
    flush(store, 1)
    assert store.get(b"a") == b""
    assert list(store.scan(b"", None)) == [(b"a", b"")]


@pytest.mark.parametrize("is_reverse", [False, True])
@pytest.mark.parametrize(
    ("start", "stop"),
    [(b"", None), (b"b", None), (b"b", b"d"), (b"bb", b"cc"), (b"d", b"b"), (b"", b""), (b"z", None), (b"", b"a")],
)
def test_a_scan_is_half_open_and_in_order(
    store: StateStore, start: bytes, stop: bytes | None, is_reverse: bool
) -> None:
    """``start`` is in, ``stop`` is not, wherever the keys are."""
    keys = [b"a", b"b", b"b\x00", b"bz", b"c", b"d", b"\xff\xff"]
    for number, key in enumerate(keys):
        store.write({key: b"v"})
        if number == 3:
            flush(store, 1)
    expected = [key for key in keys if key >= start and (stop is None or key < stop)]
    found = [key for key, _value in store.scan(start, stop, is_reverse=is_reverse)]
    assert found == (expected[::-1] if is_reverse else expected)


@pytest.mark.parametrize("is_reverse", [False, True])
def test_a_long_scan_sees_every_key_once(store: StateStore, is_reverse: bool) -> None:
    """Windows of a scan neither repeat nor leave out what lies at their edges."""
    expected = {}
    for number in range(3000):
        key = b"%05d" % (number * 7 % 3000)
        store.write({key: b"%d" % number})
        expected[key] = b"%d" % number
        if number == 1500:
            flush(store, 1)
    for number in range(0, 3000, 3):
        store.write({b"%05d" % number: None})
        del expected[b"%05d" % number]
    found = list(store.scan(b"", None, is_reverse=is_reverse))
    assert found == sorted(expected.items(), reverse=is_reverse)


def test_a_range_of_deleted_rows_ends_a_scan_no_earlier(store: StateStore) -> None:
    """Windows in which everything is deleted are passed over."""
    fill(store, 2000, 1)
    for number in range(1, 1999):
        store.write({b"row/%08d" % number: None})
    for is_reverse in (False, True):
        found = [key for key, _value in store.scan(b"", None, is_reverse=is_reverse)]
        assert sorted(found) == [b"row/00000000", b"row/00001999"]


def test_a_scan_may_stay_open_over_changes_and_flushes(store: StateStore) -> None:
    """What was there before the scan and is not touched is seen once, in order, whatever happens meanwhile."""
    fill(store, 1000, 1)
    seen = []
    for number, (key, _value) in enumerate(store.scan(b"", None)):
        seen.append(key)
        store.write({b"row/%08d/new" % number: b"x" * 50})
        if number % 100 == 50:
            flush(store, 2 + number)
    assert all(first < second for first, second in pairwise(seen))
    assert {b"row/%08d" % number for number in range(1000)} <= set(seen)


def test_records_and_data_do_not_meet(store: StateStore) -> None:
    """The same key in both maps is two things."""
    store.write({b"a": b"data"})
    store.put_record(b"a", b"record")
    flush(store, 1)
    assert (store.get(b"a"), store.get_record(b"a")) == (b"data", b"record")
    store.put_record(b"a", None)
    assert (store.get(b"a"), store.get_record(b"a")) == (b"data", None)


def test_records_are_scanned_by_prefix(store: StateStore) -> None:
    """Only what begins with the prefix, in order."""
    for key in (b"a", b"s/2", b"s/1", b"s", b"t"):
        store.put_record(key, b"v")
    assert [key for key, _value in store.scan_records(b"s/")] == [b"s/1", b"s/2"]


def test_one_flush_at_a_time(store: StateStore) -> None:
    """A second generation is not set aside while one is under way, and nothing is lost by asking."""
    store.write({b"a": b"1"})
    assert store.begin_flush(Slot(1))
    store.write({b"a": b"2"})
    assert not store.begin_flush(Slot(2))
    store.flush()
    assert store.durable_through == 1
    assert not store.begin_flush(Slot(2))
    store.end_flush()
    assert store.begin_flush(Slot(2))
    store.flush()
    store.end_flush()
    assert store.durable_through == 2


def test_flushing_nothing_is_no_harm(store: StateStore) -> None:
    """With nothing set aside, ``flush`` and ``end_flush`` do nothing; with nothing changed, the position moves."""
    store.flush()
    store.end_flush()
    assert store.durable_through == 0
    flush(store, 5)
    assert store.durable_through == 5


def test_a_crash_goes_back_to_the_last_flush(disk: Disk) -> None:
    """Data, records and position stand together at it."""
    fill(disk.store, 50, 1)
    before = contents(disk.store)
    disk.store.write({b"row/00000001": b"changed"})
    disk.store.write({b"row/00000002": None})
    disk.store.put_record(b"session/000000", None)
    assert contents(disk.crash()) == before
    disk.store.write({b"set aside": b"x"})
    disk.store.begin_flush(Slot(2))
    assert contents(disk.crash()) == before


def test_a_flush_survives_a_crash_before_it_is_let_go(disk: Disk) -> None:
    """Durable is what ``flush`` returned from."""
    disk.store.write({b"a": b"1"})
    disk.store.begin_flush(Slot(3))
    disk.store.flush()
    assert contents(disk.crash()) == ({b"a": b"1"}, {}, 3)


def test_a_snapshot_is_of_the_last_completed_flush(store: StateStore) -> None:
    """Neither changes nor later flushes get into it."""
    fill(store, 300, 4)
    store.write({b"later": b"x"})
    snapshot = store.open_snapshot()
    before = list(chunks(snapshot, 1000))
    flush(store, 5)
    store.write({b"row/00000000": None})
    flush(store, 6)
    assert snapshot.applied_through == 4
    assert len(snapshot.name) == 16
    assert list(chunks(snapshot, 1000)) == before
    snapshot.close()


def test_a_snapshot_is_the_same_bytes_wherever_it_is_read(store: StateStore) -> None:
    """Any position gives the bytes that a reading from the beginning gives there."""
    fill(store, 2000, 4, value_bytes=400)
    snapshot = store.open_snapshot()
    whole = b"".join(data for _position, data in chunks(snapshot, 100_000))
    size = len(whole)
    for position in (0, size - 1, 5, size // 2, size // 2, size // 3, size, 1):
        data, is_last = snapshot.read(position, 70_000)
        assert data == whole[position : position + 70_000]
        assert is_last == (position + 70_000 >= size)
    snapshot.close()
    again = store.open_snapshot()
    assert b"".join(data for _position, data in chunks(again, 1234)) == whole
    again.close()


def test_a_snapshot_carries_a_state_to_another_store(disk: Disk, other: Disk) -> None:
    """The receiver stands where the sender stood, at once and after a crash."""
    fill(disk.store, 1000, 9)
    fill(other.store, 20, 1)
    other.store.write({b"not flushed": b"x"})
    snapshot = disk.store.open_snapshot()
    transfer(snapshot, other.store)
    other.store.finish_install(Slot(9))
    snapshot.close()
    assert contents(other.store) == contents(disk.store)
    assert contents(other.crash()) == contents(disk.store)
    other.store.write({b"goes on": b"y"})
    flush(other.store, 10)
    assert other.store.get(b"goes on") == b"y"


def test_an_empty_state_is_carried_too(disk: Disk, other: Disk) -> None:
    """A state with nothing in it is a state."""
    fill(other.store, 20, 1)
    flush(disk.store, 7)
    snapshot = disk.store.open_snapshot()
    transfer(snapshot, other.store)
    other.store.finish_install(Slot(7))
    assert contents(other.store) == ({}, {}, 7)
    snapshot.close()


def test_pieces_that_are_here_already_do_no_harm(disk: Disk, other: Disk) -> None:
    """A chunk may come twice, or begin before what is here ends."""
    fill(disk.store, 1000, 9)
    snapshot = disk.store.open_snapshot()
    other.store.begin_install(snapshot.name)
    for position, data in list(chunks(snapshot, 5000)):
        other.store.install_chunk(position, data)
        assert 0 <= other.store.received_bytes(snapshot.name) <= position + len(data)
        data, _is_last = snapshot.read(max(0, position - 50), len(data) + 50)
        other.store.install_chunk(max(0, position - 50), data)
    other.store.finish_install(Slot(9))
    assert contents(other.store) == contents(disk.store)
    snapshot.close()


def test_a_chunk_that_leaves_a_gap_is_not_kept(disk: Disk, other: Disk) -> None:
    """It is as if it had not come: the missing one is still wanted."""
    fill(disk.store, 1000, 9)
    snapshot = disk.store.open_snapshot()
    all_chunks = list(chunks(snapshot, 20_000))
    other.store.begin_install(snapshot.name)
    other.store.install_chunk(*all_chunks[0])
    other.store.install_chunk(*all_chunks[2])
    for position, data in all_chunks[1:]:
        other.store.install_chunk(position, data)
    other.store.finish_install(Slot(9))
    assert contents(other.store) == contents(disk.store)
    snapshot.close()


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_snapshot_that_is_not_whole_changes_nothing(disk: Disk, other: Disk, is_cut: bool) -> None:
    """A flipped bit or a missing end is found, what was there goes on, and the next attempt begins anew."""
    fill(disk.store, 1000, 9)
    fill(other.store, 20, 1)
    before = contents(other.store)
    snapshot = disk.store.open_snapshot()
    other.store.begin_install(snapshot.name)
    all_chunks = list(chunks(snapshot, 5000))
    for position, data in all_chunks[:-1] if is_cut else all_chunks:
        flipped = bytes([data[0] ^ 1]) + data[1:]
        other.store.install_chunk(position, data if is_cut or position != 10_000 else flipped)
    with pytest.raises(Damaged):
        other.store.finish_install(Slot(9))
    assert contents(other.store) == before
    assert other.store.received_bytes(snapshot.name) == 0
    transfer(snapshot, other.store)
    other.store.finish_install(Slot(9))
    assert contents(other.store) == contents(disk.store)
    snapshot.close()


def test_a_snapshot_of_another_slot_is_refused(disk: Disk, other: Disk) -> None:
    """The slot the log will be cut at must be the one the state stands at."""
    fill(disk.store, 10, 9)
    snapshot = disk.store.open_snapshot()
    transfer(snapshot, other.store)
    with pytest.raises(Damaged):
        other.store.finish_install(Slot(8))
    assert contents(other.store) == ({}, {}, 0)
    snapshot.close()


def test_another_snapshot_begins_from_nothing(disk: Disk, other: Disk) -> None:
    """Half of one snapshot is no part of another."""
    fill(disk.store, 500, 9)
    first = disk.store.open_snapshot()
    other.store.begin_install(first.name)
    other.store.install_chunk(0, first.read(0, 10_000)[0])
    first.close()
    fill(disk.store, 501, 10)
    second = disk.store.open_snapshot()
    assert second.name != first.name
    transfer(second, other.store)
    assert other.store.received_bytes(first.name) == 0
    other.store.finish_install(Slot(10))
    assert contents(other.store) == contents(disk.store)
    second.close()


def test_a_flush_that_was_set_aside_ends_with_an_install(disk: Disk, other: Disk) -> None:
    """The generation belongs to the old state; nothing of it reaches the new one."""
    fill(disk.store, 10, 9)
    other.store.write({b"old": b"x"})
    other.store.begin_flush(Slot(1))
    snapshot = disk.store.open_snapshot()
    transfer(snapshot, other.store)
    other.store.finish_install(Slot(9))
    other.store.flush()
    other.store.end_flush()
    assert contents(other.store) == contents(disk.store)
    assert other.store.begin_flush(Slot(10))
    snapshot.close()


def test_a_scan_left_open_over_an_install_ends_without_harm(disk: Disk, other: Disk) -> None:
    """It goes on in the state that is there."""
    fill(disk.store, 1000, 9)
    fill(other.store, 1000, 1)
    scan = other.store.scan(b"", None)
    next(scan)
    snapshot = disk.store.open_snapshot()
    transfer(snapshot, other.store)
    other.store.finish_install(Slot(9))
    assert all(key.startswith(b"row/") for key, _value in scan)
    snapshot.close()
