"""Names for the things that are counted: nodes, slots, ballots.

A ballot is (round, node): rounds order ballots, the node makes two proposers' ballots differ
(Lamport, "Paxos Made Simple", section 2.2: "different proposers choose their numbers from disjoint sets").
The upper bits of a round are its *era*, which membership the ballot is of (M3); in the first era they are zero.

Each type says which numbers the log's records can hold; whoever decodes bytes from outside refuses the others.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, NewType

from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""Whatever is counted up: there is always a next one, and it fits the 8 bytes that every record has for it."""

NODE_MAX = 2**32 - 1

NodeId = NewType("NodeId", Annotated[int, Meta(ge=0, le=NODE_MAX)])
"""A member of the cluster, from 1. Its name in text is ``n1``."""

Slot = NewType("Slot", Count)
"""A place in the log, from 1. Slot 0 is "before the log": ``chosen_through == 0`` means nothing is chosen."""

BEFORE_LOG = Slot(0)


ERA_ROUNDS = 2**40
"""Rounds in one era."""


class Ballot(NamedTuple):
    """A proposer's number; compares by round, then by node."""

    round: Count
    node: NodeId

    def __str__(self) -> str:
        return f"v{self.era + 1}/{self.round % ERA_ROUNDS}.n{self.node}" if self.era else f"{self.round}.n{self.node}"

    @property
    def era(self) -> int:
        """Which membership it belongs to: the version less one (M3)."""
        return self.round // ERA_ROUNDS

    def next_for(self, node: NodeId) -> Ballot:
        """A ballot of ``node`` above this one, and above every other of this round, in the same era."""
        following = Ballot(self.round + 1, node)
        assert following.era == self.era, following  # M3: no cluster begins 2**40 ballots under one membership
        return following


BALLOT_ZERO = Ballot(0, NodeId(0))
"""Below every proposer's ballot: promised by nobody, led by nobody."""


def floor_of_era(era: int) -> Ballot:
    """Below every ballot of the era, above every one of those before it: whoever has released its Membership has
    promised this (M3)."""
    return Ballot(era * ERA_ROUNDS, NodeId(0))


def parse_ballot(text: str) -> Ballot:
    """Read what ``str`` makes of a ballot. Raises ``ValueError`` if it is none."""
    version, slash, number = text.rpartition("/")
    round_, _, node = number.partition(".n")
    digits = (version.removeprefix("v") if slash else "1", round_, node)
    is_whole = all(one.isascii() and one.isdigit() and len(one) < 20 for one in digits)
    if not is_whole or version.startswith("v") != bool(slash):
        raise ValueError(f"{text!r} is no ballot, like 17.n1 or v3/17.n1")
    return Ballot((int(digits[0]) - 1) * ERA_ROUNDS + int(round_), NodeId(int(node)))


def node_name(node: NodeId) -> str:
    """How a person reads and writes a node: ``n3``."""
    return f"n{node}"


def parse_node(text: str) -> NodeId:
    """Read ``n3``, or ``3``. Raises ``ValueError`` if it is no node's name."""
    digits = text.strip().removeprefix("n")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= len(str(NODE_MAX))
    if not is_number or not 0 < int(digits) <= NODE_MAX:
        raise ValueError(f"{text!r} is no node; write n1, n2, ...")
    return NodeId(int(digits))
