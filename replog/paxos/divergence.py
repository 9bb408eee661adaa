"""Compares the state machine's running digest with the peers': a machine that is not deterministic is caught here.

It only looks and tells. A node is *odd* when a quorum, itself counted out, holds one other digest at the same slot.
Where no digest has a majority nobody can say who is right: the node is *contradicted*, and says so for as long as it is
true.

Digests are chained: who agrees after a slot agreed before it, and who differs after a slot differs ever after, unless
its state is replaced. So of a peer the first slot counts after which it differs, until it agrees at a later one.
"""

from __future__ import annotations

from typing import NamedTuple

from .ballot import BEFORE_LOG, NodeId, Slot, node_name
from .effects import NoticeKind
from .membership import Membership
from .outbox import Turn

_REMEMBERED_MAX = 1024


class Contradiction(NamedTuple):
    """No majority holds this node's digest, and somebody holds another one.

    Parameters
    ----------
    slot: the first one after which somebody differs.
    against: the voters whose digests differ.
    """

    slot: Slot
    against: tuple[NodeId, ...]


class Divergence:
    """The last digests of this node and of its peers, and who contradicts whom."""

    def __init__(self, turn: Turn, membership: Membership) -> None:
        self._turn = turn
        self.membership = membership
        self.own_slot = BEFORE_LOG
        self.own_digest = b""
        self._own: dict[Slot, bytes] = {}
        self._heard: dict[Slot, dict[NodeId, bytes]] = {}
        self._agreed_at: dict[NodeId, Slot] = {}
        self._differs_from: dict[NodeId, tuple[Slot, bytes, bytes]] = {}
        self._told: Contradiction | None = None

    def on_digest(self, slot: Slot, digest: bytes) -> None:
        """This node's digest after ``slot``; slots must be the same on all nodes (a fixed interval)."""
        if slot <= self.own_slot or not digest:
            return
        self.own_slot = slot
        self.own_digest = digest
        self._own[slot] = digest
        if len(self._own) > _REMEMBERED_MAX:
            del self._own[next(iter(self._own))]
        self._compare(slot)

    def on_peer_digest(self, peer: NodeId, slot: Slot, digest: bytes) -> None:
        """A peer's digest; one that is ahead waits until this node has come to that slot."""
        if not digest:
            return
        self._heard.setdefault(slot, {})[peer] = digest
        if len(self._heard) > _REMEMBERED_MAX:
            del self._heard[min(self._heard)]
        self._compare(slot)

    def _compare(self, slot: Slot) -> None:
        own = self._own.get(slot)
        if own is None:
            return
        heard = self._heard.get(slot, {})
        for peer, digest in heard.items():
            if digest == own:
                self._agreed_at[peer] = max(slot, self._agreed_at.get(peer, BEFORE_LOG))
                if peer in self._differs_from and self._differs_from[peer][0] <= slot:
                    del self._differs_from[peer]
            elif peer not in self._differs_from or slot < self._differs_from[peer][0]:
                self._differs_from[peer] = (slot, own, digest)
        for digest in sorted(set(heard.values()) - {own}):
            against = sorted(peer for peer, other in heard.items() if other == digest)
            if self.membership.is_quorum(against):
                self._turn.notice(
                    NoticeKind.STATE_DIVERGED, slot=slot, digest=own.hex(), other=digest.hex(), against=against
                )

    @property
    def contradiction(self) -> Contradiction | None:
        """What stands against this node's state while no majority is known to hold it."""
        against = {peer: what for peer, what in self._differs_from.items() if self.membership.is_voter(peer)}
        if not against:
            return None
        first = min(slot for slot, _, _ in against.values())
        agreeing = [peer for peer, slot in self._agreed_at.items() if slot >= first and peer not in against]
        if self.membership.is_quorum([*agreeing, self._turn.node]):
            return None
        return Contradiction(first, tuple(sorted(against)))

    def judge(self) -> None:
        """Once a round, when everybody has been heard: a contradiction that is not the one told last is told."""
        found = self.contradiction
        if found is not None and found != self._told:
            said = [f"{node_name(peer)} {self._differs_from[peer][2].hex()}" for peer in found.against]
            _, own, _ = min(self._differs_from[peer] for peer in found.against)
            self._turn.notice(NoticeKind.STATE_CONTRADICTED, slot=found.slot, digest=own.hex(), against=said)
        self._told = found
