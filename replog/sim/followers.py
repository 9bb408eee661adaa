"""Simulated followers of the log: what one is told is the chosen log, slot after slot, without a gap.

A follower reads at one node after the other and asks for more as it takes what it is given. Where a node has let go of
the slot that is next, it goes on above that node's floor.
"""

from __future__ import annotations

from collections import Counter

from ..paxos.ballot import NodeId, Slot, node_name
from ..wire.client_messages import Entries, Follow, LogEntry, NodeMessage, Pong
from .checkers import ProtocolChecker, Violation, ViolationFound
from .client_links import ClientLink, LinkWeather
from .host import Host
from .world import World

DELAY_S = 0.0003
PATIENCE_S = 0.3


class Follower:
    """Reads the log as it grows; satisfies ``client_links.LinkUser``."""

    def __init__(
        self, number: int, world: World, hosts: dict[NodeId, Host], weather: LinkWeather, checker: ProtocolChecker
    ) -> None:
        self._world = world
        self._hosts = hosts
        self._weather = weather
        self._checker = checker
        self._random = world.stream(f"follower {number}")
        self._credit_max = self._random.choice((1, 7, 1024))
        self._credit = 0
        self.link: ClientLink | None = None
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
        if self.link is not None:
            self.link.close()
            self.link = None
        self._heard_at_s = self._world.now_s
        self._credit = 0
        host = self._hosts[self._node]
        if host.is_up and not host.is_foreign:
            self.link = ClientLink(self._world, self._weather, self._random, self.count, host, self)

    def _ask(self, link: ClientLink, more: int) -> None:
        """So many may be under way beside those that are."""
        self._credit += more
        link.send([Follow(self.next_slot, more)])

    # --- ``client_links.LinkUser`` ---

    def on_greeted(self, link: ClientLink) -> None:
        """The node can be asked."""
        if link is self.link:
            self._ask(link, self._credit_max)

    def on_lost(self, link: ClientLink) -> None:
        """At the same node, over another link."""
        if link is self.link:
            self._world.after(DELAY_S, self._connect)

    def on_frame(self, link: ClientLink, messages: list[NodeMessage]) -> None:
        """What a node tells of the log."""
        for message in messages:
            if link is self.link and not isinstance(message, Pong):
                self._receive(link, message)

    def _receive(self, link: ClientLink, message: NodeMessage) -> None:
        if not isinstance(message, Entries):
            raise ViolationFound(Violation("a follower sees the log", f"a follower was told {message!r}"))
        self._heard_at_s = self._world.now_s
        if not message.entries:
            self._begin_anew(message.compacted_through)
            return
        for entry in message.entries:
            self._take(entry)
        self._ask(link, len(message.entries))  # what it has taken: the node may have promised less

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
