"""What one turn has gathered so far; the roles write into it, ``Replica.take_effects`` empties it.

It knows nothing of the protocol. It keeps one promise: what rests on a write is never handed out before that
write (P1). A message to the node itself takes the same road as one to a peer, but never leaves the core.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from .ballot import Ballot, NodeId, Slot
from .effects import (
    Effects,
    LogWrite,
    Notice,
    NoticeKind,
    ReadReady,
    ReadSlots,
    ReceivedChunk,
    SendChunk,
)
from .membership import Membership
from .messages import AcceptedSlot, Message, Outbound


class Size(msgspec.Struct, frozen=True, gc=False):
    """How much of something a role keeps in memory, and how much that may ever be."""

    what: str
    count: int
    count_max: int


class Outbox:
    """The gathered effects of one turn, mutable, reused turn after turn."""

    def __init__(self, node: NodeId, membership_version: int = 0) -> None:
        self.node = node
        self._membership_version = membership_version
        self.local: deque[Message] = deque()
        """Messages to oneself that rest on nothing; the replica handles them before the turn ends."""
        self.chosen_through: Slot | None = None
        """Waits for a write to go with, over turns that have none."""
        self.clear()

    def clear(self) -> None:
        self.sends: list[Outbound] = []
        self.after_write: list[Outbound] = []
        self.promise: Ballot | None = None
        self.membership: Membership | None = None
        self.records: list[AcceptedSlot] = []
        self.release: list[AcceptedSlot] = []
        self.reads: list[ReadReady] = []
        self.reads_refused: list[int] = []
        self.slot_reads: list[ReadSlots] = []
        self.chunks_to_send: list[SendChunk] = []
        self.chunks_received: list[ReceivedChunk] = []
        self.notices: list[Notice] = []

    def send(self, target: NodeId, message: Message) -> None:
        """Send something that promises nothing; to oneself it arrives within the turn."""
        if target == self.node:
            self.local.append(message)
        else:
            self.sends.append(Outbound(target, message))

    def send_after_write(self, target: NodeId, message: Message) -> None:
        """Send once everything written up to and in this turn is durable (P1)."""
        self.after_write.append(Outbound(target, message))

    def store_promise(self, promise: Ballot) -> None:
        assert self.promise is None or promise > self.promise, (promise, self.promise)
        self.promise = promise

    def store(self, record: AcceptedSlot) -> None:
        self.records.append(record)

    def store_chosen_through(self, chosen_through: Slot) -> None:
        self.chosen_through = max(self.chosen_through or chosen_through, chosen_through)

    def store_membership(self, membership: Membership) -> None:
        """Remember it, if it is newer than all before, with what says that its slot is chosen or soon after it."""
        if membership.version > self._membership_version:
            self._membership_version = membership.version
            self.membership = membership

    def notice(self, kind: NoticeKind, **facts: Any) -> None:
        self.notices.append(Notice(kind, facts))

    def take(self, ticket: int, write: LogWrite | None, after_write: list[Outbound], deadline_s: float) -> Effects:
        """All of it as one value; the next turn begins with nothing."""
        effects = Effects(
            ticket=ticket,
            send=self.sends,
            write=write,
            send_after_write=after_write,
            release=self.release,
            reads=self.reads,
            reads_refused=self.reads_refused,
            slot_reads=self.slot_reads,
            chunks_to_send=self.chunks_to_send,
            chunks_received=self.chunks_received,
            notices=self.notices,
            deadline_s=deadline_s,
        )
        self.clear()
        return effects

    @property
    def needs_write(self) -> bool:
        """A new chosen_through alone is only a hint and waits for the next write."""
        return bool(self.records) or self.promise is not None or self.membership is not None

    def take_write(self) -> LogWrite:
        write = LogWrite(self.promise, tuple(self.records), self.chosen_through, self.membership)
        self.chosen_through = None
        return write
