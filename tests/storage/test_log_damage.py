"""Damaged, absent and empty are three things (P10): what each damaged record of a log costs.

The records are tampered with through LMDB itself, in transactions that carry the right number, so that the structure
is sound and only the records' own checks can find it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from crc32c import crc32c

from replog.directory.layout import LOG_FOLDER, open_directory
from replog.disk.environment import open_environment
from replog.errors import Damaged
from replog.log.journaled import JournaledLogStore
from replog.log.records import (
    IDENTITY_KEY,
    MEMBERSHIP_KEY,
    POSITION_KEY,
    PROMISE_KEY,
    SLOTS_NAME,
    Promised,
    decode_position,
    encode_position,
    encode_promise,
    seal_slots,
    slot_key,
)
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.messages import AcceptedSlot
from replog.paxos.recovered import Recovered
from tests.faults.acknowledged import LIMITS, record_of
from tests.faults.directories import formatted

PROMISE = Ballot(9, NodeId(3))
Tamper = Callable[[Any, Any], None]


@contextmanager
def opened(directory: Path) -> Iterator[JournaledLogStore]:
    held = open_directory(directory)
    store = held.open_log(LIMITS)
    try:
        yield store
    finally:
        store.close()
        held.close()


@pytest.fixture
def directory(quick_path: Path) -> Path:
    """Twelve slots, eight of them known chosen, written at one ballot and then promised to a higher one."""
    path = formatted(quick_path / "node")
    with opened(path) as store:
        store.recover()
        store.write([LogWrite(PROMISE, tuple(record_of(slot) for slot in range(1, 13)), Slot(8))])
    return path


def tamper(directory: Path, change: Tamper) -> None:
    """Change records in one transaction whose position record carries its number, as every transaction's does."""
    path = directory / LOG_FOLDER
    env = open_environment(path, 2 * (path / "data.mdb").stat().st_size)
    slots = env.open_db(SLOTS_NAME, create=False)
    with env.begin(write=True) as transaction:
        change(transaction, slots)
        position = decode_position(transaction.get(POSITION_KEY))
        transaction.put(POSITION_KEY, encode_position(msgspec.structs.replace(position, transaction=transaction.id())))
    env.close()


def recover(directory: Path) -> Recovered:
    with opened(directory) as store:
        return store.recover()


def flip(key: bytes) -> Tamper:
    """Flip the last bit of a record of the main tree."""

    def change(transaction: Any, _slots: Any) -> None:
        data = bytearray(transaction.get(key))
        data[-1] ^= 1
        transaction.put(key, bytes(data))

    return change


def test_tampering_with_nothing_changes_nothing(directory: Path) -> None:
    """The tool of these tests is not what they find."""
    before = recover(directory)
    tamper(directory, lambda _transaction, _slots: None)
    assert recover(directory) == before
    assert before.damaged_reason == ""


@pytest.mark.parametrize(("key", "word"), [(PROMISE_KEY, "promise"), (MEMBERSHIP_KEY, "membership")])
def test_a_damaged_promise_or_membership_costs_the_vote(directory: Path, key: bytes, word: str) -> None:
    """The node abstains and says why; what it accepted is still known."""
    tamper(directory, flip(key))
    recovered = recover(directory)
    assert recovered.damaged_reason == f"the {word} record fails its checksum"
    assert [record.slot for record in recovered.accepted] == [9, 10, 11, 12]


def test_a_damaged_identity_in_the_log_costs_the_vote_and_with_the_file_the_start(directory: Path) -> None:
    """One copy tells whose it is; without any nobody knows."""
    tamper(directory, flip(IDENTITY_KEY))
    assert "the identity record fails its checksum" in recover(directory).damaged_reason
    path = directory / "identity"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Damaged, match="the identity file beside it is damaged too"):
        recover(directory)


def test_an_acceptance_that_vanished_costs_the_vote(directory: Path) -> None:
    """A missing record leaves no bad checksum behind; the unchosen sum misses it."""
    tamper(directory, lambda transaction, slots: transaction.delete(slot_key(11), db=slots))
    assert "the 3 acceptances above slot 8 are not the 4" in recover(directory).damaged_reason


def test_an_older_acceptance_that_came_back_costs_the_vote(directory: Path) -> None:
    """It is whole in itself, and yet not what was stored last."""
    newer = record_of(11)
    older = AcceptedSlot(newer.slot, Ballot(1, NodeId(2)), newer.crc, newer.value)
    _checksums, [(_key, data)] = seal_slots([older])
    tamper(directory, lambda transaction, slots: transaction.put(slot_key(11), data, db=slots))
    assert "are not the 4 that were stored last" in recover(directory).damaged_reason


def test_a_promise_below_an_acceptance_costs_the_vote(directory: Path) -> None:
    """An older promise that came back whole contradicts what was accepted since."""
    stale = encode_promise(Promised(Ballot(1, NodeId(1))))
    tamper(directory, lambda transaction, _slots: transaction.put(PROMISE_KEY, stale))
    recovered = recover(directory)
    assert "stands above the promise 1.n1" in recovered.damaged_reason
    assert recovered.promise == max(record.ballot for record in recovered.accepted)


def test_a_chosen_slot_that_vanished_costs_nothing_but_a_question_to_the_peers(directory: Path) -> None:
    """Missing and damaged are the same below the chosen position: it is fetched by its slot."""
    tamper(directory, lambda transaction, slots: transaction.delete(slot_key(4), db=slots))
    recovered = recover(directory)
    assert recovered.damaged_chosen == (4,)
    assert recovered.damaged_reason == ""


@pytest.mark.parametrize("piece", range(5))
@pytest.mark.parametrize("slot", [4, 11])
def test_a_piece_that_vanished_or_stands_elsewhere_damages_its_slot(directory: Path, slot: int, piece: int) -> None:
    """A large record is stored in pieces, and its checksum goes over all of them, in order."""
    value = bytes(range(256)) * 40
    _checksums, pieces = seal_slots([AcceptedSlot(Slot(slot), Ballot(9, NodeId(3)), crc32c(value), value)])
    with opened(directory) as store:
        store.recover()
        store.write([LogWrite(None, (AcceptedSlot(Slot(slot), Ballot(9, NodeId(3)), crc32c(value), value),), None)])
    assert recover(directory).damaged_reason == ""
    assert [key for key, _data in pieces] == [struct.pack(">QH", slot, number) for number in range(6)]
    key = pieces[piece][0]
    tamper(directory, lambda transaction, slots: transaction.delete(key, db=slots))
    assert _is_damaged(recover(directory), slot)
    tamper(directory, lambda transaction, slots: transaction.put(key, pieces[piece + 1][1], db=slots))
    assert _is_damaged(recover(directory), slot)
    tamper(directory, lambda transaction, slots: transaction.put(key, pieces[piece][1], db=slots))
    assert not _is_damaged(recover(directory), slot)


def _is_damaged(recovered: Recovered, slot: int) -> bool:
    return slot in recovered.damaged_chosen if slot <= recovered.chosen_through else bool(recovered.damaged_reason)


def test_a_vote_once_lost_stays_lost(directory: Path) -> None:
    """The reason is stored with the next write, since damage that was written over is still a forgotten vote."""
    tamper(directory, flip(PROMISE_KEY))
    with opened(directory) as store:
        reason = store.recover().damaged_reason
        store.write([LogWrite(Ballot(20, NodeId(1)), (), Slot(12))])
    recovered = recover(directory)
    assert recovered.damaged_reason == reason
    assert recovered.promise == Ballot(20, NodeId(1))


def test_a_scrub_finds_damage_among_old_slots_a_few_at_a_time(directory: Path) -> None:
    """It goes on where it stopped, begins again at the end, and never looks at what is not known chosen."""

    def damage(transaction: Any, slots: Any) -> None:
        transaction.delete(slot_key(3), db=slots)
        data = bytearray(transaction.get(slot_key(6), db=slots))
        data[-1] ^= 1
        transaction.put(slot_key(6), bytes(data), db=slots)

    tamper(directory, damage)
    with opened(directory) as store:
        store.recover()
        assert store.scrub(Slot(1), slots_max=4) == (5, [3])
        assert store.scrub(Slot(5), slots_max=4) == (9, [6])
        assert store.scrub(Slot(9), slots_max=4) == (1, [])
