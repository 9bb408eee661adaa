"""The other members, one record each: everything any role keeps of a peer stands in it.

It knows nothing of the protocol. What it protects is that a member that goes leaves nothing behind, and that what
rests on a link ends with the link: each of the two is one function.

A *guest* is a node that is no member here while a membership is being learned, by it or by this node: it may teach and
be taught, and has no voice in anything (M6).
"""

from __future__ import annotations

import math

import attrs

from .ballot import BEFORE_LOG, NodeId, Slot
from .membership import Membership
from .messages import HeartbeatReply

GUESTS_MAX = 16
"""Nodes that are no members and are heard at once; the one that was heard first is forgotten first."""


@attrs.define(eq=False)
class Peer:
    """What this node keeps of another member; each field is written by the role that is named."""

    node: NodeId
    is_voter: bool = False
    is_link_closed: bool = False
    """A link that was never opened is not known closed. Replica."""

    reply: HeartbeatReply | None = None
    """Its newest answer that counts. Election."""
    heard_round: int = -1
    """In which round of this node's that came. Election."""
    silent_quarters: int = 0
    """Quarters of this node's rounds, as they ended, since it asked or answered. Election."""

    chosen_through: Slot = BEFORE_LOG
    """How far it has said to know the log chosen. CatchUp."""
    compacted_through: Slot = BEFORE_LOG
    is_silent: bool = False
    """It let a question or a transfer go unanswered. CatchUp."""
    lacks: set[Slot] = attrs.field(factory=set)
    """Slots about which it had to answer with nothing: they are damaged there too. CatchUp."""
    is_read_for: bool = False
    """A piece of the log is being read for it. Teacher."""

    in_flight: dict[Slot, int] = attrs.field(factory=dict)
    """Accepts that it has not answered, with their bytes. Proposer."""
    in_flight_bytes: int = 0
    is_withheld_from: bool = False
    """It was not sent a proposal because too much was unanswered; it gets it with its next answer. Proposer."""

    clock_lead_ms: float = 0.0
    """By how much its clock is ahead of this node's monotonic one. LogTime."""
    clock_heard_s: float = -math.inf

    agreed_at: Slot = BEFORE_LOG
    """The last slot after which its digest was this node's. Divergence."""
    differs_at: tuple[Slot, bytes, bytes] | None = None
    """The first slot after which it was not, this node's digest, and its own. Divergence."""

    def end_flight(self) -> None:
        """What was sent to it and not answered is given up."""
        self.in_flight.clear()
        self.in_flight_bytes = 0
        self.is_withheld_from = False

    def close_link(self) -> None:
        """It may be dead: nothing is under way to it or for it, and what it last said of itself counts no more."""
        self.is_link_closed = True
        self.silent_quarters = 0
        self.reply = None
        self.is_read_for = False
        self.end_flight()


class Peers(dict[NodeId, Peer]):
    """All members but this node, ascending; a dictionary, since it is asked for every message."""

    def __init__(self, node: NodeId, membership: Membership) -> None:
        super().__init__()
        self._node = node
        self.voters: tuple[Peer, ...] = ()
        self.guests: dict[NodeId, Peer] = {}
        self._checked_for: Membership | None = None
        self._others_wanted: tuple[list[NodeId], list[NodeId]] = ([], [])
        self.follow(membership)

    def follow(self, membership: Membership) -> None:
        """These are the members: new ones begin with nothing known, those that are gone are forgotten."""
        for gone in self.keys() - membership.members:
            self.forget(gone)
        known = [
            self.get(node) or self.guests.pop(node, None) or Peer(node)
            for node in membership.members
            if node != self._node
        ]
        self.clear()
        self.update((peer.node, peer) for peer in known)
        for peer in known:
            peer.is_voter = membership.is_voter(peer.node)
            if not peer.is_voter:
                peer.end_flight()
        self.voters = tuple(peer for peer in known if peer.is_voter)

    @property
    def all_heard(self) -> list[Peer]:
        """The other members, and the guests behind them."""
        return [*self.values(), *self.guests.values()]

    def welcome(self, node: NodeId) -> tuple[Peer, Peer | None]:
        """The record of a guest, and that of one that had to go for it."""
        assert node not in self, node
        assert node != self._node, node
        gone = None
        if node not in self.guests:
            if len(self.guests) >= GUESTS_MAX:
                gone = self.guests.pop(next(iter(self.guests)))
            self.guests[node] = Peer(node)
        return self.guests[node], gone

    def check_invariants(self, membership: Membership) -> None:
        """What holds between two inputs: exactly the other members are known, and who of them votes."""
        if self._checked_for is not membership:
            others = [node for node in membership.members if node != self._node]
            self._checked_for = membership
            self._others_wanted = others, [node for node in others if membership.is_voter(node)]
        others = list(self)
        assert self.guests.keys().isdisjoint(membership.members), (self.guests, membership)
        assert (others, [peer.node for peer in self.voters]) == self._others_wanted, (others, self.voters, membership)

    def forget(self, node: NodeId) -> None:
        """A member is gone, with everything that was known of it; whoever still holds its record sees a closed link."""
        self.pop(node).close_link()
        self.voters = tuple(peer for peer in self.voters if peer.node != node)
