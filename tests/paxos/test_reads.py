"""The shared confirmation round."""

from __future__ import annotations

from replog.paxos.ballot import Slot
from replog.paxos.effects import ReadReady, Refusal
from replog.paxos.messages import Confirm, Confirmed
from replog.paxos.options import PaxosOptions
from replog.paxos.outbox import Outbox
from replog.paxos.reads import Reads

from .build import N1, N2, N3, N4, ballot, standing


def reads(options: PaxosOptions | None = None) -> tuple[Reads, Outbox]:
    turn = Outbox(N1)
    role = Reads(options or PaxosOptions(), turn, standing())
    role.begin_ballot(ballot(1))
    return role, turn


def test_all_waiting_reads_share_one_round() -> None:
    """One question to each voter, whatever the number of reads; the slot is noted before asking."""
    role, turn = reads()
    for number in (1, 2, 3):
        role.read(number)
    role.begin_round(Slot(7), 0.0)
    assert [outbound.message for outbound in turn.sends] == [Confirm(ballot(1), 1)] * 2
    role.on_confirmed(N1, Confirmed(ballot(1), 1))
    assert turn.reads == []
    role.on_confirmed(N2, Confirmed(ballot(1), 1))
    assert turn.reads == [ReadReady(Slot(7), (1, 2, 3))]


def test_a_read_that_came_later_needs_a_later_round() -> None:
    """PITFALLS 18: an answer confirms only reads that waited when its question left; no round id is used twice."""
    role, turn = reads()
    role.read(1)
    role.begin_round(Slot(7), 0.0)
    role.read(2)
    role.begin_round(Slot(8), 0.0)
    role.resend(10.0)
    assert {outbound.message for outbound in turn.sends} == {Confirm(ballot(1), 1)}
    role.on_confirmed(N1, Confirmed(ballot(1), 1))
    role.on_confirmed(N3, Confirmed(ballot(1), 1))
    role.begin_round(Slot(9), 0.0)
    role.on_confirmed(N1, Confirmed(ballot(1), 1))
    role.on_confirmed(N3, Confirmed(ballot(1), 1))
    assert turn.reads == [ReadReady(Slot(7), (1,))]
    role.on_confirmed(N1, Confirmed(ballot(1), 2))
    role.on_confirmed(N3, Confirmed(ballot(1), 2))
    assert turn.reads[1:] == [ReadReady(Slot(9), (2,))]


def test_answers_of_one_node_or_a_stranger_confirm_nothing() -> None:
    """P5 for reads: voters, each once."""
    role, turn = reads()
    role.read(1)
    role.begin_round(Slot(7), 0.0)
    for node in (N2, N2, N4):
        role.on_confirmed(node, Confirmed(ballot(1), 1))
    assert turn.reads == []


def test_lost_leadership_refuses_every_read() -> None:
    """Waiting and asked reads are told, so that none hangs."""
    role, turn = reads()
    role.read(1)
    role.begin_round(Slot(7), 0.0)
    role.read(2)
    role.refuse_all()
    assert turn.reads_refused == [1, 2]
    assert not role.is_waiting


def test_reads_waiting_are_bounded() -> None:
    """Past the limit a read is refused as overload."""
    role, _ = reads(PaxosOptions(reads_waiting_max=1))
    assert role.read(1) is None
    assert role.read(2) is Refusal.OVERLOADED
