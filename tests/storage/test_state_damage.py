"""Rows of the state that are other than they were written: whoever reads one says so, and the scrub reads all of them.

A damaged file is made by writing to it beside the store that has it open, as a disk would change it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from replog.apply.applier import Applier
from replog.config import NodeOptions
from replog.disk.pinned import pinned
from replog.errors import Damaged
from replog.node.state_jobs import StateJobs
from replog.paxos.ballot import NodeId, Slot
from replog.paxos.messages import SnapshotChunk
from replog.state.environment import SCRUB_ROWS, STATE_LAYOUT
from replog.state.report import DAMAGED_ROWS_SHOWN, verify_state
from replog.state.rows import DATA, RECORDS, is_sound, open_rows, seal
from replog.state.store import LmdbStateStore

from .state_cases import STEP_BYTES, chunks, contents, fill, flush, transfer

PAGE_BYTES = 4096
BIG = b"big/" * 3000
"""A value with pages of its own."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state"


def filled(path: Path) -> LmdbStateStore:
    """A state of some leaves, with a big row and records."""
    store = LmdbStateStore.open(path, map_step_bytes=STEP_BYTES)
    store.write({b"big": BIG})
    fill(store, 3 * SCRUB_ROWS, 1)
    return store


@pytest.fixture
def store(path: Path) -> Iterator[LmdbStateStore]:
    """It is open."""
    store = filled(path)
    yield store
    store.close()


def change(path: Path, old: bytes, new: bytes) -> None:
    """Replace bytes of the file wherever they stand in it."""
    assert len(old) == len(new)
    with (path / "data.mdb").open("r+b") as file:
        data = file.read()
        assert old in data
        for found in re.finditer(re.escape(old), data):
            file.seek(found.start())
            file.write(new)


def flip_row(path: Path, number: int) -> bytes:
    """Change a bit of the value of a row that ``fill`` wrote; returns the row's key."""
    change(path, b"%08d/1/." % number, b"%08d/1/," % number)
    return b"row/%08d" % number


def scrubbed(store: LmdbStateStore) -> tuple[list[Damaged], int]:
    """What a whole round of the scrub finds, and in how many chunks."""
    place, found, count = b"", [], 0
    while True:
        place, damaged = store.scrub(place)
        found += damaged
        count += 1
        if not place:
            return found, count


# --- the checksum ---


def test_a_row_is_sound_in_its_own_place_only() -> None:
    """Another tree, key or border between key and value is another row."""
    stored = seal(DATA, b"key", b"value")
    assert is_sound(DATA, b"key", stored)
    assert open_rows(DATA, [(b"key", stored)]) == ([(b"key", b"value")], None)
    assert not is_sound(RECORDS, b"key", stored)
    assert not is_sound(DATA, b"kez", stored)
    assert not is_sound(DATA, b"ke", b"y" + stored)
    assert not is_sound(DATA, b"keyv", stored[1:])
    assert not is_sound(DATA, b"k" * 5000, stored)
    assert not any(is_sound(DATA, b"key", stored[:length]) for length in range(len(stored)))


def test_any_flipped_bit_of_a_row_is_found() -> None:
    """In the key, in the value and in the checksum itself."""
    key, stored = b"order/17", seal(DATA, b"order/17", b"three needles")
    whole = key + stored
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not is_sound(DATA, bytes(damaged[: len(key)]), bytes(damaged[len(key) :]))


# --- reading ---


def test_reading_a_damaged_row_says_so_and_what_to_do(store: LmdbStateStore, path: Path) -> None:
    """One message for every way of reading: the file, the key, and that the log is to be kept."""
    key = flip_row(path, 700)
    message = rf"state/data\.mdb is damaged: the row b'{key.decode()}' of data.*remove .*state and nothing else.*never"
    assert store.get(b"row/00000701") is not None
    with pytest.raises(Damaged, match=message):
        store.get(key)
    with pytest.raises(Damaged, match=message):
        dict(store.scan(b"", None))
    with pytest.raises(Damaged, match=message):
        dict(store.scan(b"", None, is_reverse=True))
    snapshot = store.open_snapshot()
    with pytest.raises(Damaged, match=message):
        list(chunks(snapshot, 2**20))
    snapshot.close()


def test_a_damaged_record_of_the_applier_is_found_too(store: LmdbStateStore, path: Path) -> None:
    """Sessions decide what is done once."""
    store.put_record(b"session/x", b"a session of some length")
    flush(store, 2)
    change(path, b"a session of some", b"a session of same")
    for read in (lambda: store.get_record(b"session/x"), lambda: dict(store.scan_records(b"session/"))):
        with pytest.raises(Damaged, match="the row b'session/x' of records fails"):
            read()


def test_a_change_that_is_not_flushed_hides_the_damage_below_it(store: LmdbStateStore, path: Path) -> None:
    """What is read is right, and the flush heals the row."""
    key = flip_row(path, 5)
    store.write({key: b"new"})
    assert store.get(key) == b"new"
    flush(store, 2)
    assert scrubbed(store)[0] == []


def test_what_was_received_is_sealed_as_it_was_sent(store: LmdbStateStore, tmp_path: Path) -> None:
    """A transferred state is as well protected as one that was flushed."""
    other = LmdbStateStore.open(tmp_path / "other", map_step_bytes=STEP_BYTES)
    snapshot = store.open_snapshot()
    transfer(snapshot, other)
    snapshot.close()
    other.finish_install(Slot(1))
    assert contents(other) == contents(store)
    key = flip_row(tmp_path / "other", 9)
    with pytest.raises(Damaged):
        other.get(key)
    other.close()


# --- the scrub ---


def test_the_scrub_reads_everything_in_bounded_chunks(store: LmdbStateStore) -> None:
    """A round over a sound state ends, and finds nothing; so does one over an empty state."""
    damaged, count = scrubbed(store)
    assert damaged == []
    assert count >= 4
    for key, _value in store.scan(b"", None):
        store.write({key: None})
    flush(store, 2)
    assert scrubbed(store)[0] == []


@pytest.mark.parametrize("number", [0, SCRUB_ROWS - 1, SCRUB_ROWS, 2 * SCRUB_ROWS, 3 * SCRUB_ROWS - 1])
def test_the_scrub_finds_a_damaged_row_wherever_it_is(store: LmdbStateStore, path: Path, number: int) -> None:
    """At the ends of chunks too, and it goes on behind it."""
    keys = [flip_row(path, number), flip_row(path, 100)]
    damaged, _count = scrubbed(store)
    assert sorted(str(error) for error in damaged) == sorted(
        str(store._environment.damaged_row(DATA, key)) for key in keys
    )


def test_the_scrub_finds_damage_inside_a_big_row_and_in_a_record(store: LmdbStateStore, path: Path) -> None:
    """Pages of their own, and the other tree."""
    change(path, BIG[:5000], BIG[:4999] + b"?")
    change(path, b"session/000500", b"session/000501")
    damaged, _count = scrubbed(store)
    assert [re.search(r"the row b'(\S+)'", str(error)) is not None for error in damaged] == [True, True]
    assert "of data" in str(damaged[0])
    assert "of records" in str(damaged[1])


def test_the_scrub_finds_rows_that_went_missing(store: LmdbStateStore, path: Path) -> None:
    """A leaf that says it has fewer rows than it has reads as if they had been deleted; its pages tell."""
    data = (path / "data.mdb").read_bytes()
    leaf = next(
        page
        for page in range(2, len(data) // PAGE_BYTES)
        if data[page * PAGE_BYTES + 10] == 2 and b"row/00000999" in data[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]
    )
    at = leaf * PAGE_BYTES + 12
    lower = int.from_bytes(data[at : at + 2], "little")
    with (path / "data.mdb").open("r+b") as file:
        file.seek(at)
        file.write((lower - 2).to_bytes(2, "little"))
    (error,) = scrubbed(store)[0]
    assert f"page {leaf} of the data tree has its records in the wrong places" in str(error)
    assert "remove" in str(error)


class Bystander:
    """A node that has nothing to do with the scrub."""

    applier: Applier

    def send_chunk(self, target: NodeId, chunk: SnapshotChunk) -> None: ...

    def on_flush_begun(self) -> None: ...

    def on_flushed(self) -> None: ...

    def on_chunk_stored(self, snapshot: bytes, position: int) -> None: ...

    def on_install_skipped(self) -> None: ...

    def on_swapped(self, applied_through: Slot) -> None: ...


def test_damage_that_the_scrub_finds_ends_the_node(store: LmdbStateStore, path: Path) -> None:
    """A state that nobody has asked for yet is damaged all the same, and its node must not go on from it."""
    flip_row(path, 2 * SCRUB_ROWS)
    jobs = StateJobs(
        store, NodeOptions(scrub_interval_s=1.0, flush_interval_s=600.0), Bystander(), 0.0, structlog.get_logger()
    )

    def scrub_all() -> None:
        now_s = 1.0
        while (job := jobs.next_job(now_s)) is not None:
            jobs.on_done(job, job.perform(store), None, now_s)
            now_s = jobs.deadline_s

    with pytest.raises(Damaged) as raised:
        scrub_all()
    assert raised.value.exit_code == 5


# --- looking from outside ---


def test_verify_names_damaged_rows_but_not_all_of_very_many(path: Path) -> None:
    """A person reads the list."""
    filled(path).close()
    assert verify_state(path)[1] == []
    key = flip_row(path, 700)
    assert verify_state(path)[1] == [f"the row {key!r} of data fails its checksum"]
    change(path, b"/1/.....", b"/1/....,")
    found = verify_state(path)[1]
    assert len(found) == DAMAGED_ROWS_SHOWN + 1
    assert found[-1] == f"{3 * SCRUB_ROWS - DAMAGED_ROWS_SHOWN:,} more rows fail their checksums"


def test_verify_walks_both_trees_and_the_list_of_free_pages(path: Path) -> None:
    """What LMDB would use again must not be in use, or the next flush would write over the state."""
    store = filled(path)
    flush(store, 2)
    row_count = len(dict(store.scan(b"", None))) + len(dict(store.scan_records(b"")))
    store.close()
    with pinned(path, STATE_LAYOUT, next_step="") as environment:
        assert environment.pages.free_pages > 0
        assert environment.pages.entries == row_count
