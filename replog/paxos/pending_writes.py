"""The ledger of writes: which ticket holds which records, and what waits for it.

It knows nothing of the protocol. It keeps the second half of P1's promise: what rests on a write that is under way,
without being part of it, is held here until that write is durable; and one's own vote waits like anybody's.
"""

from __future__ import annotations

from collections import deque

import msgspec

from .ballot import NodeId
from .effects import LogWrite
from .messages import AcceptedSlot, Message, Outbound
from .outbox import Outbox


class Written(msgspec.Struct):
    """What becomes true when a ticket's write is durable."""

    ticket: int
    asked_at_s: float
    records: tuple[AcceptedSlot, ...]
    local: list[Message]
    held: list[Outbound]


class PendingWrites:
    """Writes handed out and not yet durable, oldest first."""

    def __init__(self, node: NodeId) -> None:
        self._node = node
        self._ticket = 0
        self._under_way: deque[Written] = deque()

    @property
    def is_settled(self) -> bool:
        """Whether everything handed out is durable."""
        return not self._under_way

    def oldest_age_s(self, now_s: float) -> float:
        """How long the oldest write has been under way."""
        return now_s - self._under_way[0].asked_at_s if self._under_way else 0.0

    def enter(self, outbox: Outbox, now_s: float) -> tuple[int, LogWrite | None, list[Outbound]]:
        """Close the turn's books: its ticket (or 0), its write, and what the driver sends when that is durable."""
        needs_write = bool(outbox.records) or outbox.needs_write
        if not needs_write and not outbox.after_write:
            return 0, None, []
        peers = [outbound for outbound in outbox.after_write if outbound.target != self._node]
        local = [outbound.message for outbound in outbox.after_write if outbound.target == self._node]
        if needs_write:
            write = outbox.take_write()
            self._ticket += 1
            self._under_way.append(Written(self._ticket, now_s, write.slots, local, []))
            return self._ticket, write, peers
        if self._under_way:
            # Nothing new is written, but these rest on writes that are still under way (P1).
            self._under_way[-1].held.extend(peers)
            self._under_way[-1].local.extend(local)
        else:
            assert not local, local
            outbox.sends.extend(peers)
        return 0, None, []

    def check_invariants(self) -> None:
        """What holds between two inputs: tickets rise and are not handed out yet above the last, times don't fall."""
        if not self._under_way:
            return
        tickets = [written.ticket for written in self._under_way]
        assert tickets == sorted(set(tickets)), tickets
        assert tickets[-1] == self._ticket, (tickets, self._ticket)
        times = [written.asked_at_s for written in self._under_way]
        assert times == sorted(times), times

    def settle(self, ticket: int) -> list[Written]:
        """Every write up to ``ticket`` is durable: what they were, in order."""
        settled: list[Written] = []
        while self._under_way and self._under_way[0].ticket <= ticket:
            settled.append(self._under_way.popleft())
        return settled
