"""The network: what is sent may be lost, doubled, delayed, overtaken, or stopped by a cut in one direction.

Messages are handed over as values; they are frozen, so nobody can change what another holds.
"""

from __future__ import annotations

from collections import Counter

import attrs

from ..paxos.ballot import NodeId, node_name
from ..paxos.describe import describe_message
from ..paxos.messages import Message
from .world import World


@attrs.define(kw_only=True)
class Weather:
    """How bad the network is; rates are per message."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.0005
    straggler_rate: float = 0.0
    """Messages that take up to a hundred times as long, and so are overtaken."""
    is_ordered: bool = True
    """Links keep order, as TCP does, except for stragglers."""


class Network:
    """Links between all pairs of nodes."""

    def __init__(self, world: World, weather: Weather) -> None:
        self._world = world
        self.weather = weather
        self._random = world.stream("network")
        self._cut: set[tuple[NodeId, NodeId]] = set()
        self._last_arrival_s: dict[tuple[NodeId, NodeId], float] = {}
        self.count: Counter[str] = Counter()
        """What the weather did, by kind."""

    def cut(self, sender: NodeId, target: NodeId) -> None:
        """Nothing arrives in this direction any more."""
        self._cut.add((sender, target))

    def heal(self, sender: NodeId, target: NodeId) -> None:
        self._cut.discard((sender, target))

    def heal_all(self) -> None:
        self._cut.clear()

    def is_cut(self, sender: NodeId, target: NodeId) -> bool:
        return (sender, target) in self._cut

    @property
    def cuts(self) -> int:
        return len(self._cut)

    def delays(self, sender: NodeId, target: NodeId, message: Message) -> list[float]:
        """When the copies of ``message`` arrive: empty if it is lost."""
        weather, random = self.weather, self._random.random
        if self._cut and (sender, target) in self._cut:
            return []
        if weather.loss and random() < weather.loss:
            self.count["message_lost"] += 1
            return []
        delay_s = weather.delay_s * (0.5 + random())
        if weather.straggler_rate and random() < weather.straggler_rate:
            self.count["message_overtaken"] += 1
            return [delay_s * (1 + 99 * random())]
        if weather.is_ordered:
            arrival_s = max(self._world.now_s + delay_s, self._last_arrival_s.get((sender, target), 0.0) + 1e-9)
            self._last_arrival_s[sender, target] = arrival_s
            delay_s = arrival_s - self._world.now_s
        if weather.duplication and random() < weather.duplication:
            self.count["message_doubled"] += 1
            return [delay_s, delay_s * (1 + 3 * random())]
        return [delay_s]

    def say_sent(self, sender: NodeId, target: NodeId, message: Message, *, is_lost: bool) -> None:
        if self._world.trace is not None:
            lost = "   (lost)" if is_lost else ""
            self._world.say(describe_message(sender, target, message) + lost)

    def say_cut(self, sender: NodeId, target: NodeId, *, is_cut: bool) -> None:
        word = "cut" if is_cut else "heal"
        self._world.say(f"-- {word} {node_name(sender)} -> {node_name(target)}")
