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
from .outbox import Outbox
from .peers import Peer, Peers
from .standing import Standing

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

    def __init__(self, outbox: Outbox, standing: Standing, peers: Peers) -> None:
        self._outbox = outbox
        self._standing = standing
        self._peers = peers
        self.own_slot = BEFORE_LOG
        self.own_digest = b""
        self._own: dict[Slot, bytes] = {}
        self._heard: dict[Slot, dict[NodeId, bytes]] = {}
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

    def on_peer_digest(self, peer: Peer, slot: Slot, digest: bytes) -> None:
        """A peer's digest; one that is ahead waits until this node has come to that slot."""
        if not digest:
            return
        self._heard.setdefault(slot, {})[peer.node] = digest
        if len(self._heard) > _REMEMBERED_MAX:
            del self._heard[min(self._heard)]
        self._compare(slot)

    def _compare(self, slot: Slot) -> None:
        own = self._own.get(slot)
        if own is None:
            return
        heard = self._heard.get(slot, {})
        for peer in self._peers.values():
            digest = heard.get(peer.node)
            if digest == own:
                peer.agreed_at = max(slot, peer.agreed_at)
                if peer.differs_at is not None and peer.differs_at[0] <= slot:
                    peer.differs_at = None
            elif digest is not None and (peer.differs_at is None or slot < peer.differs_at[0]):
                peer.differs_at = (slot, own, digest)
        for digest in sorted(set(heard.values()) - {own}):
            against = sorted(peer for peer, other in heard.items() if other == digest)
            if self._standing.membership.is_quorum(against):
                self._outbox.notice(
                    NoticeKind.STATE_DIVERGED, slot=slot, digest=own.hex(), other=digest.hex(), against=against
                )

    @property
    def contradiction(self) -> Contradiction | None:
        """What stands against this node's state while no majority is known to hold it."""
        against = [peer for peer in self._peers.voters if peer.differs_at is not None]
        if not against:
            return None
        first = min(self._difference(peer)[0] for peer in against)
        agreeing = [peer.node for peer in self._peers.voters if peer.agreed_at >= first and peer.differs_at is None]
        if self._standing.membership.is_quorum([*agreeing, self._standing.node]):
            return None
        return Contradiction(first, tuple(peer.node for peer in against))

    @staticmethod
    def _difference(peer: Peer) -> tuple[Slot, bytes, bytes]:
        assert peer.differs_at is not None, peer.node
        return peer.differs_at

    def judge(self) -> None:
        """Once a round, when everybody has been heard: a contradiction that is not the one told last is told."""
        found = self.contradiction
        if found is not None and found != self._told:
            differences = {node: self._difference(self._peers[node]) for node in found.against}
            said = [f"{node_name(node)} {theirs.hex()}" for node, (_, _, theirs) in differences.items()]
            _, own, _ = min(differences.values())
            self._outbox.notice(NoticeKind.STATE_CONTRADICTED, slot=found.slot, digest=own.hex(), against=said)
        self._told = found
