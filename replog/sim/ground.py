"""What faults strike, and for how long.

Never: decide what is done to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection

from ..paxos.ballot import NodeId, node_name
from ..paxos.membership import Membership
from .host import Host
from .network import Network
from .world import World

ASKED_S = 0.5
"""A slow process reads what it is asked so late."""


class Ground:
    """The hosts and links of one life, and the draws of its faults."""

    def __init__(self, world: World, network: Network, hosts: dict[NodeId, Host], membership: Membership) -> None:
        self.world = world
        self.network = network
        self.hosts = hosts
        self._checker = next(iter(hosts.values())).checker
        self.has_changes = len(hosts) > len(membership.members)
        """There are nodes that may become members."""
        self.random = world.stream("faults")
        self.is_over = False
        """Nothing strikes any more, and what would be undone later has been."""
        self._asked: list[tuple[float, Membership]] = []
        self.count: Counter[str] = Counter()
        """Faults that struck, by kind."""

    @property
    def membership(self) -> Membership:
        """The newest that anybody has released."""
        return self._checker.members.newest

    def is_quorum(self, nodes: set[NodeId]) -> bool:
        """Whether ``nodes`` can go on by themselves, whichever membership they know."""
        return all(membership.is_quorum(nodes) for membership in self._checker.members.in_sight)

    def on_asked(self, voters: Collection[NodeId]) -> None:
        """Somebody is asked to let these vote, and may hear it after a while."""
        self._asked.append((self.world.now_s, Membership(1, tuple(sorted(voters)))))

    def may_be_left(self, nodes: set[NodeId]) -> bool:
        """Whether ``nodes`` could go on by themselves, too, where what was asked a moment ago comes true."""
        self._asked = [one for one in self._asked if one[0] >= self.world.now_s - ASKED_S]
        return all(asked.is_quorum(nodes) for _, asked in self._asked)

    def some_host(self) -> Host:
        return self.hosts[self.random.choice(tuple(self.hosts))]

    def some_pair(self) -> list[tuple[NodeId, NodeId]]:
        """Some link, in both directions; a cluster of one has none."""
        members = tuple(self.hosts)
        if len(members) < 2:
            return []
        one, other = self.random.sample(members, 2)
        return [(one, other), (other, one)]

    def leading(self) -> list[Host]:
        return [host for host in self.hosts.values() if host.replica is not None and host.replica.is_leading]

    def while_s(self) -> float:
        """How long something lasts: mostly short, now and then long."""
        return self.random.choice((0.02, 0.1, 0.4, 1.5)) * (0.5 + self.random.random())

    def after(self, delay_s: float, act: Callable[..., None], *arguments: object) -> None:
        """Undo a fault later, unless the end has come before."""
        self.world.after(delay_s, self._unless_over, act, arguments)

    def _unless_over(self, act: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if not self.is_over:
            act(*arguments)

    def restart(self, host: Host) -> None:
        if not host.is_up:
            self.world.say(f"-- {node_name(host.node)} starts again")
            host.start()
