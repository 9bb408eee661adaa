"""Everything that can happen to a node, as data: what ``Driver.put`` takes, and all of it.

An event says what happened outside: on a link, on a disk, on the clock of whoever stops the node. Since each is a
value, a node's life can be printed, recorded and lived again, and the simulator and production can't differ in what
they tell the driver.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..paxos.ballot import NodeId, Slot
from ..paxos.membership import Member
from ..paxos.messages import AcceptedSlot, Message
from ..wire.client_messages import ClientMessage
from .state_jobs import Job


class PeerOpened(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """A link to a peer is greeted and in use."""

    peer: NodeId


class PeerClosed(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """The link to a peer is gone."""

    peer: NodeId


class PeerMessages(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """What one frame of a peer holds, checked."""

    peer: NodeId
    messages: list[Message]


class ClientOpened(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """A client's link is greeted; ``client`` is its number, never used again."""

    client: int


class ClientClosed(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """A client's link is gone."""

    client: int


class ClientMessages(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """What one frame of a client holds, checked."""

    client: int
    messages: list[ClientMessage]


class ClientsLookedAt(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """It is time to let go of clients that have been silent for too long."""


class LinkDrained(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """A client's link has taken all that was kept for it: there may be more to say."""

    client: int


class Written(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """The writes up to ``ticket`` are durable."""

    ticket: int


class Compacted(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """Slots up to ``through`` have left the log."""

    through: Slot


class FloorInstalled(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """The log begins above ``through``, durably: the end of an install."""

    through: Slot


class SlotsRead(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """Old slots for a peer; none if the first one can't be read."""

    target: NodeId
    slots: list[AcceptedSlot]


class SlotDamaged(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """A record of the log fails its checksum."""

    slot: Slot


class LogFull(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """The log's disk has room for nothing new, or has it again."""

    is_full: bool


class StateJobDone(msgspec.Struct, frozen=True):
    """The state's thread has finished a job: with a result, or with an error."""

    job: Job
    result: Any
    error: Exception | None


class HandOver(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """The node is to stop: somebody else should lead."""


class ChangeMembers(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """Somebody asks for other members; see ``Replica.change_members``."""

    voters: tuple[NodeId, ...]
    learners: tuple[NodeId, ...]
    if_version: int | None = None
    described: tuple[Member, ...] = ()


class StopApplying(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """The node is about to stop: nothing more is applied, and what is applied becomes durable."""


Event = (
    PeerOpened
    | PeerClosed
    | PeerMessages
    | ClientOpened
    | ClientClosed
    | ClientMessages
    | ClientsLookedAt
    | LinkDrained
    | Written
    | Compacted
    | FloorInstalled
    | SlotsRead
    | SlotDamaged
    | LogFull
    | StateJobDone
    | HandOver
    | ChangeMembers
    | StopApplying
)
