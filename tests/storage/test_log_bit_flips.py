"""Every bit of a small log is flipped: each flip is detected, or the log says exactly what it said before.

Bytes of pages that neither of the two newest trees has are never read, so flipping them can't matter; that they are
never read is checked. In the pages in use every bit is flipped, but for free space inside a page, which is sampled.
Flips in root pages are judged by opening the whole store anew. Other pages are judged by the same checks in the same
order, the structure first and then every record, over a file that LMDB has open already: only that makes tens of
thousands of flips cheap. A sample of them goes through the whole store as well.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c

from replog.directory.layout import LOG_FOLDER, open_directory
from replog.disk.environment import DATA_FILE
from replog.disk.pages import check_pages
from replog.errors import Damaged, StorageError
from replog.log.environment import LOG_LAYOUT
from replog.log.report import PinnedLog, open_pinned_log
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.messages import AcceptedSlot
from tests.faults.acknowledged import LIMITS
from tests.faults.directories import formatted

PAGE_BYTES = 4096
ROOT_BYTES = 16 + 136
FREE_SPACE_STRIDE = 61
OPENING_STRIDE = 401
SLOTS = 14
CHOSEN_THROUGH = 8
BIG_SLOT = 5
PARTS = 4


def record(slot: int) -> AcceptedSlot:
    """Records that fill two leaves, and one that lies in three pieces on others."""
    value = bytes([slot]) * (4300 if slot == BIG_SLOT else 310)
    return AcceptedSlot(Slot(slot), Ballot(slot, NodeId(2)), crc32c(value), value)


@pytest.fixture
def directory(quick_path: Path) -> Path:
    """A stopped node with chosen and unchosen slots, and freed pages; one flipped bit makes its newest root older."""
    path = formatted(quick_path / "node")
    held = open_directory(path)
    store = held.open_log(LIMITS)
    store.recover()
    for slot in range(1, SLOTS + 1):
        store.write([LogWrite(Ballot(slot, NodeId(2)), (record(slot),), None)])
    store.write([LogWrite(None, (), Slot(CHOSEN_THROUGH))])
    while transaction_of(path) % 4 != 2:
        store.write([LogWrite(None, (), Slot(CHOSEN_THROUGH))])
    store.close()
    held.close()
    return path


def transaction_of(path: Path) -> int:
    data = (path / LOG_FOLDER / DATA_FILE).read_bytes()
    return check_pages(lambda offset, length: data[offset : offset + length], len(data), LOG_LAYOUT).transaction


class Flipped:
    """A file's bytes, one bit of which is other than on the disk, or the same bytes once more."""

    def __init__(self, path: Path) -> None:
        self.original = path.read_bytes()
        self.data = bytearray(self.original)
        self.pages_read: set[int] = set()
        self._descriptor = os.open(path, os.O_RDWR)

    def read(self, offset: int, length: int) -> bytes:
        self.pages_read.add(offset // PAGE_BYTES)
        return bytes(self.data[offset : offset + length])

    def flip(self, place: int, bit: int) -> None:
        """In memory and in the file; the same again undoes it."""
        self.data[place] ^= 1 << bit
        os.pwrite(self._descriptor, self.data[place : place + 1], place)

    def overwrite(self, page: int) -> None:
        """A page full of ones."""
        os.pwrite(self._descriptor, b"\xff" * PAGE_BYTES, page * PAGE_BYTES)

    def restore(self) -> None:
        """Whatever was written to the file in the meantime."""
        self.data[:] = self.original
        os.pwrite(self._descriptor, self.original, 0)

    def close(self) -> None:
        os.close(self._descriptor)


def pages_in_use(flipped: Flipped) -> set[int]:
    """What the structure check reads, with the further pages of big records."""
    check_pages(flipped.read, len(flipped.original), LOG_LAYOUT)
    used = set(flipped.pages_read)
    for page in flipped.pages_read:
        number, _pad, flags, low, high = struct.unpack_from("<QHHHH", flipped.original, page * PAGE_BYTES)
        if flags == 4:
            used.update(range(number, number + (low | high << 16)))
    return used


def places_in(flipped: Flipped, page: int) -> list[int]:
    """Every byte of a page that means something, and some of those that don't."""
    start = page * PAGE_BYTES
    _number, _pad, flags, lower, upper = struct.unpack_from("<QHHHH", flipped.original, start)
    free = {8: range(ROOT_BYTES, PAGE_BYTES), 2: range(lower, upper), 1: range(lower, upper)}.get(flags, range(0))
    return [start + place for place in range(PAGE_BYTES) if place not in free or place % FREE_SPACE_STRIDE == 0]


def facts(log: PinnedLog) -> tuple[Any, ...]:
    """Everything the log says. Raises ``Damaged`` if something of it is known to be wrong."""
    scan = log.scan()
    if scan.damaged_chosen or scan.damaged_unchosen or scan.distrust():
        raise Damaged("the scan found it")
    return log.identity(), log.membership(), log.promise(), log.position(), list(log.slots(0, SLOTS + 100))


def facts_on_opening(directory: Path) -> tuple[Any, ...]:
    """What a starting node learns. Raises ``StorageError`` if it does not start, or not whole."""
    held = open_directory(directory)
    try:
        store = held.open_log(LIMITS)
        try:
            recovered = store.recover()
            if recovered.damaged_reason or recovered.damaged_chosen:
                raise Damaged("recovery found it")
            records = store.read(Slot(1), Slot(SLOTS + 100), slots_max=1000, bytes_max=10**9)
            return store.identity, recovered, records
        finally:
            store.close()
    finally:
        held.close()


def test_bits_outside_the_pages_in_use_are_never_read(directory: Path) -> None:
    """Opening and recovering reads no page but those whose every bit the other tests flip."""
    path = directory / LOG_FOLDER / DATA_FILE
    flipped = Flipped(path)
    used = pages_in_use(flipped)
    before = facts_on_opening(directory)
    for page in range(len(flipped.original) // PAGE_BYTES):
        if page not in used:
            flipped.overwrite(page)
    assert facts_on_opening(directory) == before
    flipped.close()


@pytest.mark.parametrize("part", range(PARTS))
def test_every_flipped_bit_is_detected_or_harmless(directory: Path, part: int) -> None:
    """No bit of any page in use can be flipped so that the log says something else without saying so."""
    flipped = Flipped(directory / LOG_FOLDER / DATA_FILE)
    places = [place for page in sorted(pages_in_use(flipped) - {0, 1}) for place in places_in(flipped, page)]
    assert len(places) > 5000
    detected = harmless = 0
    with open_pinned_log(directory / LOG_FOLDER) as log:
        before = facts(log)
        for place in places[part::PARTS]:
            for bit in range(8):
                flipped.flip(place, bit)
                try:
                    check_pages(flipped.read, len(flipped.data), LOG_LAYOUT)
                    assert facts(log) == before, f"bit {bit} of byte {place} changed what the log says"
                    harmless += 1
                except Damaged:
                    detected += 1
                flipped.flip(place, bit)
    flipped.close()
    assert detected > harmless > 0


@pytest.mark.parametrize("part", range(PARTS))
def test_flipped_bits_of_root_pages_and_a_sample_of_the_others_are_found_on_opening(directory: Path, part: int) -> None:
    """The whole store, opened over a flipped bit, refuses, abstains or repairs, or says what it said before."""
    flipped = Flipped(directory / LOG_FOLDER / DATA_FILE)
    pages = sorted(pages_in_use(flipped))
    bits = [(place, bit) for page in (0, 1) for place in places_in(flipped, page) for bit in range(8)]
    others = [(place, bit) for page in pages[2:] for place in places_in(flipped, page) for bit in range(8)]
    before = facts_on_opening(directory)
    detected = 0
    for place, bit in (bits + others[::OPENING_STRIDE])[part::PARTS]:
        flipped.flip(place, bit)
        try:
            assert facts_on_opening(directory) == before, f"bit {bit} of byte {place} changed what the log says"
        except StorageError:
            detected += 1
        flipped.restore()
    flipped.close()
    assert detected > 100
