"""What a node does about its members beside the core: it tells a change where they are, and links follow what it says.

Never: decide who is a member.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..paxos.ballot import NodeId
from ..paxos.effects import NoChange
from ..paxos.membership import Member
from ..paxos.replica import Replica
from .events import ChangeMembers
from .ports import PeerPort
from .reach import Reach
from .sending import Sending


class Following:
    """One node's members, as its driver sees them."""

    def __init__(self, replica: Replica, seeds: Mapping[NodeId, str], peers: PeerPort, sending: Sending) -> None:
        self._replica = replica
        self._peers = peers
        self._sending = sending
        self.reach = Reach(replica.node, seeds, replica.membership)
        self._tell()

    def change(self, asked: ChangeMembers, *, is_dry_run: bool = False) -> NoChange | None:
        """A change says where every member is: where the log does not yet, it is as this node knows it.

        Returns why it is refused, or None.
        """
        told = {member.node for member in (*self._replica.membership.described, *asked.described) if member.address}
        seeds = [Member(node, address) for node, address in self.reach.addresses.items() if address]
        described = [*(member for member in seeds if member.node not in told), *asked.described]
        return self._replica.change_members(
            asked.voters, asked.learners, asked.if_version, described, is_dry_run=is_dry_run
        )

    def on_changed(self) -> None:
        """Who is reached where is what the newest membership says."""
        self.reach.follow(self._replica.membership)
        self._tell()

    def _tell(self) -> None:
        self._sending.thrifty.follow(node for node in self.reach.addresses if node != self._replica.node)
        self._peers.follow(self.reach.ways)
