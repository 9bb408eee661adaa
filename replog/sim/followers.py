"""Simulated followers of the log: what one is told is the chosen log, slot after slot, without a gap.

A follower reads at one node after the other and asks for more as it takes what it is given. Where a node has let go of
the slot that is next, it goes on above that node's floor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..paxos.ballot import NodeId, Slot, node_name
from ..wire.client_messages import Entries, Follow, LogEntry, NodeMessage
from .checkers import ProtocolChecker, Violation, ViolationFound
from .clients import ClientGroup
from .host import Host
from .world import World

FIRST_NUMBER = 1_000_000
"""Clients are numbered below it."""
DELAY_S = 0.0003
PATIENCE_S = 0.3


class Audience:
    """Everybody who is told something: clients and strangers by their numbers, followers by that of their link."""

    def __init__(self, clients: ClientGroup) -> None:
        self._clients = clients
        self._receivers: list[Callable[[NodeId, NodeMessage], None]] = []

    def add(self, receive: Callable[[NodeId, NodeMessage], None]) -> int:
        """A number for somebody new."""
        self._receivers.append(receive)
        return FIRST_NUMBER + len(self._receivers) - 1

    def deliver(self, client: int, node: NodeId, message: NodeMessage) -> None:
        """An answer travels back (``host.Clients``)."""
        if client < FIRST_NUMBER:
            self._clients.deliver(client, node, message)
        else:
            self._receivers[client - FIRST_NUMBER](node, message)


class Follower:
    """Reads the log as it grows."""

    def __init__(
        self, number: int, world: World, hosts: dict[NodeId, Host], audience: Audience, checker: ProtocolChecker
    ) -> None:
        self._world = world
        self._hosts = hosts
        self._audience = audience
        self._checker = checker
        self._random = world.stream(f"follower {number}")
        self._credit_max = self._random.choice((1, 7, 1024))
        self._credit = 0
        self._client = 0
        self._node = self._random.choice(sorted(hosts))
        self._heard_at_s = 0.0
        self.next_slot = Slot(1)
        self.count: Counter[str] = Counter()
        """What happened to it, by kind."""

    def start(self) -> None:
        self._connect()
        self._watch()

    def reach_only(self, nodes: set[NodeId]) -> None:
        """From here on only these nodes can be reached."""
        self._hosts = {node: host for node, host in self._hosts.items() if node in nodes}
        self._move()

    def has_seen(self, last: Slot) -> bool:
        """Whether it has read up to ``last``, or nobody whom it reaches can read what comes next: all copies that the
        log still has of it are damaged."""
        return self.next_slot > last or not any(
            host.disk.is_intact(self.next_slot) or host.disk.compacted_through >= self.next_slot
            for host in self._hosts.values()
        )

    def _watch(self) -> None:
        """Whoever is silent although there is more may be gone, or behind."""
        is_silent = self._world.now_s - self._heard_at_s > PATIENCE_S
        if is_silent and self.next_slot <= self._checker.chosen_through:
            self.count["follower_moved"] += 1
            self._move()
        self._world.after(PATIENCE_S * (0.5 + self._random.random()), self._watch)

    def _move(self) -> None:
        self._node = self._random.choice(sorted(self._hosts))
        self._connect()

    def _connect(self) -> None:
        for host in self._hosts.values():
            host.lose_client(self._client)
        self._client = client = self._audience.add(lambda _, message: self._later(client, message))
        self._heard_at_s = self._world.now_s
        self._credit = 0
        host = self._hosts[self._node]
        if host.is_up and not host.is_foreign:
            self._ask(host, self._credit_max)

    def _ask(self, host: Host, more: int) -> None:
        """So many may be under way beside those that are."""
        self._credit += more
        host.receive_client(self._client, Follow(self.next_slot, more))

    def _later(self, client: int, message: NodeMessage) -> None:
        self._world.after(DELAY_S, self._receive, client, message)

    def _receive(self, client: int, message: NodeMessage) -> None:
        if client != self._client:
            return  # over a link that it has given up
        if not isinstance(message, Entries):
            raise ViolationFound(Violation("a follower sees the log", f"a follower was told {message!r}"))
        self._heard_at_s = self._world.now_s
        if not message.entries:
            self._begin_anew(message.compacted_through)
            return
        for entry in message.entries:
            self._take(entry)
        host = self._hosts[self._node]
        if not host.is_linked(client):
            self._connect()
        else:
            self._ask(host, len(message.entries))  # what it has taken: the node may have promised less

    def _begin_anew(self, compacted_through: Slot) -> None:
        if compacted_through < self.next_slot:
            what = f"slot {self.next_slot} is gone, as the log is compacted through {compacted_through}"
            raise ViolationFound(Violation("a follower sees the log", f"{node_name(self._node)} says that {what}"))
        self.count["follower_began_anew"] += 1
        self.next_slot = Slot(compacted_through + 1)
        self._connect()

    def _take(self, entry: LogEntry) -> None:
        """The next slot, as it was chosen."""
        self._credit -= 1
        if entry.slot != self.next_slot or self._checker.chosen.get(entry.slot) != entry.value or self._credit < 0:
            wanted = f"slot {self.next_slot} was next, {self._credit + 1} were asked for"
            raise ViolationFound(
                Violation("a follower sees the log", f"{node_name(self._node)} tells slot {entry.slot}; {wanted}")
            )
        self.next_slot = Slot(self.next_slot + 1)
