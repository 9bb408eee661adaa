"""Names for the things that are counted: nodes, slots, ballots.

A ballot is (round, node): rounds order ballots, the node makes two proposers' ballots differ
(Lamport, "Paxos Made Simple", section 2.2: "different proposers choose their numbers from disjoint sets").

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


class Ballot(NamedTuple):
    """A proposer's number; compares by round, then by node."""

    round: Count
    node: NodeId

    def __str__(self) -> str:
        return f"{self.round}.n{self.node}"

    def next_for(self, node: NodeId) -> Ballot:
        """A ballot of ``node`` above this one, and above every other of this round."""
        return Ballot(self.round + 1, node)


BALLOT_ZERO = Ballot(0, NodeId(0))
"""Below every proposer's ballot: promised by nobody, led by nobody."""


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
