"""Bits of a small state are flipped: each flip is detected, or the state says exactly what it said before.

Every byte of every page in use has a bit flipped, and every bit where a single one decides most: root pages, heads of
pages and their lists of records. Flips in root pages are judged by ``verify`` and by opening the store and reading all
of it, the others by the same checks over a file that is open already, which makes them cheap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from replog.disk.environment import DATA_FILE
from replog.disk.pages import check_pages
from replog.disk.pinned import PinnedEnvironment, pinned
from replog.errors import Damaged, StorageError
from replog.paxos.ballot import Slot
from replog.state.environment import POSITION_KEY, STATE_LAYOUT, decode_position
from replog.state.report import damaged_rows, verify_state
from replog.state.store import LmdbStateStore

from .state_cases import STEP_BYTES, Contents, contents, flush
from .test_log_bit_flips import PAGE_BYTES, Flipped, places_in

ROWS = 16
BIG_BYTES = 4700
WHOLE_HEAD_BYTES = 64
OPENING_STRIDE = 29
PARTS = 2


def open_store(path: Path) -> LmdbStateStore:
    return LmdbStateStore.open(path, map_step_bytes=STEP_BYTES)


@pytest.fixture
def path(quick_path: Path) -> Path:
    """A stopped state of two leaves, a row with pages of its own, records, and freed pages.

    A single flipped bit makes its newest root page look older than the other one.
    """
    path = quick_path / "state"
    store = open_store(path)
    while store.durable_through < 3 or store._environment.position.transaction % 4 != 2:
        through = store.durable_through + 1
        for number in range(ROWS):
            store.write({b"row/%02d" % number: (b"%d/%d " % (number, through)) * 60})
        store.write({b"big": b"%d" % through * BIG_BYTES})
        store.put_record(b"meta", b"stands at %d" % through)
        store.put_record(b"session/1", b"answered %d" % through)
        flush(store, through)
        store.close()
        store = open_store(path)
    store.close()
    return path


def pages_in_use(flipped: Flipped) -> set[int]:
    """What the structure check reads, with the further pages of big records."""
    report = check_pages(flipped.read, len(flipped.original), STATE_LAYOUT)
    used = set(flipped.pages_read)
    for page in flipped.pages_read:
        at = page * PAGE_BYTES
        if flipped.original[at + 10] == 4:
            used.update(range(page, page + int.from_bytes(flipped.original[at + 12 : at + 16], "little")))
    assert report.live_pages <= len(used)
    return used


def bits_in(place: int) -> range:
    """Which bits of a byte are flipped: all where structure is, one elsewhere, another one from byte to byte."""
    is_head = place % PAGE_BYTES < WHOLE_HEAD_BYTES or place < 2 * PAGE_BYTES
    return range(8) if is_head else range(place % 8, place % 8 + 1)


def facts(environment: PinnedEnvironment) -> tuple[Any, ...]:
    """Everything the state says. Raises ``Damaged`` if something of it is known to be wrong."""
    if damaged_rows(environment):
        raise Damaged("a row fails its checksum")
    trees = [list(environment.transaction.cursor(tree)) for tree in environment.trees]
    rows = [[(bytes(key), bytes(stored)) for key, stored in tree] for tree in trees]
    return rows, decode_position(bytes(environment.transaction.get(POSITION_KEY)))


def facts_on_opening(path: Path) -> Contents:
    """What a starting node reads, if ``verify`` would find nothing. Raises ``StorageError``."""
    report, damaged = verify_state(path)
    if damaged:
        raise Damaged(damaged[0])
    before = report.unfinished
    store = open_store(path)
    try:
        assert (before is None) == (report.applied_through == store.durable_through)
        return contents(store)
    finally:
        store.close()


def test_bits_outside_the_pages_in_use_are_never_read(path: Path) -> None:
    """Opening, reading and scrubbing reads no page but those that the other tests damage."""
    flipped = Flipped(path / DATA_FILE)
    used = pages_in_use(flipped)
    before = facts_on_opening(path)
    for page in range(len(flipped.original) // PAGE_BYTES):
        if page not in used:
            flipped.overwrite(page)
    assert facts_on_opening(path) == before
    store = open_store(path)
    place, found = store.scrub(b"")
    while place:
        assert not found
        place, found = store.scrub(place)
    store.close()
    flipped.close()


def test_a_flipped_bit_in_any_byte_is_detected_or_harmless(path: Path) -> None:
    """No byte of any page in use can change so that the state says something else without saying so."""
    flipped = Flipped(path / DATA_FILE)
    places = [place for page in sorted(pages_in_use(flipped) - {0, 1}) for place in places_in(flipped, page)]
    assert len(places) > 8000
    detected = harmless = 0
    with pinned(path, STATE_LAYOUT, next_step="") as environment:
        before = facts(environment)
        for place in places:
            for bit in bits_in(place):
                flipped.flip(place, bit)
                try:
                    check_pages(flipped.read, len(flipped.data), STATE_LAYOUT)
                    assert facts(environment) == before, f"bit {bit} of byte {place} changed what the state says"
                    harmless += 1
                except Damaged:
                    detected += 1
                flipped.flip(place, bit)
    flipped.close()
    assert detected > harmless > 0


@pytest.mark.parametrize("part", range(PARTS))
def test_flipped_bits_of_root_pages_and_a_sample_of_the_others_are_found(path: Path, part: int) -> None:
    """The whole store over a flipped bit is refused, or says what it said before, finishing a flush if need be."""
    flipped = Flipped(path / DATA_FILE)
    pages = sorted(pages_in_use(flipped))
    bits = [(place, bit) for page in (0, 1) for place in places_in(flipped, page) for bit in bits_in(place)]
    others = [(place, bit) for page in pages[2:] for place in places_in(flipped, page) for bit in bits_in(place)]
    before = facts_on_opening(path)
    assert before[2] >= 3
    detected = 0
    for place, bit in (bits + others[::OPENING_STRIDE])[part::PARTS]:
        flipped.flip(place, bit)
        try:
            assert facts_on_opening(path) == before, f"bit {bit} of byte {place} changed what the state says"
        except StorageError:
            detected += 1
        flipped.restore()
    flipped.close()
    assert detected > 100


def test_a_node_that_starts_over_a_flipped_root_page_goes_back_behind_no_flush(path: Path) -> None:
    """Opening alone, without ``verify``: the node refuses, or stands where it stood. (Rows are checked when read.)"""
    flipped = Flipped(path / DATA_FILE)
    store = open_store(path)
    through: Slot = store.durable_through
    store.close()
    refused = 0
    for place in [place for page in (0, 1) for place in range(page * PAGE_BYTES, page * PAGE_BYTES + 152)]:
        for bit in range(8):
            flipped.flip(place, bit)
            try:
                store = open_store(path)
            except StorageError:
                refused += 1
            else:
                assert store.durable_through == through, f"bit {bit} of byte {place}"
                store.close()
            flipped.restore()
    flipped.close()
    assert refused > 100
