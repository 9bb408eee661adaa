"""What a power cut, a flipped bit or another file leaves of a journal, and what is read from it: nothing is forgotten.

The rule that the node rests on: a record that is whole is found, a record that a cut tore was never acknowledged, and
whatever else stands there is damage. All of it is a matter of bytes, so all of it is tried.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from functools import cache

import pytest

from replog.errors import Damaged, StorageError
from replog.log.contract import Identity
from replog.log.journal_layout import (
    BLOCK_BYTES,
    BLOCK_PAYLOAD_BYTES,
    FIRST_BLOCK,
    HEAD,
    JOURNAL_RECORD_BYTES_MAX,
    SECTOR_BYTES,
    SECTORS_A_BLOCK,
    STAMP,
    Ring,
    blocks_for,
    decode_body,
    decode_header,
    encode_body,
    encode_header,
)
from replog.log.journal_reading import Anchor, Found, check_anchor, read_records
from replog.log.records import JournalMark
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot

RING = Ring(b"journal of tests", 64 * 1024)
MEMBERS = Membership(1, (NodeId(1), NodeId(2), NodeId(3)))
OWNER = Identity(b"cluster of tests", NodeId(1), b"incarnation 0001", MEMBERS)
SMALL_RING = Ring(b"journal of tests", 32 * 1024)
ONE_BLOCK, TWO_BLOCKS = 300, 5000
SETS_STRIDE = 23
"""So many-th of the 65,536 sets of sectors of two blocks are tried; 1 tries each, and takes minutes."""


def body(sequence: int, size: int) -> bytes:
    return random.Random(sequence).randbytes(size)


class Written:
    """A journal in memory, written as ``Journal`` writes it."""

    def __init__(self, ring: Ring = RING, *, sequence: int = 0) -> None:
        self.ring = ring
        self.data = bytearray(ring.blocks * BLOCK_BYTES)
        self.data[:BLOCK_BYTES] = encode_header(ring, OWNER)
        self.mark = JournalMark(ring.id, sequence, FIRST_BLOCK, 0, is_open=True)
        self.sequence, self.end, self.last = sequence, FIRST_BLOCK, 0
        self.bodies: list[bytes] = []

    def next_frame(self, size: int) -> tuple[int, bytes]:
        """Where the next record goes, and its blocks."""
        return self.ring.place_after(self.end) * BLOCK_BYTES, self.ring.frame(
            self.sequence + 1, body(self.sequence + 1, size)
        )

    def append(self, size: int) -> None:
        place, data = self.next_frame(size)
        self.data[place : place + len(data)] = data
        self.sequence += 1
        self.last, self.end = self.sequence, (place + len(data)) // BLOCK_BYTES
        self.bodies.append(body(self.sequence, size))

    def cover(self, *, is_open: bool = True) -> None:
        """The log has everything that was written."""
        self.mark = JournalMark(self.ring.id, self.sequence, self.end, self.last, is_open)
        self.bodies.clear()

    def open_again(self) -> None:
        """A process began here: one number is passed over (J6)."""
        self.cover()
        self.sequence += 1
        self.mark = JournalMark(self.ring.id, self.sequence, self.end, self.last, is_open=True)

    def found(self) -> Found:
        return read_records(self.ring, bytes(self.data), self.mark)


def laps(sizes: list[int], count: int, ring: Ring = RING) -> Written:
    """A ring that was gone round many times, with sectors of every age in it."""
    written = Written(ring)
    for number in range(count):
        written.append(sizes[number % len(sizes)])
        written.cover()
    written.open_again()
    return written


GROUNDS = {
    "never written": Written,
    "gone round": lambda: laps([ONE_BLOCK, TWO_BLOCKS, 6000], 61),
    "gone round by one block": lambda: laps([ONE_BLOCK], 50),
}


# --- whole ---


@pytest.mark.parametrize("size", [0, 1, 487, 488, 489, 3987, 3988, 3989, 7000])
def test_what_was_written_is_found(size: int) -> None:
    """Bodies of every length, as they were, in their order, and where the next one begins."""
    written = Written()
    for _count in range(3):
        written.append(size)
    found = written.found()
    assert found == Found(written.bodies, 3, written.end, 4, "")


def test_records_go_round_the_ring_and_are_found_over_its_end() -> None:
    """The place of each follows from the end of the one before (J4)."""
    written = Written()
    places = set()
    for number in range(1, 200):
        written.append(ONE_BLOCK if number % 3 else TWO_BLOCKS)
        places.add(written.end)
        assert written.found().bodies == written.bodies
        if len(written.bodies) == 4:
            written.cover()
    assert len(places) > 10


def test_a_record_is_as_large_as_it_may_be_and_no_larger() -> None:
    """256 KiB of blocks in a ring of the size that nodes have; what doesn't fit in is no record."""
    ring = Ring(RING.id, 8 * 2**20)
    size = JOURNAL_RECORD_BYTES_MAX // BLOCK_BYTES * BLOCK_PAYLOAD_BYTES - HEAD.size
    assert ring.takes(size)
    assert not ring.takes(size + 1)
    written = Written(ring)
    for _count in range(33):  # the last one begins at the front again
        written.cover()
        written.append(size)
    assert written.end == FIRST_BLOCK + JOURNAL_RECORD_BYTES_MAX // BLOCK_BYTES
    assert written.found().bodies == written.bodies


def test_every_sector_is_stamped_and_belongs_to_one_record() -> None:
    """Also those of the padding (J2)."""
    for size in (0, ONE_BLOCK, TWO_BLOCKS):
        data = RING.frame(77, body(77, size))
        assert len(data) == blocks_for(size) * BLOCK_BYTES
        stamps = {data[place : place + STAMP.size] for place in range(0, len(data), SECTOR_BYTES)}
        assert stamps == {STAMP.pack(77, RING.stamp_crc(77))}


def test_a_group_of_writes_comes_back_as_it_was() -> None:
    """Promise, acceptances, position, membership; values that no core would write, too (J3)."""
    record = AcceptedSlot(Slot(2**63 - 1), Ballot(2**62, NodeId(2**32 - 1)), 2**32 - 1, b"")
    writes = [
        LogWrite(Ballot(3, NodeId(1)), (), None),
        LogWrite(None, (record, record), Slot(7), Membership(4, (NodeId(1),), (NodeId(2),))),
    ]
    assert decode_body(encode_body(writes)) == writes
    with pytest.raises(Damaged, match="use the release that wrote it"):
        decode_body(b"\xc1")


# --- torn ---


@cache
def _torn_case(ground: str, size: int) -> tuple[Written, int, bytes, bytes]:
    """A journal with one pending record, where the next one goes, its blocks, and what stands there."""
    written = GROUNDS[ground]()
    written.append(TWO_BLOCKS)
    place, new = written.next_frame(size)
    return written, place, new, bytes(written.data[place : place + len(new)])


def _with_sectors(written: Written, place: int, sectors: list[bytes]) -> Found:
    data = bytearray(written.data)
    data[place : place + SECTOR_BYTES * len(sectors)] = b"".join(sectors)
    return read_records(written.ring, bytes(data), written.mark)


def _cut(data: bytes) -> list[bytes]:
    return [data[start : start + SECTOR_BYTES] for start in range(0, len(data), SECTOR_BYTES)]


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize(("size", "stride"), [(ONE_BLOCK, 1), (3900, 1), (TWO_BLOCKS, SETS_STRIDE)])
def test_every_set_of_sectors_that_a_cut_leaves_of_the_newest_record_is_an_end(
    ground: str, size: int, stride: int
) -> None:
    """What was acknowledged before it is found, it itself if all of it is there, and nothing is called damage."""
    written, place, new, old = _torn_case(ground, size)
    new_sectors, old_sectors = _cut(new), _cut(old)
    count = 2 ** len(new_sectors)
    for chosen in (*range(0, count - 1, stride), count - 1):
        sectors = [
            after if chosen >> number & 1 else before
            for number, (after, before) in enumerate(zip(new_sectors, old_sectors, strict=True))
        ]
        found = _with_sectors(written, place, sectors)
        is_whole = chosen == count - 1
        assert found.damage == "", f"{chosen:b}"
        assert found.bodies == [*written.bodies, body(written.sequence + 1, size)][: len(written.bodies) + is_whole]
        assert found.used_through == written.sequence + 1 + is_whole


@pytest.mark.parametrize("ground", GROUNDS)
def test_garbage_in_a_torn_record_never_makes_anything_forgotten(ground: str) -> None:
    """A disk that leaves garbage in a sector may make the node abstain: every mixture of old, new and garbage."""
    written, place, new, old = _torn_case(ground, ONE_BLOCK)
    garbage = [random.Random(number).randbytes(SECTOR_BYTES) for number in range(SECTORS_A_BLOCK)]
    choices = list(zip(_cut(old), _cut(new), garbage, strict=True))
    for sectors in itertools.product(*choices):
        found = _with_sectors(written, place, list(sectors))
        assert found.bodies[:1] == written.bodies
        assert len(found.bodies) == 1 or found.bodies[1] == body(written.sequence + 1, ONE_BLOCK)


def test_what_a_second_tear_leaves_is_an_end_too() -> None:
    """A number is never used twice: sectors that the first torn record left are older than the second one (J6)."""
    for first, second in itertools.product(range(1, 255, 7), repeat=2):
        written = Written()
        written.append(ONE_BLOCK)
        for chosen in (first, second):
            place, new = written.next_frame(3900)
            for number, sector in enumerate(_cut(new)):
                if chosen >> number & 1:
                    at = place + number * SECTOR_BYTES
                    written.data[at : at + SECTOR_BYTES] = sector
            found = written.found()
            assert found.damage == ""
            assert found.bodies == written.bodies
            written.cover()
            written.sequence = found.used_through
            written.mark = JournalMark(RING.id, found.used_through, found.end, found.last, is_open=True)


# --- damaged ---


def telling(places: range, stride: int) -> list[int]:
    """Every byte of a stamp or a head, and some of the others."""
    return [place for place in places if place % SECTOR_BYTES < STAMP.size + HEAD.size or place % stride == 0]


def flips(data: bytearray, places: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Each bit of these places, flipped; the same again undoes it."""
    for place in places:
        for bit in range(8):
            data[place] ^= 1 << bit
            yield place, bit
            data[place] ^= 1 << bit


def test_a_flipped_bit_of_a_pending_record_is_damage_or_changes_nothing() -> None:
    """No record that was acknowledged is ever taken for an end."""
    written = laps([ONE_BLOCK], 31, SMALL_RING)
    places: list[int] = []
    for size in (ONE_BLOCK, 700, 200):
        written.append(size)
        places += telling(range((written.end - 1) * BLOCK_BYTES, written.end * BLOCK_BYTES), 19)
    before = written.found()
    damaged = 0
    for place, bit in flips(written.data, places):
        found = written.found()
        if found.damage:
            damaged += 1
            assert found.bodies == before.bodies[: len(found.bodies)]
        else:
            assert found == before, f"bit {bit} of byte {place} made the journal say something else"
    assert damaged > 100


def test_a_flipped_bit_elsewhere_changes_nothing_but_at_the_place_of_the_next_record() -> None:
    """What the log covers is not needed any more."""
    written = laps([ONE_BLOCK], 31, SMALL_RING)
    written.append(ONE_BLOCK)
    pending = range((written.end - 1) * BLOCK_BYTES, written.end * BLOCK_BYTES)
    following_place = written.ring.place_after(written.end) * BLOCK_BYTES
    following = range(following_place, following_place + SECTOR_BYTES)
    before = written.found()
    for place, bit in flips(written.data, telling(range(BLOCK_BYTES, len(written.data)), 61)):
        if place in pending:
            continue
        found = written.found()
        assert found == before or (place in following and found.damage and found.bodies == before.bodies), (place, bit)


@pytest.mark.parametrize("lost", [1, 2])
def test_a_record_that_is_gone_while_a_later_one_stands_is_damage(lost: int) -> None:
    """Whatever is left of it: nothing at all, a part, or garbage."""
    written = laps([ONE_BLOCK], 20)
    before = bytes(written.data)
    ends = []
    for _count in range(3):
        written.append(ONE_BLOCK)
        ends.append(written.end)
    start, end = (ends[lost - 1] - 1) * BLOCK_BYTES, ends[lost - 1] * BLOCK_BYTES
    whole = bytes(written.data[start:end])
    for left in (before[start:end], bytes(BLOCK_BYTES), whole[:SECTOR_BYTES] + before[start + SECTOR_BYTES : end]):
        written.data[start:end] = left
        found = written.found()
        assert "stands behind it" in found.damage
        assert found.bodies == written.bodies[: lost - 1]
        assert found.used_through > written.sequence - 1


def test_a_head_that_can_not_be_read_is_damage() -> None:
    """Whether its stamp fails or its own checksum; the file's reader fills what the disk can't read with ones."""
    written = laps([ONE_BLOCK], 9)
    written.append(ONE_BLOCK)
    start = (written.end - 1) * BLOCK_BYTES
    written.data[start : start + SECTOR_BYTES] = b"\xff" * SECTOR_BYTES
    assert "head" in written.found().damage


# --- another file ---


def test_a_journal_that_was_set_back_lacks_the_last_record_of_the_log() -> None:
    """An older copy has an older sector there; one from before the first record has nothing (J15)."""
    written = Written()
    copies = []
    for _count in range(40):
        copies.append(bytes(written.data))
        written.append(ONE_BLOCK)
        written.cover()
        assert check_anchor(RING, bytes(written.data), written.mark) is Anchor.SOUND
        for copy in copies:
            assert check_anchor(RING, copy, written.mark) is Anchor.OLDER


def test_a_log_that_was_set_back_is_told_by_its_journal() -> None:
    """Where its last record ends stands a later one, once the ring was gone round."""
    written = laps([ONE_BLOCK], 3)
    mark = written.mark
    for _count in range(20):
        written.append(ONE_BLOCK)
    assert check_anchor(RING, bytes(written.data), mark) is Anchor.LATER


def test_a_sector_of_another_journal_is_none_of_this_one() -> None:
    """Its stamps are made with the journal's id."""
    other = Ring(b"another journal!", RING.size_bytes)
    written = Written()
    place, _data = written.next_frame(ONE_BLOCK)
    written.data[place : place + BLOCK_BYTES] = other.frame(1, body(1, ONE_BLOCK))
    assert "head" in written.found().damage


def test_the_first_block_says_whose_journal_it_is() -> None:
    """Cluster, node and incarnation are the directory's, or it is refused; every bit of what it says counts."""
    block = encode_header(RING, OWNER)
    assert decode_header(block, OWNER) == RING
    for other in (
        Identity(b"another cluster!", OWNER.node, OWNER.incarnation, MEMBERS),
        Identity(OWNER.cluster, NodeId(2), OWNER.incarnation, MEMBERS),
        Identity(OWNER.cluster, OWNER.node, b"incarnation 0002", MEMBERS),
    ):
        with pytest.raises(StorageError, match="belongs to another directory"):
            decode_header(block, other)
    flipped = bytearray(block)
    length = len(block.rstrip(b"\0"))
    for place, _bit in flips(flipped, range(length)):
        with pytest.raises(Damaged):
            decode_header(bytes(flipped), OWNER)
        assert place < length
