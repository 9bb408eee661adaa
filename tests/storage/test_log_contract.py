"""One contract for every ``LogStore``: LMDB and memory, here as the simulator's, must not differ in it.

``again`` closes the store and opens what is durable as a new process would.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from crc32c import crc32c

from replog.directory.layout import DataDirectory, format_directory, open_directory
from replog.errors import Damaged
from replog.log import journal_layout
from replog.log.contract import LogStore
from replog.log.journaled import JournaledLogStore
from replog.log.records import Promised, encode_promise
from replog.log.space import MIB, LogLimits
from replog.paxos.ballot import BALLOT_ZERO, Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot
from replog.paxos.recovered import Recovered
from replog.sim.disk import SimLogStore
from replog.sim.log_disk import SimDisk

CLUSTER = b"cluster of tests"
NODE = NodeId(2)
FOUNDERS = Membership(1, (NodeId(1), NodeId(2), NodeId(3)))
LATER = Membership(2, (NodeId(1), NodeId(2), NodeId(4)), (NodeId(3),))
BALLOT = Ballot(5, NodeId(1))
LIMITS = LogLimits(map_step_bytes=MIB, reserve_bytes=0, journal=False)
RING_BYTES = 256 * 1024
CHECKSUM_BYTES = 4


class MemoryDisk:
    """The simulator's log: what ``write`` returned from is durable as it stands."""

    def __init__(self, _path: Path) -> None:
        self._store = SimLogStore(CLUSTER, NODE, b"incarnation 0001", FOUNDERS)

    def open(self) -> LogStore:
        return self._store

    def damage(self, slot: int) -> None:
        self._store.damage(Slot(slot))

    def damage_promise(self, _promise: Ballot) -> None:
        self._store.damage_promise()

    def close(self) -> None:
        self._store.close()


class SimulatedDisk:
    """With the simulator's journal in front of it, by a process that was killed each time."""

    def __init__(self, _path: Path) -> None:
        self._disk = SimDisk(CLUSTER, NODE, b"incarnation 0001", FOUNDERS, random=random.Random(1))
        self._store: JournaledLogStore | None = None

    def open(self) -> LogStore:
        self._store = self._disk.open(is_journaled=True, clock=lambda: 0.0)
        return self._store

    def damage(self, slot: int) -> None:
        assert self._store is not None
        self._store.checkpoint()
        self._disk.damage(Slot(slot))

    def damage_promise(self, _promise: Ballot) -> None:
        assert self._store is not None
        self._store.checkpoint()
        self._disk.damage_promise()

    def close(self) -> None:
        """Nothing is held."""


class LmdbDisk:
    """A formatted directory, opened anew each time; every write goes to LMDB."""

    limits = LIMITS

    def __init__(self, path: Path) -> None:
        self._path = path / "node"
        format_directory(self._path, node=NODE, cluster=CLUSTER, membership=FOUNDERS)
        self._held: DataDirectory | None = None
        self._store: JournaledLogStore | None = None

    def open(self) -> LogStore:
        self.close()
        self._held = open_directory(self._path)
        self._store = self._held.open_log(self.limits)
        return self._store

    def damage(self, slot: int) -> None:
        """Flip a bit of the record's value."""
        self._flip(value_of(slot))

    def damage_promise(self, promise: Ballot) -> None:
        """Flip a bit of the record that says ``promise``."""
        self._flip(encode_promise(Promised(promise))[CHECKSUM_BYTES:])

    def _flip(self, needle: bytes) -> None:
        """In the file, under the open store, wherever a copy of it is."""
        if self._store is not None:
            self._store.checkpoint()
        path = self._path / "log" / "data.mdb"
        with path.open("r+b") as file:
            content = file.read()
            place = content.find(needle)
            assert place >= 0
            while place >= 0:
                file.seek(place)
                file.write(bytes([needle[0] ^ 1]))
                place = content.find(needle, place + 1)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._held is not None:
            self._held.close()
            self._held = None


class JournaledDisk(LmdbDisk):
    """With a journal, by a process that was killed each time: what it wrote last is in the journal alone."""

    limits = LogLimits(map_step_bytes=MIB, reserve_bytes=0, journal=True)


class StoppedDisk(JournaledDisk):
    """With a journal, by a process that stopped in order each time."""

    def close(self) -> None:
        if self._store is not None:
            self._store.finish()
        super().close()


class TurnedOffDisk(JournaledDisk):
    """Each process that writes a journal is killed, and the next one is told to write none."""

    def open(self) -> LogStore:
        self.limits = LIMITS if self.limits.journal else JournaledDisk.limits
        return super().open()


Disk = MemoryDisk | SimulatedDisk | LmdbDisk
DISKS = {
    "memory": MemoryDisk,
    "simulator": SimulatedDisk,
    "lmdb": LmdbDisk,
    "journal": JournaledDisk,
    "stopped": StoppedDisk,
    "turned off": TurnedOffDisk,
}


@pytest.fixture(params=DISKS.values(), ids=DISKS)
def disk(request: pytest.FixtureRequest, quick_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    monkeypatch.setattr(journal_layout, "JOURNAL_BYTES", RING_BYTES)
    made: Disk = request.param(quick_path)
    yield made
    made.close()


def value_of(slot: int, text: str = "") -> bytes:
    return f"value of slot {slot:06d} {text}".encode()


def record(slot: int, ballot: Ballot = BALLOT, text: str = "") -> AcceptedSlot:
    value = value_of(slot, text)
    return AcceptedSlot(Slot(slot), ballot, crc32c(value), value)


def sized(slot: int, size: int, ballot: Ballot = BALLOT) -> AcceptedSlot:
    value = random.Random(slot).randbytes(size)
    return AcceptedSlot(Slot(slot), ballot, crc32c(value), value)


def accept(*slots: int, chosen_through: int | None = None) -> LogWrite:
    chosen = None if chosen_through is None else Slot(chosen_through)
    return LogWrite(None, tuple(record(slot) for slot in slots), chosen)


def opened(disk: Disk) -> tuple[LogStore, Recovered]:
    store = disk.open()
    return store, store.recover()


def again(disk: Disk) -> Recovered:
    return opened(disk)[1]


def read(store: LogStore, first: int, last: int, *, slots_max: int = 1000, bytes_max: int = 10**6) -> list[int]:
    found = store.read(Slot(first), Slot(last), slots_max=slots_max, bytes_max=bytes_max)
    assert all(item == record(item.slot) for item in found)
    return [item.slot for item in found]


# --- a new store, and what it remembers ---


def test_a_new_store_remembers_nothing_but_its_founders(disk: Disk) -> None:
    """Formatting gives ballot zero, no slots, and the membership the cluster was founded with."""
    store, recovered = opened(disk)
    assert recovered == Recovered(BALLOT_ZERO, Slot(0), Slot(0), (), (), "", FOUNDERS)
    assert (store.identity.cluster, store.identity.node) == (CLUSTER, NODE)
    assert len(store.identity.incarnation) == 16


def test_a_promise_is_remembered(disk: Disk) -> None:
    """The last promise written is the one found."""
    store, _recovered = opened(disk)
    store.write([LogWrite(Ballot(3, NodeId(1)), (), None), LogWrite(BALLOT, (), None)])
    assert again(disk).promise == BALLOT


def test_acceptances_above_the_chosen_ones_are_recovered_whole(disk: Disk) -> None:
    """What is not known chosen comes back ascending, each with ballot, checksum and value."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(1, 2, 3, 4, chosen_through=2)])
    recovered = again(disk)
    assert recovered.accepted == (record(3), record(4))
    assert recovered.chosen_through == 2


def test_several_writes_become_durable_in_their_order(disk: Disk) -> None:
    """A later acceptance of a slot replaces an earlier one of the same transaction."""
    store, _recovered = opened(disk)
    newer = Ballot(6, NodeId(3))
    store.write([LogWrite(BALLOT, (record(1),), None), LogWrite(newer, (record(1, newer, "newer"),), None)])
    recovered = again(disk)
    assert recovered.promise == newer
    assert recovered.accepted == (record(1, newer, "newer"),)


def test_a_later_transaction_replaces_an_acceptance(disk: Disk) -> None:
    """A slot holds one acceptance: the last."""
    store, _recovered = opened(disk)
    newer = Ballot(6, NodeId(3))
    store.write([LogWrite(BALLOT, (record(1), record(2), record(3)), None)])
    store.write([LogWrite(newer, (record(2, newer, "newer"),), None)])
    assert again(disk).accepted == (record(1), record(2, newer, "newer"), record(3))


@pytest.mark.parametrize("size", [0, 2003, 2004, 2005, 4024, 4025, 1_000_000])
def test_a_value_of_any_size_comes_back(disk: Disk, size: int) -> None:
    """Between short ones, read, recovered, and dropped again."""
    store, _recovered = opened(disk)
    large = sized(2, size)
    store.write([LogWrite(BALLOT, (record(1), large, record(3)), None)])
    assert store.read(Slot(2), Slot(3), slots_max=2, bytes_max=2**21) == [large, record(3)]
    assert again(disk).accepted == (record(1), large, record(3))
    store, _recovered = opened(disk)
    store.write([LogWrite(None, (), Slot(3))])
    assert store.compact(Slot(2), slots_max=100) == 2
    assert read(store, 3, 3) == [3]


@pytest.mark.parametrize(("before", "after"), [(9_000, 3_000), (3_000, 9_000), (9_000, 10)])
def test_a_replaced_acceptance_leaves_nothing_of_the_one_before(disk: Disk, before: int, after: int) -> None:
    """Whichever of the two is larger."""
    store, _recovered = opened(disk)
    newer = Ballot(6, NodeId(3))
    store.write([LogWrite(BALLOT, (record(1), sized(2, before), record(3)), None)])
    replacement = sized(2, after, newer)
    store.write([LogWrite(newer, (replacement,), None)])
    assert again(disk).accepted == (record(1), replacement, record(3))
    assert again(disk).damaged_reason == ""


def test_the_chosen_position_never_goes_back(disk: Disk) -> None:
    """A hint below what is known is passed over."""
    store, _recovered = opened(disk)
    store.write([accept(1, 2, 3, chosen_through=3), LogWrite(BALLOT, (), Slot(1))])
    assert again(disk).chosen_through == 3


def test_gaps_above_what_is_chosen_stay_gaps(disk: Disk) -> None:
    """Slots that were never accepted are not made up."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (record(2), record(7)), None)])
    assert [item.slot for item in again(disk).accepted] == [2, 7]


def test_a_chosen_membership_is_remembered_with_what_says_that_it_is_chosen(disk: Disk) -> None:
    """What the cluster was founded with does not come back."""
    store, _recovered = opened(disk)
    store.write([LogWrite(None, (record(1),), Slot(1), LATER), accept(2)])
    store.write([LogWrite(None, (), Slot(2))])
    recovered = again(disk)
    assert (recovered.membership, recovered.chosen_through) == (LATER, 2)


def test_an_older_membership_replaces_no_newer_one(disk: Disk) -> None:
    """Whoever installs a floor may not have heard of the newest one, and a lesson is written before it is released."""
    store, _recovered = opened(disk)
    store.write([LogWrite(None, (), None, LATER), LogWrite(None, (), Slot(1), FOUNDERS)])
    store.install_floor(Slot(3), FOUNDERS)
    assert again(disk).membership == LATER
    store, _recovered = opened(disk)
    store.write([LogWrite(None, (), None, FOUNDERS)])
    assert again(disk).membership == LATER


def test_recover_may_be_asked_again(disk: Disk) -> None:
    """Recovery after the owner's own writes says what a new process would find."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (record(1), record(2)), Slot(1))])
    assert store.recover() == again(disk)


# --- reading ---


def test_slots_are_read_in_order_up_to_the_limits(disk: Disk) -> None:
    """Reading stops at the last slot asked for, at a count, and at a size, but never before the first record."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(*range(1, 21), chosen_through=20)])
    size = len(value_of(1))
    assert read(store, 3, 6) == [3, 4, 5, 6]
    assert read(store, 3, 100) == list(range(3, 21))
    assert read(store, 3, 20, slots_max=2) == [3, 4]
    assert read(store, 3, 20, bytes_max=3 * size) == [3, 4, 5]
    assert read(store, 3, 20, bytes_max=1) == [3]


def test_reading_stops_before_a_slot_that_is_absent(disk: Disk) -> None:
    """What is above a gap is not read over it, and a read that begins in one finds nothing."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (record(1), record(2), record(4)), None)])
    assert read(store, 1, 10) == [1, 2]
    assert read(store, 3, 10) == []
    assert read(store, 5, 10) == []


def test_a_damaged_record_is_an_error_where_a_read_begins_and_an_end_where_it_arrives(disk: Disk) -> None:
    """Damage is never the same as absence, and what stands before it is still read."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(1, 2, 3, 4, chosen_through=4)])
    disk.damage(3)
    assert read(store, 1, 4) == [1, 2]
    with pytest.raises(Damaged):
        read(store, 3, 4)
    assert read(store, 4, 4) == [4]


# --- damage found by recovery ---


def test_a_damaged_chosen_slot_is_reported_and_repaired_by_writing_it(disk: Disk) -> None:
    """It costs no vote; a record written over it is whole again."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(1, 2, 3, 4, chosen_through=3)])
    disk.damage(2)
    store, recovered = opened(disk)
    assert recovered.damaged_chosen == (2,)
    assert recovered.damaged_reason == ""
    store.write([accept(2)])
    assert again(disk).damaged_chosen == ()


def test_a_damaged_acceptance_costs_the_vote_for_good(disk: Disk) -> None:
    """An unchosen record may have been a vote: the node abstains, also after the slot was written again."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(1, 2, 3, chosen_through=1)])
    disk.damage(3)
    store, recovered = opened(disk)
    assert "slot 3" in recovered.damaged_reason
    assert [item.slot for item in recovered.accepted] == [2]
    store.write([accept(3, chosen_through=3)])
    assert "slot 3" in again(disk).damaged_reason


def test_a_damaged_promise_is_forgotten_and_costs_the_vote_for_good(disk: Disk) -> None:
    """What is left to go by is the highest acceptance; that the node abstains stays, whatever is written later."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(1, 2, 3, chosen_through=1)])
    promise = Ballot(9, NodeId(3))
    store.write([LogWrite(promise, (), None)])
    disk.damage_promise(promise)
    store, recovered = opened(disk)
    assert "promise" in recovered.damaged_reason
    assert recovered.promise == BALLOT
    assert recovered.accepted == (record(2), record(3))
    store.write([accept(2, 3, chosen_through=3)])
    recovered = again(disk)
    assert "promise" in recovered.damaged_reason
    assert (recovered.promise, recovered.chosen_through, recovered.accepted) == (BALLOT, 3, ())


def test_a_damaged_promise_above_no_acceptance_is_none_at_all(disk: Disk) -> None:
    """The ballot is lost, not made up."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None)])
    disk.damage_promise(BALLOT)
    recovered = again(disk)
    assert "promise" in recovered.damaged_reason
    assert recovered.promise == BALLOT_ZERO


def test_the_first_damage_found_is_the_reason(disk: Disk) -> None:
    """Promise before acceptances, the lowest of those; both are lost."""
    store, _recovered = opened(disk)
    promise = Ballot(9, NodeId(3))
    store.write([LogWrite(promise, (), None), accept(1, 2, 3, 4, chosen_through=1)])
    for slot in (4, 3):
        disk.damage(slot)
    assert "slot 3" in again(disk).damaged_reason
    store, _recovered = opened(disk)
    store.write([LogWrite(promise, (), None)])
    disk.damage_promise(promise)
    recovered = again(disk)
    assert recovered.damaged_reason  # the first one, if it is kept elsewhere than with the promise
    assert recovered.accepted == (record(2),)


def test_an_acceptance_above_the_promise_costs_the_vote(disk: Disk) -> None:
    """No transaction writes one, so the promise was put back; the acceptance is the higher word."""
    store, _recovered = opened(disk)
    store.write([accept(1)])
    recovered = again(disk)
    assert "above the promise" in recovered.damaged_reason
    assert (recovered.promise, recovered.accepted) == (BALLOT, (record(1),))


def test_a_chosen_slot_without_a_record_is_damaged(disk: Disk) -> None:
    """Found by recovery and where a read begins; a read that arrives there ends before it, one beyond it goes on."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(1, 2, 4, 5, chosen_through=4)])
    store, recovered = opened(disk)
    assert recovered.damaged_chosen == (3,)
    assert recovered.damaged_reason == ""
    assert read(store, 1, 5) == [1, 2]
    with pytest.raises(Damaged):
        read(store, 3, 5)
    assert read(store, 4, 5) == [4, 5]


def test_the_neighbours_of_a_damaged_acceptance_are_read(disk: Disk) -> None:
    """Above what is known chosen, too, damage is an error where a read begins and an end where it arrives."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(1, 2, 3, 4, chosen_through=1)])
    disk.damage(3)
    store, recovered = opened(disk)
    assert recovered.accepted == (record(2), record(4))
    assert read(store, 1, 4) == [1, 2]
    with pytest.raises(Damaged):
        read(store, 3, 4)
    assert read(store, 4, 4) == [4]


def test_damage_that_is_dropped_is_none(disk: Disk) -> None:
    """Compaction and an installed floor take it along, and what is below the floor is not missed."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(*range(1, 9), chosen_through=8)])
    disk.damage(2)
    disk.damage(6)
    store, _recovered = opened(disk)
    assert store.compact(Slot(3), slots_max=10) == 3
    assert again(disk).damaged_chosen == (6,)
    store, _recovered = opened(disk)
    store.install_floor(Slot(7), LATER)
    recovered = again(disk)
    assert (recovered.damaged_chosen, recovered.damaged_reason) == ((), "")


# --- dropping ---


def test_compaction_drops_a_bounded_number_from_below(disk: Disk) -> None:
    """Each call drops at most what it may; the floor follows, and stays."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(*range(1, 11), chosen_through=10)])
    assert store.compact(Slot(7), slots_max=3) == 3
    assert store.compact(Slot(7), slots_max=100) == 7
    assert store.compact(Slot(5), slots_max=100) == 7
    assert read(store, 8, 10) == [8, 9, 10]
    recovered = again(disk)
    assert (recovered.compacted_through, recovered.chosen_through) == (7, 10)
    assert recovered.damaged_chosen == ()


def test_what_is_written_at_or_below_the_floor_is_passed_over(disk: Disk) -> None:
    """A late acceptance of a dropped slot does not come back to life."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(1, 2, 3, chosen_through=3)])
    store.compact(Slot(2), slots_max=10)
    store.write([accept(1, 2, 3)])
    assert read(store, 3, 3) == [3]
    assert again(disk).compacted_through == 2
    assert read(opened(disk)[0], 1, 3) == []


def test_an_installed_state_leaves_its_floor_and_what_is_above_it(disk: Disk) -> None:
    """Slots up to the floor are gone, slots above stay, the membership is the state's."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(1, 2, 5, 9, 12, chosen_through=2)])
    store.install_floor(Slot(10), LATER)
    recovered = again(disk)
    assert (recovered.compacted_through, recovered.chosen_through) == (10, 10)
    assert recovered.accepted == (record(12),)
    assert recovered.membership == LATER
    assert recovered.promise == BALLOT
    assert recovered.damaged_reason == ""


def test_a_floor_below_the_own_one_drops_nothing(disk: Disk) -> None:
    """A state that was installed late does not bring the floor down."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(*range(1, 9), chosen_through=8)])
    store.compact(Slot(6), slots_max=10)
    store.install_floor(Slot(4), LATER)
    recovered = again(disk)
    assert (recovered.compacted_through, recovered.chosen_through) == (6, 8)
    assert read(opened(disk)[0], 7, 8) == [7, 8]


# --- looking after it ---


def test_the_scrub_goes_round_in_bounded_steps_and_finds_what_is_damaged(disk: Disk) -> None:
    """Chosen slots only, above the floor; after the last it begins again."""
    store, _recovered = opened(disk)
    store.write([LogWrite(BALLOT, (), None), accept(*range(1, 10), chosen_through=8)])
    store.compact(Slot(1), slots_max=10)
    assert store.scrub(Slot(1), slots_max=4) == (6, [])
    disk.damage(4)
    disk.damage(9)
    assert store.scrub(Slot(1), slots_max=4) == (6, [4])
    assert store.scrub(Slot(6), slots_max=4) == (9, [])
    assert store.scrub(Slot(9), slots_max=4) == (1, [])


def test_a_small_log_is_not_full_and_says_how_large_it_is(disk: Disk) -> None:
    """What new commands are refused by, and what status shows."""
    store, _recovered = opened(disk)
    store.write([accept(1)])
    assert not store.is_nearly_full()
    assert store.file_bytes >= len(value_of(1))
