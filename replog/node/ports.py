"""What the driver asks of the world around it. What takes time is answered by an event (``events``).

Production has threads, sockets and disks behind these; the simulator has weather.

Never: decide anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from ..paxos.ballot import NodeId, Slot
from ..paxos.effects import LogWrite, ReadSlots
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot, Message
from .client_link import ClientLink
from .reach import Way
from .state_jobs import Job


class LogPort(Protocol):
    """The log, as the driver sees it. What takes time is answered by an event."""

    def write(self, ticket: int, write: LogWrite, *, may_wait: bool) -> bool:
        """Make a turn's write durable, after those before it: ``Written``, unless it is durable already (True).

        ``may_wait``: this node has nothing better to do than to wait for a fast disk.
        """

    def read(self, first: Slot, last: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        """Slots to apply or to show to a client, at once. Raises ``Damaged``."""

    def read_for_peer(self, asked: ReadSlots) -> None:
        """``SlotsRead``, and before it ``SlotDamaged`` where the first one is."""

    def compact(self, through: Slot) -> None:
        """Slots up to ``through`` may go, but for those that are retained: ``Compacted``."""

    def install_floor(self, through: Slot, membership: Membership) -> None:
        """Drop everything up to ``through`` and remember it as the floor: ``FloorInstalled``."""


class StatePort(Protocol):
    """Whoever performs jobs on the state's disk."""

    def perform(self, job: Job) -> None:
        """``StateJobDone``; one job at a time is asked for."""


class PeerPort(Protocol):
    """Links to the peers."""

    def send(self, peer: NodeId, messages: list[Message]) -> None:
        """All messages of a turn to one peer; a peer that is away gets nothing."""

    def bytes_received(self, peer: NodeId) -> int:
        """What has come over the link to this peer so far, whole messages or not; -1 if there is no link."""

    def reset(self, peer: NodeId) -> None:
        """Close the link to this peer, whatever the other end says or does: ``PeerClosed``. It is made anew."""

    def follow(self, ways: Mapping[NodeId, Way]) -> None:
        """Keep links to these from here on. To others none is begun; one that stands lasts until an end closes it."""


class ClientPort(Protocol):
    """Links of clients."""

    def find(self, client: int) -> ClientLink | None:
        """The link of this number, if it is open."""


@attrs.frozen(kw_only=True)
class Ports:
    """All of them."""

    log: LogPort
    state: StatePort
    peers: PeerPort
    clients: ClientPort
