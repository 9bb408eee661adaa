"""Who votes. Every quorum question in the project is asked here and nowhere else.

Rule protected: two quorums of one membership share a voter (P5 rests on it), so a quorum is a strict
majority of the *voters*, never of the nodes that happened to answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from .ballot import NodeId

ADDRESS_CHARACTERS_MAX = 320
"""A name of 253 characters with its brackets and its port fits, with room to spare."""
INCARNATION_BYTES_MAX = 16


class Member(msgspec.Struct, array_like=True, frozen=True):
    """What the log says of one member beside its vote.

    Parameters
    ----------
    node: whom.
    address: where the others and clients reach it, ``host:port``; empty: each node's configuration says it.
    incarnation: of its data directory; empty: whichever was met first (P9). Once told it never changes: another
        directory joins under another id (M7).
    """

    node: NodeId
    address: str = ""
    incarnation: bytes = b""


class Membership(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """A versioned set of voters and non-voting learners; it is itself a value in the log.

    Parameters
    ----------
    version: counts changes, from 1: one is effective only in the place of the version before it (``follows``).
    voters: node ids that promise and accept, ascending.
    learners: node ids that learn and apply without a vote, ascending.
    next_node: the lowest id that was never used; 0 before the first change, when it is the one above all members.
    described: members of whom an address or an incarnation is known, ascending.
    """

    version: int
    voters: tuple[NodeId, ...]
    learners: tuple[NodeId, ...] = ()
    next_node: NodeId = NodeId(0)
    described: tuple[Member, ...] = ()

    def __post_init__(self) -> None:
        if self.version < 1:
            raise ValueError(f"membership version {self.version} is below 1")
        if not self.voters:
            raise ValueError("a membership needs at least one voter")
        if list(self.voters) != sorted(set(self.voters)) or list(self.learners) != sorted(set(self.learners)):
            raise ValueError(f"members must be ascending and distinct: {self.voters} / {self.learners}")
        if set(self.voters) & set(self.learners):
            raise ValueError("a node is either a voter or a learner")
        if self.next_node and self.next_node <= max(self.members):
            raise ValueError(f"n{self.next_node} was never used, and n{max(self.members)} is a member")
        self._check_described()

    def _check_described(self) -> None:
        nodes = [member.node for member in self.described]
        if nodes != sorted(set(nodes)) or not set(nodes) <= set(self.members):
            raise ValueError(f"members described must be members, ascending and distinct: {nodes}")
        for member in self.described:
            if len(member.address) > ADDRESS_CHARACTERS_MAX:
                raise ValueError(f"the address of n{member.node} has more than {ADDRESS_CHARACTERS_MAX} characters")
            if len(member.incarnation) > INCARNATION_BYTES_MAX:
                raise ValueError(f"the incarnation of n{member.node} has more than {INCARNATION_BYTES_MAX} bytes")

    @property
    def quorum_count(self) -> int:
        """How many voters make a quorum."""
        return len(self.voters) // 2 + 1

    @property
    def era(self) -> int:
        """The era of the ballots that this membership counts (M3)."""
        return self.version - 1

    @property
    def unused_from(self) -> NodeId:
        """Ids from here on were never used: whoever loses its disk comes back under one of them (M8, P9)."""
        return self.next_node or NodeId(max(self.members) + 1)

    def follows(self, other: Membership) -> bool:
        """Compare-and-set, decided by the order of the log: whether this one, released under ``other``, is effective.

        One of the same version is a barrier, or came second; any other was meant for another time. Neither has an
        effect.
        """
        return self.version == other.version + 1

    @property
    def members(self) -> tuple[NodeId, ...]:
        """Voters and learners, ascending."""
        return tuple(sorted(self.voters + self.learners))

    def described_as(self, node: NodeId) -> Member:
        """What the log says of a member; nothing, where it says nothing."""
        return next((member for member in self.described if member.node == node), Member(node))

    def is_voter(self, node: NodeId) -> bool:
        return node in self.voters

    def is_quorum(self, nodes: Collection[NodeId]) -> bool:
        """Whether ``nodes`` contain a strict majority of the voters; learners and strangers do not count."""
        if len(nodes) < self.quorum_count:
            return False
        return len([voter for voter in self.voters if voter in nodes]) >= self.quorum_count


def joined(current: Iterable[Member], told: Iterable[Member], members: Collection[NodeId]) -> tuple[Member, ...]:
    """What is known of ``members`` once ``told`` is: what is told anew stands in the place of what was known."""
    found = {member.node: member for member in current}
    for member in told:
        known = found.get(member.node, member)
        found[member.node] = Member(
            member.node, member.address or known.address, member.incarnation or known.incarnation
        )
    return tuple(found[node] for node in sorted(found) if node in members and found[node] != Member(node))


def newest(known: Membership, other: Membership | None) -> Membership:
    """Which of two that are known chosen is in force."""
    return known if other is None or other.version <= known.version else other
