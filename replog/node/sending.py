"""What leaves for the peers, and when: at once, a moment later, or only when the write that it rests on is durable.

Rule protected: what rests on a write leaves after it (P1, PITFALLS 1).

Never: change what is said, or the order in which one peer hears it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from ..paxos.ballot import NodeId
from ..paxos.effects import Effects, LogWrite
from ..paxos.messages import Message, Outbound
from ..paxos.outbox import Size
from ..paxos.replica import Replica
from .ports import PeerPort
from .settings import NodeOptions
from .thrifty import KEPT_MESSAGES_MAX, Thrifty

LONE_COMMAND_BYTES = 512


class Sending:
    """One frame a peer and turn."""

    def __init__(self, replica: Replica, peers: PeerPort, options: NodeOptions) -> None:
        self._replica = replica
        self._peers = peers
        self._now_s = 0.0
        self._held: deque[tuple[int, list[Outbound]]] = deque()
        self.connected: set[NodeId] = set()
        self.thrifty = Thrifty(
            options.thrift_s,
            peers.send,
            lambda slot: slot <= replica.chosen_through,
        )

    def on_time(self, now_s: float) -> None:
        self._now_s = now_s
        if now_s >= self.thrifty.due_s:
            self.thrifty.send_due(now_s)

    def sizes(self) -> list[Size]:
        """What is held is about slots that a disk writes, at a ballot or two; what is kept leaves within a moment."""
        options = self._replica.options
        held = sum(len(outbounds) for _, outbounds in self._held)
        return [
            Size("messages held for a write", held, 4 * options.open_slots_max),
            Size("messages kept for a spared peer", self.thrifty.kept_count, 2 * KEPT_MESSAGES_MAX),
        ]

    def send_beside(self, effects: Effects) -> bool:
        """Send what may leave beside the write, and hold what rests on it; whether the write is about a lone command
        of a leader."""
        write = effects.write
        assert write is not None
        is_lone = self._replica.is_leading and _is_lone(write)
        if effects.send:
            self.send(effects.send, self._spared(write) if is_lone else ())
        if effects.send_after_write:
            self._held.append((effects.ticket, effects.send_after_write))
        return is_lone

    def let_go(self, ticket: int) -> None:
        """Everything written up to ``ticket`` is durable."""
        held = self._held
        if not held or held[0][0] > ticket:
            return
        ready: list[Outbound] = []
        while held and held[0][0] <= ticket:
            ready += held.popleft()[1]
        self.send(ready)

    def send(self, outbounds: Iterable[Outbound], spared: Collection[NodeId] = ()) -> None:
        """One frame a peer; those to ``spared`` peers a moment later."""
        messages: dict[NodeId, list[Message]] = {}
        for outbound in outbounds:
            messages.setdefault(outbound.target, []).append(outbound.message)
        for peer, batch in messages.items():
            if peer in spared:
                self.thrifty.keep(peer, batch)
            else:
                self._peers.send(peer, self.thrifty.with_kept(peer, batch))

    def _spared(self, write: LogWrite) -> Collection[NodeId]:
        """Whom a lone command need not reach at once."""
        membership = self._replica.membership
        reachable = self.connected.intersection(membership.voters)
        return self.thrifty.spare(write.slots[0].slot, reachable, membership.quorum_count - 1, self._now_s)


def _is_lone(write: LogWrite) -> bool:
    """Whether a leader's write is about one command, so that nothing is gained by gathering more beside it."""
    return write.promise is None and len(write.slots) == 1 and len(write.slots[0].value) <= LONE_COMMAND_BYTES
