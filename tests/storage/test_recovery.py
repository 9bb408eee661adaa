"""What a node knows of its log when it starts, beyond what the log itself remembers."""

from __future__ import annotations

import crc32c

from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot
from replog.paxos.values import NO_OP, Batch, encode_value
from replog.recovery import reconcile
from replog.sim.disk import SimLogStore

N1 = NodeId(1)
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
    assert reconcile(log, Slot(0)).log_time_ms == 300
    assert reconcile(log, Slot(2)).log_time_ms == 200
    assert reconcile(log, Slot(4)).log_time_ms == 0


def test_a_damaged_record_hides_only_its_own_stamp() -> None:
    """It is repaired before it is applied."""
    log = log_of(stamped(100), stamped(300), stamped(200), chosen_through=3)
    log.damage(Slot(2))
    assert reconcile(log, Slot(0)).log_time_ms == 200
