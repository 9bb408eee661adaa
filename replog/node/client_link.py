"""What is asked of a client's link, and of the node that serves it.

Never: decide anything.
"""

from __future__ import annotations

from typing import Protocol

from ..paxos.ballot import NodeId, Slot


class ClientLink(Protocol):
    """One client's link: ``wire.link.Link``, or the simulator's."""

    number: int
    bytes_received: int

    @property
    def is_closed(self) -> bool: ...

    @property
    def unsent_bytes(self) -> int: ...

    @property
    def write_buffer_bytes_max(self) -> int: ...

    @property
    def peer_address(self) -> str: ...

    def write(self, frame: bytes) -> bool: ...

    def close(self) -> None: ...


class NodePosition(Protocol):
    """What is asked of the node's position."""

    @property
    def applied_through(self) -> Slot: ...

    @property
    def compacted_through(self) -> Slot: ...

    def leader_address(self) -> tuple[NodeId, str]:
        """Who leads and where clients reach it; (0, "") if it is unknown."""
