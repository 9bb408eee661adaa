"""Compares the state machine's running digest with the peers': a machine that is not deterministic is caught here.

It only looks and tells. A node is the odd one when a quorum agrees with each other and not with it; when no such quorum
can be heard, the one that contradicts its leader and is backed by nobody.
"""

from __future__ import annotations

from .ballot import BEFORE_LOG, NodeId, Slot
from .effects import NoticeKind
from .membership import Membership
from .turn import Turn

_REMEMBERED_MAX = 64


class Divergence:
    """The last few digests of this node, and who contradicted or confirmed them."""

    def __init__(self, turn: Turn, membership: Membership) -> None:
        self._turn = turn
        self.membership = membership
        self.own_slot = BEFORE_LOG
        self.own_digest = b""
        self._own: dict[Slot, bytes] = {}
        self._heard: dict[Slot, dict[NodeId, bytes]] = {}
        self._is_told = False

    def on_digest(self, slot: Slot, digest: bytes) -> None:
        """This node's digest after ``slot``; slots must be the same on all nodes (a fixed interval)."""
        if slot <= self.own_slot or not digest:
            return
        self.own_slot = slot
        self.own_digest = digest
        self._own[slot] = digest
        while len(self._own) > _REMEMBERED_MAX:
            oldest = next(iter(self._own))
            del self._own[oldest]
            self._heard.pop(oldest, None)

    def compare(self, peer: NodeId, slot: Slot, digest: bytes, *, is_leading: bool) -> None:
        """A peer's digest; tells once if this node is the odd one."""
        own = self._own.get(slot)
        if own is None or self._is_told:
            return
        heard = self._heard.setdefault(slot, {})
        heard[peer] = digest
        if digest == own:
            return
        against = {node for node, other in heard.items() if other == digest}
        is_backed = own in heard.values()
        if self.membership.is_quorum(against) or (is_leading and not is_backed and len(self.membership.voters) <= 2):
            self._is_told = True
            self._turn.notice(
                NoticeKind.STATE_DIVERGED,
                slot=slot,
                digest=own.hex(),
                other=digest.hex(),
                against=sorted(against),
            )
