"""The simulated disk of a log: cut anywhere, a start finds what is durable on it, and what is damaged is told."""

from __future__ import annotations

import contextlib
import math
import random

import pytest
from crc32c import crc32c

from replog.errors import StorageError, StorageFull
from replog.log.journaled import JournaledLogStore
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot
from replog.sim.log_disk import SimDisk

MEMBERS = Membership(1, (NodeId(1), NodeId(2), NodeId(3)))
BALLOT = Ballot(1, NodeId(1))
LIVES, STEPS = 60, 40


def disk_of(seed: int) -> SimDisk:
    return SimDisk(b"cluster", NodeId(1), b"incarnation", MEMBERS, random=random.Random(seed))


def opened(disk: SimDisk, *, is_journaled: bool = True) -> JournaledLogStore:
    """As a starting process does it."""
    store = disk.open(is_journaled=is_journaled, clock=lambda: 0.0)
    store.recover()
    disk.follow_log()
    return store


def write(*slots: int, ballot: Ballot = BALLOT, chosen_through: int = 0, size: int = 20) -> LogWrite:
    values = {slot: bytes([slot % 256]) * size for slot in slots}
    records = tuple(AcceptedSlot(Slot(slot), ballot, crc32c(value), value) for slot, value in values.items())
    return LogWrite(ballot, records, Slot(chosen_through))


def some_step(store: JournaledLogStore, disk: SimDisk, chance: random.Random) -> None:
    """Something that a writer does."""
    match chance.choice(("write", "write", "write", "checkpoint", "compact", "floor")):
        case "write":
            first = disk.chosen_through + 1
            size = chance.choice((20, 20, 3_000, 9_000))
            ballots = (Ballot(first, NodeId(1)), Ballot(first, NodeId(2)))
            store.write([write(first, first + 1, ballot=one, chosen_through=first, size=size) for one in ballots])
        case "checkpoint":
            store.checkpoint()
        case "compact":
            store.compact(Slot(disk.chosen_through - 3), slots_max=2)
        case "floor":
            store.install_floor(Slot(disk.chosen_through + chance.randrange(3)), MEMBERS)


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_start_finds_what_is_durable_wherever_the_power_went(seed: int) -> None:
    """Between any two steps of the disk, and within the journal's, of a write, a checkpoint, a start or a stop."""
    chance, disk = random.Random(f"life {seed}"), disk_of(seed)
    store = opened(disk)
    for _step in range(STEPS):
        disk.cut_after(chance.choice((0, 1, 2, math.inf, math.inf, math.inf)))
        with contextlib.suppress(StorageError):
            if chance.random() < 0.1:
                store.finish()
            else:
                some_step(store, disk, chance)
        if not disk.has_struck and chance.random() < 0.7:
            continue
        disk.power_on()
        disk.cut_after(chance.choice((0, math.inf)))
        with contextlib.suppress(StorageError):
            disk.open(is_journaled=chance.random() < 0.8, clock=lambda: 0.0).recover()
        disk.power_on()
        again = disk.open(is_journaled=chance.random() < 0.8, clock=lambda: 0.0)
        assert again.recover() == disk.recover()
        store = again


@pytest.mark.parametrize("damaged", [2, 3, 4])
@pytest.mark.parametrize("seed", range(10))
def test_a_flipped_bit_of_what_waits_costs_the_vote_and_what_stands_behind_it(seed: int, damaged: int) -> None:
    """Whichever bit: what came before it is kept."""
    disk = disk_of(seed)
    store = opened(disk)
    store.write([write(1)])
    store.checkpoint()
    store.write([write(2)])
    store.write([write(3)])
    store.write([write(4)])
    disk.damage(Slot(damaged))
    recovered = disk.open(is_journaled=True, clock=lambda: 0.0).recover()
    assert "of the journal is damaged" in recovered.damaged_reason
    assert [record.slot for record in recovered.accepted] == list(range(1, damaged))
    assert "of the journal is damaged" in opened(disk).recover().damaged_reason


def test_a_damaged_promise_is_one_in_the_journal_if_it_waits_there() -> None:
    """Else the log's; either costs the vote."""
    for is_waiting in (True, False):
        disk = disk_of(0)
        store = opened(disk)
        store.write([LogWrite(BALLOT, (), None)])
        if not is_waiting:
            store.checkpoint()
        disk.damage_promise()
        assert disk.file.times_damaged == is_waiting
        assert disk.open(is_journaled=True, clock=lambda: 0.0).recover().damaged_reason


def test_a_full_disk_takes_a_promise_and_as_many_slots_as_go() -> None:
    """Nothing is written of what finds no room, and what was journaled before finds its own."""
    disk = disk_of(0)
    store = opened(disk)
    store.write([write(1, 2, chosen_through=2)])
    disk.log.slots_free = 0
    with pytest.raises(StorageFull):
        store.write([write(3)])
    assert sorted(disk.slots) == [1, 2]
    store.checkpoint()
    store.write([LogWrite(Ballot(2, NodeId(2)), (), None)])
    assert disk.promise == Ballot(2, NodeId(2))
    store.compact(Slot(1), slots_max=5)
    store.write([write(3)])
    assert sorted(disk.slots) == [2, 3]
    assert opened(disk).lack == ""


def test_a_journal_that_finds_no_room_is_done_without() -> None:
    """And said so."""
    disk = disk_of(0)
    disk.log.slots_free = 0
    assert "no room" in opened(disk).lack
