"""What is done to links between nodes: cut in one direction or both, in every pattern, for a while."""

from __future__ import annotations

from collections.abc import Callable

from ..paxos.ballot import NodeId
from .ground import Ground


class LinkFaults:
    """Each strikes once when it is called, and says whether there was anything to strike."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._network = ground.network
        self._hosts = ground.hosts
        self._random = ground.random
        self.kinds: dict[str, Callable[[], bool]] = {
            "partition": self._partition,
            "one_way_cut": self._one_way_cut,
            "isolate_one_link": self._partial_cut,
            "chain": self._chain,
            "flap": self._flap,
            "unheard_leader": self._unheard_leader,
        }
        self.lasting: dict[str, Callable[[], bool]] = {"black_hole": self._black_hole}
        """Not ended by time, nor when the faults are: only by whoever uses the link."""

    def _cut(self, sender: NodeId, target: NodeId) -> None:
        self._network.cut(sender, target)
        self._network.say_cut(sender, target, is_cut=True)

    def _cut_for_a_while(self, pairs: list[tuple[NodeId, NodeId]]) -> bool:
        for sender, target in pairs:
            self._cut(sender, target)
        self._ground.after(self._ground.while_s(), self._heal, pairs)
        return bool(pairs)

    def _heal(self, pairs: list[tuple[NodeId, NodeId]]) -> None:
        for sender, target in pairs:
            self._network.heal(sender, target)
            self._network.say_cut(sender, target, is_cut=False)

    def _partition(self) -> bool:
        members = tuple(self._hosts)
        side = {node for node in members if self._random.random() < 0.5}
        return self._cut_for_a_while(
            [(one, other) for one in members for other in members if (one in side) != (other in side)]
        )

    def _one_way_cut(self) -> bool:
        return self._cut_for_a_while(self._ground.some_pair()[:1])

    def _partial_cut(self) -> bool:
        return self._cut_for_a_while(self._ground.some_pair())

    def _chain(self) -> bool:
        """Everybody sees only its neighbours in some order."""
        order = list(self._hosts)
        self._random.shuffle(order)
        return self._cut_for_a_while(
            [(one, other) for i, one in enumerate(order) for j, other in enumerate(order) if abs(i - j) > 1]
        )

    def _flap(self) -> bool:
        pairs = [
            (one, other)
            for one, other in self._ground.some_pair()
            if self._hosts[one].is_up and self._hosts[other].is_up
        ]
        for one, other in pairs:
            self._hosts[one].reset_link(other)
        return bool(pairs)

    def _black_hole(self) -> bool:
        """Packets vanish, in one direction or in both, until an end closes the link."""
        pairs = self._ground.some_pair()[: self._random.choice((1, 2))]
        for sender, target in pairs:
            self._network.swallow(sender, target)
            self._network.say_cut(sender, target, is_cut=True)
        return bool(pairs)

    def _unheard_leader(self) -> bool:
        """A leader hears late answers only, and nobody hears it: the others elect another one before it knows."""
        leading = self._ground.leading()
        if not leading or len(self._ground.membership.voters) < 2:
            return False
        leader = leading[0].node
        others = [node for node in self._hosts if node != leader]
        cut_in_s = 0.02 * self._random.random()
        for other in others:
            begins_in_s = cut_in_s * self._random.random()
            self._ground.after(
                begins_in_s, self._network.hold, other, leader, self._random.choice((0.05, 0.1, 0.2, 0.3))
            )
        self._ground.after(cut_in_s, self._silence, leader, others)
        return True

    def _silence(self, leader: NodeId, others: list[NodeId]) -> None:
        self._cut_for_a_while([(leader, other) for other in others])
        for other in others:
            if self._hosts[other].is_up:
                self._hosts[other].reset_link(leader)
