"""Who is let in over a link, and what a node says of itself to whoever greets it.

Never: trust what a greeting says beyond what it proves.
"""

from __future__ import annotations

from typing import Protocol

from ..apply.machine_terms import difference, machine_terms
from ..apply.submissions import ENVELOPE_BYTES
from ..log.contract import Identity
from ..paxos.ballot import NodeId, node_name
from ..wire.codec import Hello, Welcome
from .reach import Reach
from .settings import ReplicaConfig


class PeerMemory(Protocol):
    """Remembers which peers were met."""

    def refusal_of(self, node: NodeId, incarnation: bytes) -> str: ...


class Admission:
    """The door of one node."""

    def __init__(self, identity: Identity, config: ReplicaConfig, memory: PeerMemory, reach: Reach) -> None:
        self._identity = identity
        self._config = config
        self._terms = machine_terms(config.sessions)
        self._memory = memory
        self._reach = reach

    def refusal_of(self, hello: Hello) -> str:
        """Empty, or the reason why whoever says this hello is refused."""
        own = self._identity
        if not hello.node and not hello.cluster:
            return ""
        if hello.cluster != own.cluster:
            return (
                f"{node_name(own.node)} belongs to cluster {own.cluster.hex()}, not {hello.cluster.hex()}; "
                "one of the two has a wrong address"
            )
        if not hello.node:
            return ""
        peer = NodeId(hello.node)
        refusal = self._reach.refusal_of(peer, hello.incarnation)
        if refusal:
            return refusal
        differs = difference(self._terms, hello.terms)
        if differs:
            return (
                f"{node_name(peer)} and {node_name(own.node)} would make different states of one log: {differs}; run "
                "the same release, the same Python and the same [sessions] on all members"
            )
        return self._memory.refusal_of(peer, hello.incarnation)

    def welcome(self, refusal: str) -> Welcome:
        """What to answer to a hello."""
        own, config = self._identity, self._config
        return Welcome(
            own.cluster,
            own.node,
            own.incarnation,
            refusal,
            tuple((node, address) for node, address in self._reach.addresses.items() if address),
            min(config.node.command_bytes_max + ENVELOPE_BYTES, config.paxos.batch_bytes_max),
            self._terms,
        )
