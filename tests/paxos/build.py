"""Small pieces of a cluster for the tests of the roles."""

from __future__ import annotations

import zlib

from replog.paxos.acceptor import Acceptor
from replog.paxos.ballot import BALLOT_ZERO, BEFORE_LOG, Ballot, NodeId, Slot
from replog.paxos.membership import Membership
from replog.paxos.messages import Accept, AcceptedSlot, Message
from replog.paxos.options import PaxosOptions
from replog.paxos.outbox import Outbox
from replog.paxos.peers import Peers
from replog.paxos.recovered import Recovered
from replog.paxos.standing import Standing

N1, N2, N3, N4, N5 = (NodeId(n) for n in range(1, 6))
THREE = Membership(1, (N1, N2, N3))
FIVE = Membership(1, (N1, N2, N3, N4, N5))
checksum = zlib.crc32
"""Any function of the bytes serves the core."""


def ballot(round_: int, node: int = 1) -> Ballot:
    return Ballot(round_, NodeId(node))


def recovered(
    *,
    promise: Ballot = BALLOT_ZERO,
    chosen_through: int = 0,
    compacted_through: int = 0,
    accepted: tuple[AcceptedSlot, ...] = (),
    damaged_chosen: tuple[Slot, ...] = (),
    damaged_reason: str = "",
    membership: Membership = THREE,
) -> Recovered:
    return Recovered(
        promise, Slot(chosen_through), Slot(compacted_through), accepted, damaged_chosen, damaged_reason, membership
    )


def record(slot: int, at: Ballot, value: bytes = b"v") -> AcceptedSlot:
    return AcceptedSlot(Slot(slot), at, checksum(value), value)


def accept(slot: int, at: Ballot, value: bytes = b"v", chosen_through: int = 0) -> Accept:
    return Accept(at, Slot(slot), checksum(value), value, Slot(chosen_through))


def standing(start: Recovered | None = None, *, node: NodeId = N1) -> Standing:
    return Standing(node, start or recovered())


def members(membership: Membership = THREE, node: NodeId = N1) -> tuple[Standing, Peers]:
    """What a node knows of itself and of the others when nothing has happened yet."""
    return standing(recovered(membership=membership), node=node), Peers(node, membership)


def acceptor(turn: Outbox, start: Recovered | None = None, options: PaxosOptions | None = None) -> Acceptor:
    start = start or recovered()
    return Acceptor(options or PaxosOptions(), start, turn, standing(start, node=turn.node), checksum)


def sent(turn: Outbox) -> list[Message]:
    """What may leave before the write."""
    return [outbound.message for outbound in turn.sends]


def sent_after_write(turn: Outbox) -> list[Message]:
    return [outbound.message for outbound in turn.after_write]


__all__ = ["BEFORE_LOG", "FIVE", "N1", "N2", "N3", "N4", "N5", "THREE"]
