"""Where the other nodes are reached, who begins a link to whom, and whose link is taken.

The log's word counts (``Membership.described``); where it has none, the node's own configuration says where a member
was when it was started, and whom to ask first. The lower id of two dials, so that there is one link a pair. Once the
members have changed, the other one dials too where none has come for a while: it may know a member that does not know
it yet, and a node that was cut off while everybody it knew was replaced has nobody else to hear it from (M6).

Rule protected: a node that is no member here is linked with only where it may teach or be taught (M6, M7), and under no
other incarnation than the log says (P9, M7).

Never: dial; believe an address beyond trying it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import attrs

from ..paxos.ballot import NodeId, node_name
from ..paxos.membership import Membership

SECOND_S: Final = 1.0
"""Whoever does not dial first waits so long for a link; an election is over by then."""


@attrs.frozen
class Way:
    """How a link to another node comes about.

    Parameters
    ----------
    address: ``host:port``.
    patience_s: 0: this node dials; else it dials where no link has come for so long; infinite: it never does.
    """

    address: str
    patience_s: float = 0.0


class Reach:
    """One node's view of where the others are.

    Parameters
    ----------
    seeds: addresses from the configuration: of members of whom the log has none, and of nodes to ask first.
    membership: the newest that is known chosen.
    """

    def __init__(self, node: NodeId, seeds: Mapping[NodeId, str], membership: Membership) -> None:
        self._node = node
        self.seeds = dict(seeds)
        self.follow(membership)

    def follow(self, membership: Membership) -> None:
        """These are the members from here on."""
        self._membership = membership
        self.addresses = {node: self._address_of(node) for node in self._in_order()}
        """Of the members, this node included: where they are told to be; empty where nobody has said it."""
        self.ways = self._ways()
        """By node: all others that this node has, or wants, a link to."""

    @property
    def own_address(self) -> str:
        """Where this node is reached: by its configuration, else by the log; empty: nobody says."""
        return self.seeds.get(self._node, "") or self.addresses.get(self._node, "")

    def _address_of(self, node: NodeId) -> str:
        return self._membership.described_as(node).address or self.seeds.get(node, "")

    def _in_order(self) -> list[NodeId]:
        """Those that the configuration names, in its order, in which a lone command asks them; then the others."""
        members = self._membership.members
        named = [node for node in self.seeds if node in members]
        return [*named, *(node for node in members if node not in self.seeds)]

    def _ways(self) -> dict[NodeId, Way]:
        membership = self._membership
        found = {node: address for node, address in self.addresses.items() if address and node != self._node}
        for node, address in self.seeds.items():
            if (
                node >= membership.unused_from and node != self._node
            ):  # it may have joined since; a lower id was removed
                found[node] = address
        second_s = SECOND_S if membership.version > 1 else math.inf
        return {node: Way(address, 0.0 if node > self._node else second_s) for node, address in found.items()}

    def refusal_of(self, peer: NodeId, incarnation: bytes) -> str:
        """Empty, or why there is no link to whoever says that it is ``peer``."""
        if peer == self._node or not self._is_expected(peer):
            return f"{node_name(peer)} is not another member of this cluster"
        known = self._membership.described_as(peer).incarnation
        if known and known != incarnation:
            return (
                f"{node_name(peer)} has another incarnation ({incarnation.hex()[:8]}) than the one that the members "
                f"know ({known.hex()[:8]}): a directory that was formatted anew joins under a new id"
            )
        return ""

    def _is_expected(self, peer: NodeId) -> bool:
        """Before the first change a node that is no member is a mistake; then it may have to learn, or to teach."""
        membership = self._membership
        is_changed = membership.version > 1 or self._node not in membership.members
        return peer in membership.members or peer in self.seeds or is_changed
