"""``python -m tests.paxos.cost``: what the core itself costs, without any I/O, codec or state machine.

Three replicas in one process, messages handed over as values, every write durable at once. Batches of 256 submissions
of 200 bytes. Printed: CPU microseconds a command, over all three cores of the cluster together.
"""

from __future__ import annotations

import random
import sys
import time
from collections import deque

import crc32c

from replog.paxos.ballot import BALLOT_ZERO, BEFORE_LOG, NodeId
from replog.paxos.effects import Effects
from replog.paxos.membership import Membership
from replog.paxos.messages import Message, TransferLeadership
from replog.paxos.options import PaxosOptions
from replog.paxos.recovered import Recovered
from replog.paxos.replica import Replica

BATCH = 256
SUBMISSION = b"x" * 200


class Trio:
    """Three replicas, a queue of messages between them, and a clock that stands still but for a millisecond a round."""

    def __init__(self) -> None:
        membership = Membership(1, (NodeId(1), NodeId(2), NodeId(3)))
        start = Recovered(BALLOT_ZERO, BEFORE_LOG, BEFORE_LOG, (), (), "", membership)
        self.now_s = 0.0
        self.replicas = {
            node: Replica(
                node=node,
                options=PaxosOptions(),
                recovered=start,
                random=random.Random(node),
                checksum=crc32c.crc32c,
                now_s=0.0,
                time_ms=0,
            )
            for node in membership.members
        }
        self.inboxes: dict[NodeId, deque[tuple[NodeId, Message]]] = {node: deque() for node in self.replicas}
        self.released = 0
        self.leader = self.replicas[NodeId(1)]
        self.leader.on_message(NodeId(2), TransferLeadership(BALLOT_ZERO))
        self.settle()
        assert self.leader.is_leading

    def settle(self) -> None:
        """Turns until nobody has anything to say."""
        is_busy = True
        while is_busy:
            is_busy = sum(self._turn(node) for node in self.replicas) > 0

    def _turn(self, node: NodeId) -> bool:
        replica, inbox = self.replicas[node], self.inboxes[node]
        replica.tick(self.now_s, 0)
        while inbox:
            replica.on_message(*inbox.popleft())
        return self._obey(node, replica.take_effects())

    def _obey(self, node: NodeId, effects: Effects) -> bool:
        for outbound in effects.send:
            self.inboxes[outbound.target].append((node, outbound.message))
        for outbound in effects.send_after_write:
            self.inboxes[outbound.target].append((node, outbound.message))
        self.released += len(effects.release)
        if effects.ticket:
            self.replicas[node].on_written(effects.ticket)
        return bool(effects.ticket or effects.send or effects.release)

    def order(self) -> None:
        """One batch from its submissions to its release on all three."""
        submit = self.leader.submit
        for _ in range(BATCH):
            assert submit(SUBMISSION) is None
        self.now_s += 0.001
        self.settle()


def measure(batches: int) -> float:
    """CPU microseconds a command."""
    trio = Trio()
    for _ in range(200):
        trio.order()
    released = trio.released
    began_s = time.process_time()
    for _ in range(batches):
        trio.order()
    seconds = time.process_time() - began_s
    assert trio.released - released >= 2 * batches
    return seconds * 1e6 / (batches * BATCH)


def main() -> int:
    """Print the best and the median of five runs."""
    runs = sorted(measure(2_000) for _ in range(5))
    print(f"core, {BATCH} commands a batch, 3 replicas, no I/O: {runs[0]:.2f} us a command (median {runs[2]:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
