"""Proposals in flight: the slots of one ballot that are proposed and not chosen yet, and who was sent them.

It owns their votes and what each peer has not answered. It does not know how a ballot begins or ends, or whether
anything may be proposed. What it protects is memory, and that slots are given without a gap.
"""

from __future__ import annotations

import attrs

from .ballot import BALLOT_ZERO, BEFORE_LOG, NodeId, Slot
from .messages import Accept
from .options import PaxosOptions
from .outbox import Outbox, Size
from .peers import Peer, Peers
from .standing import Standing


@attrs.define(eq=False)
class _Proposal:
    """A value in flight and who voted for it at the proposer's ballot."""

    accept: Accept
    votes: set[NodeId]
    sent_at_s: float


class Proposals:
    """What ``Proposer`` has under way at its ballot."""

    def __init__(self, options: PaxosOptions, outbox: Outbox, standing: Standing, peers: Peers) -> None:
        self._node = standing.node
        self._options = options
        self._outbox = outbox
        self._standing = standing
        self._peers = peers
        self.ballot = BALLOT_ZERO
        self.chosen_through = BEFORE_LOG
        """While leading: every slot up to here is chosen, though maybe not durable here yet (P5)."""
        self._drop_proposals()

    def _drop_proposals(self) -> None:
        self._proposals: dict[Slot, _Proposal] = {}
        self._proposals_bytes = 0
        self._undurable: set[Slot] = set()
        self._next_slot = Slot(1)
        for peer in self._peers.values():
            peer.end_flight()

    @property
    def values_in_flight(self) -> list[bytes]:
        return [proposal.accept.value for proposal in self._proposals.values()]

    def sizes(self) -> list[Size]:
        options = self._options
        in_flight = max((len(peer.in_flight) for peer in self._peers.values()), default=0)
        return [
            Size("proposals", len(self._proposals), options.open_slots_max),
            Size("proposals in flight to a peer", in_flight, options.accept_ahead_slots_max),
        ]

    def _propose(self, value: bytes, crc: int, now_s: float) -> None:
        slot = self._next_slot
        assert slot > self.chosen_through, (slot, self.chosen_through)  # P5
        self._next_slot = Slot(slot + 1)
        accept = Accept(self.ballot, slot, crc, value, self.chosen_through)
        self._proposals[slot] = _Proposal(accept, set(), now_s)
        self._proposals_bytes += len(value)
        self._undurable.add(slot)
        self._outbox.send(self._node, accept)
        for peer in self._peers.voters:
            self._send_accept(peer, accept)

    def _send_withheld(self, peer: Peer) -> None:
        """A peer has answered something: the next ones that it was not sent, as far as its bound allows."""
        peer.is_withheld_from = False
        for slot, proposal in self._proposals.items():
            if slot not in peer.in_flight and peer.node not in proposal.votes:
                self._send_accept(peer, self._with_chosen_through(proposal.accept))
                if peer.is_withheld_from:
                    return

    def _send_again(self, before_s: float, now_s: float) -> None:
        """What was sent at ``before_s`` or earlier, to whoever has not voted."""
        stale = [proposal for proposal in self._proposals.values() if proposal.sent_at_s <= before_s]
        if not stale:
            return
        for peer in self._peers.voters:
            peer.end_flight()
        for proposal in stale:
            proposal.sent_at_s = now_s
            for peer in self._peers.voters:
                if peer.node not in proposal.votes:
                    self._send_accept(peer, self._with_chosen_through(proposal.accept))

    def _with_chosen_through(self, accept: Accept) -> Accept:
        return Accept(accept.ballot, accept.slot, accept.crc, accept.value, self.chosen_through)

    def _send_accept(self, peer: Peer, accept: Accept) -> None:
        """Send unless the peer has too much unanswered: then with its next answer, or from the log when it asks.

        Over a closed link nothing leaves; all of it is sent when one is open.
        """
        if peer.is_link_closed:
            return
        in_flight = peer.in_flight
        size = peer.in_flight_bytes + len(accept.value)
        if in_flight and (
            size > self._options.peer_in_flight_bytes_max or len(in_flight) >= self._options.accept_ahead_slots_max
        ):
            peer.is_withheld_from = True
            return
        if accept.slot not in in_flight:
            in_flight[accept.slot] = len(accept.value)
            peer.in_flight_bytes = size
        self._outbox.send(peer.node, accept)
