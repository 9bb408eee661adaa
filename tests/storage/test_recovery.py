"""What a node knows when it starts: beyond what its log remembers, and once log and state stand at one position."""

from __future__ import annotations

from pathlib import Path

import crc32c

from replog.node.reconcile import reconcile
from replog.paxos.ballot import BEFORE_LOG, Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot
from replog.paxos.values import NO_OP, Batch, encode_value
from replog.sim.disk import SimLogStore
from replog.state.store import LmdbStateStore

N1 = NodeId(1)
MEMBERS = Membership(1, (N1, NodeId(2), NodeId(3)))
BALLOT = Ballot(1, N1)


def log_of(*values: bytes, chosen_through: int) -> SimLogStore:
    log = SimLogStore(b"test", N1, b"1", Membership(1, (N1,)))
    records = tuple(
        AcceptedSlot(Slot(number), BALLOT, crc32c.crc32c(value), value) for number, value in enumerate(values, start=1)
    )
    log.write([LogWrite(BALLOT, records, Slot(chosen_through))])
    return log


def stamped(time_ms: int) -> bytes:
    return encode_value(Batch(time_ms, [b"x"]))


def test_the_newest_stamp_that_the_state_has_not_seen_is_found() -> None:
    """P11: below what is chosen, whatever stands beside it; what the state has applied it knows itself."""
    log = log_of(stamped(100), stamped(300), stamped(200), NO_OP, stamped(900), chosen_through=4)
    assert reconcile(log, BEFORE_LOG, BEFORE_LOG).log_time_ms == 300
    assert reconcile(log, Slot(2), BEFORE_LOG).log_time_ms == 200
    assert reconcile(log, Slot(4), BEFORE_LOG).log_time_ms == 0


def test_a_damaged_record_hides_only_its_own_stamp() -> None:
    """It is repaired before it is applied."""
    log = log_of(stamped(100), stamped(300), stamped(200), chosen_through=3)
    log.damage(Slot(2))
    assert reconcile(log, BEFORE_LOG, BEFORE_LOG).log_time_ms == 200


def accepted(slot: int) -> AcceptedSlot:
    return AcceptedSlot(Slot(slot), BALLOT, crc32c.crc32c(b"v"), b"v")


def log_through(last: int, *, chosen_through: int) -> SimLogStore:
    """A log with acceptances up to ``last``."""
    log = SimLogStore(b"c", NodeId(1), b"1", MEMBERS)
    log.write([LogWrite(BALLOT, tuple(map(accepted, range(1, last + 1))), Slot(chosen_through))])
    return log


def test_what_the_own_flushes_cover_is_known_chosen() -> None:
    """It was released from this log before it was applied."""
    recovered = reconcile(log_through(15, chosen_through=10), Slot(13), BEFORE_LOG)
    assert (recovered.chosen_through, recovered.compacted_through) == (13, 0)
    assert [record.slot for record in recovered.accepted] == [14, 15]


def test_a_membership_that_the_own_flushes_cover_is_known_chosen() -> None:
    """Its slot was released here, and the write that says so was lost; with a gap before it, too."""
    later = Membership(2, (N1, NodeId(2)))
    value = encode_value(later)
    for lost in (False, True):
        log = log_through(9, chosen_through=4)
        log.write([LogWrite(None, (AcceptedSlot(Slot(7), BALLOT, crc32c.crc32c(value), value),), None)])
        if lost:
            del log.slots[Slot(6)]
        assert reconcile(log, Slot(6), BEFORE_LOG).membership == MEMBERS
        assert reconcile(log, Slot(7), BEFORE_LOG).membership == later
        assert log.recover().membership == later


def test_acceptances_below_a_received_state_are_not_taken_for_chosen() -> None:
    """P6: the node died between the state and the floor; what it had accepted there may have lost."""
    log = log_through(15, chosen_through=10)
    recovered = reconcile(log, Slot(13), Slot(13))
    assert (recovered.chosen_through, recovered.compacted_through) == (13, 13)
    assert [record.slot for record in recovered.accepted] == [14, 15]
    assert set(log.slots) == {14, 15}


def test_an_install_that_is_finished_is_not_finished_again() -> None:
    """What was applied above the floor since then stays in the log, for peers that are behind."""
    log = log_through(20, chosen_through=10)
    log.install_floor(Slot(13), MEMBERS)
    recovered = reconcile(log, Slot(18), Slot(13))
    assert (recovered.chosen_through, recovered.compacted_through) == (18, 13)


def test_a_state_remembers_where_it_stood_when_it_was_received(tmp_path: Path) -> None:
    """From the swap on, over flushes and restarts; a state that grew here has no such place."""
    sender = LmdbStateStore.open(tmp_path / "sender")
    sender.write({b"k": b"v"})
    sender.begin_flush(Slot(7))
    sender.flush()
    sender.end_flush()
    assert sender.installed_through == BEFORE_LOG
    snapshot = sender.open_snapshot()
    receiver = LmdbStateStore.open(tmp_path / "receiver")
    receiver.begin_install(snapshot.name)
    data, is_last = snapshot.read(0, 2**20)
    assert is_last
    receiver.install_chunk(0, data)
    receiver.finish_install(Slot(7))
    assert receiver.installed_through == 7
    receiver.write({b"k": b"w"})
    receiver.begin_flush(Slot(9))
    receiver.flush()
    receiver.end_flush()
    receiver.close()
    again = LmdbStateStore.open(tmp_path / "receiver")
    assert (again.durable_through, again.installed_through) == (9, 7)
    again.close()
    snapshot.close()
    sender.close()


def test_a_received_state_says_who_votes_where_it_stands() -> None:
    """M12: a crash came before the floor below it, so the log does not know yet; and the slot is gone for good."""
    later = Membership(2, (N1, NodeId(2)))
    log = log_through(15, chosen_through=10)
    assert reconcile(log, Slot(13), Slot(13), later).membership == later
    assert (log.recover().membership, log.recover().compacted_through) == (later, 13)
    assert reconcile(log_through(15, chosen_through=10), Slot(13), BEFORE_LOG, later).membership == later
